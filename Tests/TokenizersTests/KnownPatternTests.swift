import Testing

@testable import Tokenizers

/// Text from characters that patterns tell apart, whole contractions among them.
func patternText(_ generator: inout SystemLikeGenerator) -> [UInt8] {
    let parts = [
        "a", "Z", "é", "ſ", "ǅ", "ʰ", "中", "龥", "가", "ひ", "ー", "1", "٣", "Ⅷ", "½", "𝟘", "𐐀", "'", "'s", "'S",
        "'ſ", "'re", "'VE",
        "'Ll", "'d", "'t", "'m", " ", "  ", "\t", "\n", "\r\n", "\r", "\u{A0}", "\u{2003}", "\u{3000}",
        "\u{2028}", "\u{180E}", "\u{85}",
        "\u{1C}", ".", ",", "!", "…", "。", "،", "(", ")", "|", "-", "_", "＋", "　", "～", "‘", "😀", "\u{301}",
        "\u{200D}", "\u{FE0F}",
        "\u{0}", "<", "[", "]", "^", "\\", "µ", "ª", "Ა", "𞤀", "\u{FFFD}", "\u{10FFFF}", "ĸ", "ﬀ",
    ]
    let count = Int.random(in: 0...24, using: &generator)
    return (0..<count).flatMap { _ in Array((parts.randomElement(using: &generator) ?? "").utf8) }
}

/// The scanners against the regular expressions that they stand for.
@Suite struct KnownPatternTests {
    static let known = [
        KnownPattern.gpt2Source, KnownPattern.contractionsSource(#"\p{N}{1,3}"#),
        KnownPattern.contractionsSource(#"\p{N}{1,2}"#), KnownPattern.contractionsSource(#"\p{N}"#),
        KnownPattern.contractionsSource(#"\p{N}+"#), #"\p{N}"#, #"\p{N}+"#, #"\s+"#,
    ]
    static let runs = [
        "[\r\n]", #"\s?[A-Za-zµÀ-ÖØ-öა-ჿᲐ-Ჺ𞤀-𞥃ﬀ-ﬆ]+"#, #"\s?[!-/:-~！-／：-～‘-‟　-。]+"#, "[一-龥ࠀ-一가-퟿]+",
        " ?[^(\\s|[.,!?…。，、।۔،])]+", " ?[^(\\s|.,!?…。，、।۔،)]+", #"\s?\p{L}+"#, #"[\s\p{N}]"#, #" ?[\s.]+"#,
        #"\s?[\-\]\\a-c]+"#, "[a-]+",
    ]

    @Test(arguments: known)
    func findWhatTheExpressionFinds(_ source: String) throws {
        let known = try #require(KnownPattern(source))
        try compare(source) { text, range in
            var found: [Range<Int>] = []
            known.matches(in: text, range) { found.append($0) }
            return found
        }
    }

    @Test(arguments: runs)
    func runsFindWhatTheExpressionFinds(_ source: String) throws {
        guard let run = ClassRun(source) else {
            // No class at all: left to the expression.
            #expect(source == #"\s?\p{L}+"#)
            return
        }
        try compare(source) { text, range in
            var found: [Range<Int>] = []
            run.matches(in: text, range) { found.append($0) }
            return found
        }
    }

    private func compare(_ source: String, _ matches: (TextView, Range<Int>) -> [Range<Int>]) throws {
        let pattern = try Pattern(source)
        var generator = SystemLikeGenerator(state: 7)
        for _ in 0..<3000 {
            let text = patternText(&generator)
            let expected = try pattern.matches(in: text)
            let found = TextView.with(text) { matches($0, 0..<text.count) }
            #expect(found == expected, "\(source): \(String(decoding: text, as: UTF8.self).debugDescription)")
        }
    }

    @Test func otherPatternsAreLeftToTheExpression() {
        for source in [
            "", "a", "[", "[]", "[a", "[^]", "[a&&b]", "[a[^b]]", "[[:alpha:]]", "[z-a]", #"[\d]"#, "[a]*",
            "[a]+$", #"[\p{Lu}]"#, "(?i:[a])",
        ] {
            #expect(KnownPattern(source) == nil && ClassRun(source) == nil, "\(source)")
        }
    }

    /// A character at every place where UTF-8 or the classes change, and some of everything.
    @Test func classesAreThoseOfTheExpression() throws {
        let classes: [(String, CharacterClass)] = [
            (#"\p{L}"#, .letter), (#"\p{N}"#, .number), (#"\s"#, .space), (#"\p{M}"#, .mark),
            (#"\p{Lu}"#, .uppercase),
        ]
        let scalars = (0..<0x11000 as Range<UInt32>).compactMap(Unicode.Scalar.init)
        let unassigned = try Pattern(#"\p{Cn}"#)
        let text = scalars.flatMap { Array(String($0).utf8) }
        let skipped = Set(try unassigned.matches(in: text).map(\.lowerBound))
        for (source, wanted) in classes {
            let expected = Set(try Pattern(source).matches(in: text).map(\.lowerBound))
            var offset = 0
            for scalar in scalars {
                // The expression's tables may be of an older Unicode.
                if !skipped.contains(offset) {
                    #expect(
                        CharacterClass(scalar).contains(wanted) == expected.contains(offset),
                        "U+\(String(scalar.value, radix: 16)) \(source)")
                }
                offset += UTF8.width(scalar)
            }
        }
    }
}
