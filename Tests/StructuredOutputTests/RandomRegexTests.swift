import Foundation
import Testing

@testable import StructuredOutput

/// Random regular expressions, without lazy quantifiers (ICU stops loops of empty texts that it must not): what they generate and what they refuse, against another implementation.
@Suite struct RandomRegexTests {
    struct Maker {
        var random: Random

        mutating func pick(_ options: [String]) -> String { options.randomElement(using: &random) ?? "" }

        mutating func expression(_ depth: Int) -> String {
            switch Int.random(in: 0...(depth > 0 ? 6 : 1), using: &random) {
            case 0: return pick(["a", "b", "ab", "é", "日", "\\.", "\\d", "\\w", "0", "-", "\\\\", "\\u0041"])
            case 1:
                return pick([
                    "[ab]", "[^ab\\n]", "[a-c0-9]", ".", "\\D", "[\\d_-]", "[é-ü]", "\\p{Lu}", "[^\\W\\d]",
                ])
            case 2, 3: return expression(depth - 1) + expression(depth - 1)
            case 4: return "(?:" + expression(depth - 1) + "|" + expression(depth - 1) + ")"
            case 5: return "(" + expression(depth - 1) + ")" + pick(["*", "+", "?", "{2}", "{0,2}", "{1,}"])
            default: return "(" + expression(depth - 1) + ")"
            }
        }
    }

    @Test(arguments: 0..<4)
    func agreesWithFoundation(_ part: Int) throws {
        var (generated, compared) = (0, 0)
        for seed in part * 60..<part * 60 + 60 {
            var maker = Maker(random: Random(seed: seed + 11))
            let pattern = maker.expression(4)
            let reference = try NSRegularExpression(pattern: "\\A(?:" + pattern + ")\\z")
            func matches(_ text: String) -> Bool {
                reference.firstMatch(in: text, range: NSRange(text.startIndex..., in: text)) != nil
            }
            let grammar = try CompiledGrammar(Grammar(regex: pattern), tokens: Vocabularies.small)
            var texts = ["", "a", "b", "ab", "0", "é", "日", "A", "aab", "a.b", "-", "\\"]
            for _ in 0..<4 {
                guard let bytes = try randomAnswer(grammar, &maker.random, limit: 60) else { continue }
                let text = try #require(String(validating: bytes, as: UTF8.self))
                generated += 1
                // ICU's \d and \w take more than ASCII, so that it may accept more, never less; but its lines
                // end at more characters.
                let hasControls = text.unicodeScalars.contains { $0.properties.generalCategory == .control }
                #expect(hasControls || matches(text), "\(pattern) made \(text.debugDescription)")
                texts += [text + "a", String(text.dropLast()), text + text]
            }
            for text in texts where text.unicodeScalars.allSatisfy({ $0.isASCII || $0 == "é" || $0 == "日" }) {
                let isAmbiguous =
                    pattern.contains("\\w") || pattern.contains("\\W") || pattern.contains("\\D")
                if isAmbiguous, !text.unicodeScalars.allSatisfy(\.isASCII) { continue }
                if text.unicodeScalars.contains(where: { $0.value < 0x20 }) { continue }
                compared += 1
                #expect(
                    isAccepted(text, by: grammar) == matches(text), "\(pattern) and \(text.debugDescription)")
            }
        }
        #expect(generated > 80 && compared > 500, "\(generated) texts, \(compared) comparisons")
    }
}
