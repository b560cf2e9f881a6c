import Testing

@testable import TextGeneration

@Suite struct StopMatcherTests {
    /// The text given out, and whether a stop ended it, when `text` comes in pieces of `size` bytes.
    private func run(_ text: String, _ stops: [String], keeps: Bool = false, size: Int) -> (String, Bool) {
        var matcher = StopMatcher(stops, keepsStop: keeps)
        var (result, rest) = ("", Array(text.utf8)[...])
        while !rest.isEmpty {
            let (piece, stop) = matcher.append(String(decoding: rest.prefix(size), as: UTF8.self))
            result += piece
            if stop != nil { return (result, true) }
            rest = rest.dropFirst(size)
        }
        return (result + matcher.finish(), false)
    }

    @Test(arguments: 1...7)
    func cutsAtTheFirstStopHoweverTheTextComes(_ size: Int) {
        let cases: [(String, [String], String, Bool)] = [
            ("one two three", ["two"], "one ", true), ("one two three", ["four"], "one two three", false),
            ("aab", ["ab"], "a", true), ("aaaab", ["aab", "b"], "aa", true), ("stop", ["stop"], "", true),
            ("almost sto", ["stop"], "almost sto", false), ("abc", ["", "c"], "ab", true),
            ("", ["x"], "", false),
            ("ababac", ["abac"], "ab", true),
        ]
        for (text, stops, expected, isFound) in cases {
            let result = run(text, stops, size: size)
            #expect(result.0 == expected && result.1 == isFound, "\(text) \(stops) in \(size)s")
        }
    }

    @Test func keepsTheStopWhenAskedTo() {
        #expect(run("one two three", ["two"], keeps: true, size: 1) == ("one two", true))
        #expect(run("one two three", ["x"], keeps: true, size: 3) == ("one two three", false))
    }

    @Test func holdsBackNoMoreThanItMust() {
        var matcher = StopMatcher(["stop"], keepsStop: false)
        #expect(matcher.append("a s").text == "a ")
        #expect(matcher.append("un").text == "sun")
        #expect(matcher.append("st").text == "")
        #expect(matcher.finish() == "st")
    }
}
