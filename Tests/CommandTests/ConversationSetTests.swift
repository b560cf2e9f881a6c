import Foundation
import JSON
import LightLLM
import Testing

@testable import LightLLMCommand

@Suite struct PythonRandomTests {
    /// Values printed by CPython 3 and NumPy.
    @Test func aSeedGivesWhatPythonGives() {
        var random = PythonRandom(seed: 0)
        #expect([random.nextUnit(), random.nextUnit()] == [0.8444218515250481, 0.7579544029403025])
        random = PythonRandom(seed: 0)
        #expect(random.sample(Array(0..<10), 4) == [6, 9, 0, 2])
        #expect(random.sample(Array(0..<100_000), 6) == [67013, 63691, 53075, 39755, 62468, 46930])
        #expect(random.nextUnit() == 0.5833820394550312)
        random = PythonRandom(seed: 12_345_678_901)
        #expect([random.nextUnit(), random.nextUnit()] == [0.9460118159397316, 0.3279999559233737])
        #expect(random.sample(Array(0..<1000), 1000).prefix(5) == [393, 362, 551, 722, 117])
        random = PythonRandom(seed: 7)
        #expect(random.sample(Array(0..<50), 20).suffix(4) == [26, 44, 15, 36])
        #expect(random.sample(Array(0..<50), 3) == [35, 27, 3])
    }

    @Test func arrivalsAreNumPys() {
        let arrivals = Pace.rate(4).arrivals(4, numpySeed: 0).map { $0 / .seconds(1) }
        let gaps = [0.1989686270407775, 0.31398269074145946, 0.2308057864510172]
        for (index, arrival) in arrivals.enumerated() {
            #expect(abs(arrival - gaps[..<index].reduce(0, +)) < 1e-9)
        }
        #expect(Pace.rate(.infinity).arrivals(3, numpySeed: 0) == [.zero, .zero, .zero])
    }
}

@Suite struct ConversationSetTests {
    /// A set of the conversations in `json`, whose texts have a token for each word.
    private func choose(_ json: JSONValue, _ count: Int, seed: UInt64 = 0) throws -> [ConversationSet.Opening]
    {
        let path = NSTemporaryDirectory() + "dataset-" + UUID().uuidString
        defer { try? FileManager.default.removeItem(atPath: path) }
        try Data(json.serialized.utf8).write(to: URL(fileURLWithPath: path))
        return try ConversationSet(path: path).choose(count, seed: seed) { $0.split(separator: " ").count }
    }

    private func words(_ count: Int, _ word: String = "w") -> String {
        Array(repeating: word, count: count).joined(separator: " ")
    }

    private func conversation(_ turns: String...) -> JSONValue {
        ["id": "x", "conversations": .array(turns.map { ["from": "human", "value": .string($0)] })]
    }

    @Test func lengthsDecideWhatIsKept() throws {
        let kept: [(Int, Int)] = [(4, 4), (1024, 1024), (1024, 4), (100, 1948)]
        let dropped: [(Int, Int)] = [(3, 10), (10, 3), (1025, 10), (1024, 1025), (100, 1949)]
        let json: JSONValue = .array(
            (kept + dropped).map { conversation(words($0.0), words($0.1), "more") }
                + [conversation(words(9)), conversation(), ["other": 1], 7])
        let openings = try choose(json, 4)
        #expect(
            Set(openings.map { [$0.promptTokens, $0.answerTokens] }) == Set(kept.map { [$0.0, $0.1] }))
        #expect(openings.allSatisfy { $0.prompt.split(separator: " ").count == $0.promptTokens })
        #expect { try choose(json, 5) } throws: { "\($0)".contains("expected 5 conversations") }
    }

    /// The same as `random.sample(random.sample(range(100), 9), 3)` after `random.seed(3)` of CPython.
    @Test func aSeedChoosesAsThere() throws {
        let json: JSONValue = .array((0..<100).map { conversation(words(5, "w\($0)"), words(6)) })
        let openings = try choose(json, 3, seed: 3)
        #expect(openings.map { $0.prompt.prefix { $0 != " " } } == ["w75", "w30", "w60"])
        #expect(try choose(json, 3, seed: 3) == openings)
        #expect(try choose(json, 3, seed: 4) != openings)
    }

    @Test func otherFilesAreRefused() {
        #expect { try choose(["a": 1], 1) } throws: { "\($0)".contains("expected a list") }
        #expect(throws: (any Error).self) { try ConversationSet(path: "/nowhere") }
    }
}
