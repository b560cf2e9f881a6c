import Testing

@testable import StructuredOutput

/// Masks against asking about each token in turn.
@Suite struct MaskTests {
    static let grammars: [Grammar] = [
        try! Grammar(regex: "\"([^\"\\\\]|\\\\[\"n])*\""), try! Grammar(regex: "\"[^\"]{0,7}\"|true|-?\\d+"),
        try! Grammar(regex: ".{3,20}"), try! Grammar(regex: "[a-z]{5,40}\\.com"),
        try! Grammar(regex: "[^\\\\\"]{20}x?"),
        try! Grammar(grammar: GrammarTests.arithmetic),
        try! Grammar(choices: ["ab", "abc", "hello the name"]),
        try! Grammar(grammar: "root ::= \"{\\\"\" .* \"\\\"}\" | \"[\" root* \"]\""),
    ]

    @Test(arguments: grammars.indices)
    func equalsBruteForce(_ index: Int) throws {
        var tight = Self.grammars[index].limits
        // Also while states and masks are forgotten all the time.
        tight.cachedStates = 40
        tight.cachedMasks = 2
        for limits in [GrammarLimits(), tight] {
            let grammar = try CompiledGrammar(
                Grammar(rules: Self.grammars[index].rules, limits: limits), tokens: Vocabularies.small)
            var random = Random(seed: index + 1)
            for _ in 0..<6 { try walk(grammar, &random) }
        }
    }

    private func walk(_ grammar: CompiledGrammar, _ random: inout Random) throws {
        var matcher = grammar.matcher()
        var mask = TokenMask(vocabularySize: grammar.tokens.vocabularySize)
        for _ in 0..<20 where !matcher.isFinished {
            try matcher.allowedTokens(into: &mask)
            let expected = (0..<grammar.tokens.vocabularySize).filter { matcher.accepts($0) }
            #expect(mask.tokens == expected)
            #expect(mask.count == expected.count && mask.isEmpty == expected.isEmpty)
            #expect(matcher.isComplete == expected.contains(1))
            guard let token = expected.randomElement(using: &random) else { return }
            let isTaken = matcher.advance(token)
            #expect(isTaken)
        }
    }

    @Test func nothingFollowsTheEnd() throws {
        let grammar = try CompiledGrammar(Grammar(choices: ["ab"]), tokens: Vocabularies.small)
        var matcher = grammar.matcher()
        let before = matcher
        #expect(
            !matcher.accepts(1) && !matcher.accepts(0) && !matcher.accepts(-1) && !matcher.accepts(1 << 40))
        let isTaken = matcher.advance(bytes: Array("ab".utf8))
        #expect(isTaken && matcher.mustEnd && matcher.isComplete && !before.isComplete)
        let isEnded = matcher.advance(2)
        #expect(isEnded && matcher.isFinished)
        var mask = TokenMask(vocabularySize: 0)
        try matcher.allowedTokens(into: &mask)
        #expect(mask.isEmpty && mask.vocabularySize == grammar.tokens.vocabularySize)
        #expect(!matcher.accepts(1))
    }

    @Test func aVocabularyWithoutTheNeededBytesIsAnError() {
        let tokens = TokenTrie(vocabulary: [[], Array("a".utf8)], endTokens: [0])
        #expect(code { _ = try CompiledGrammar(Grammar(choices: ["b"]), tokens: tokens) } == .deadEnd)
    }
}
