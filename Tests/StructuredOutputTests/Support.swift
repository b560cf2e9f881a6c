import Foundation
import Testing

@testable import StructuredOutput

/// A generator whose draws depend on its seed alone.
struct Random: RandomNumberGenerator {
    var state: UInt64

    init(seed: Int) { state = UInt64(truncatingIfNeeded: seed) &* 0x9E37_79B9_7F4A_7C15 | 1 }

    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state &* 0x2545_F491_4F6C_DD1D
    }
}

enum Vocabularies {
    /// Every byte, some longer pieces, some of them not whole characters; 0 is control, 1 and 2 end.
    static let small: TokenTrie = TokenTrie(vocabulary: texts, endTokens: [1, 2])

    static let texts: [[UInt8]] = {
        let pieces = [
            "true", "false", "null", "{\"", "\":", "\":\"", "\",\"", "\"}", "\"]", "[[", "]]", "}}", " ",
            "  ",
            "\n", "ab", "abc", "hello", "the", "name", "é", "日本", "😀", "12", "123", "0.5", "-1", "e+", "\\n",
            "\\u00", "\\\"", ", ", ": ", "[{", "}]", "},{", "2024", "-0", "T1", ":00Z", "aaaa", "aaaaaaaa",
            "abcdefghijklmnopqrstuvwxyz", "\"a", "a\"", "b\":1", "@", ".com", "://",
        ]
        var texts: [[UInt8]] = [[], [], []]
        texts += (UInt8.min...UInt8.max).map { [$0] }
        texts += pieces.map { Array($0.utf8) }
        texts += [[0xE6, 0x97], [0xA5, 0xE6], [0xF0, 0x9F], [0x98, 0x80], [0x22, 0xC3]]
        // Two tokens of one text.
        texts.append(Array("ab".utf8))
        return texts
    }()
}

/// What a model that draws tokens at random says under the grammar; it ends when it may, one time in
/// `patience`. Nil when it has not ended after `limit` tokens.
func randomAnswer(
    _ grammar: CompiledGrammar, _ random: inout Random, patience: Int = 3, limit: Int = 4000
) throws -> [UInt8]? {
    var matcher = grammar.matcher()
    var mask = TokenMask(vocabularySize: grammar.tokens.vocabularySize)
    var bytes: [UInt8] = []
    for step in 0..<limit {
        try matcher.allowedTokens(into: &mask)
        if matcher.isComplete, matcher.mustEnd || Int.random(in: 0..<patience, using: &random) == 0 {
            return bytes
        }
        let choices = mask.tokens.filter { !grammar.tokens.endTokens.contains($0) }
        // A tired model closes what it opened.
        let closing = step < 60 ? [] : choices.filter { closes(grammar.tokens.bytes[$0]) }
        guard let token = (closing.isEmpty ? choices : closing).randomElement(using: &random) else {
            return nil
        }
        let isTaken = matcher.advance(token)
        #expect(isTaken)
        bytes += grammar.tokens.bytes[token]
    }
    return nil
}

private func closes(_ bytes: [UInt8]) -> Bool {
    bytes.count == 1 && ["\"", "}", "]"].contains { Array($0.utf8) == bytes }
}

func isAccepted(_ text: String, by grammar: CompiledGrammar) -> Bool {
    var matcher = grammar.matcher()
    return (text.isEmpty || matcher.advance(bytes: Array(text.utf8))) && matcher.isComplete
}

/// The code of the error that `body` throws.
func code(_ body: () throws -> Void) -> StructuredOutputError.Code? {
    do {
        try body()
        return nil
    } catch {
        return (error as? StructuredOutputError)?.code
    }
}

let isDebug: Bool = {
    #if DEBUG
        true
    #else
        false
    #endif
}()

/// What the calling thread alone spends.
func processorTime(_ body: () throws -> Void) rethrows -> Duration {
    func now() -> Duration {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
    }
    let start = now()
    try body()
    return now() - start
}

/// How long a refusal may take; unoptimised code is many times slower.
let patience: Duration = isDebug ? .seconds(15) : .seconds(1)
