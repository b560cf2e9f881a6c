import Testing

@testable import LightLLMCommand

@Suite struct EventLinesTests {
    /// Wherever the network cuts the stream, the lines are the same.
    @Test func linesSurviveEveryCut() {
        let stream = Array(
            "data: {\"é\":1}\r\n\r\n: comment\nevent: x\ndata:two\n\ndata:\ndatum: no\ndata: cut".utf8)
        for first in 0...stream.count {
            for second in first...stream.count {
                var lines = EventLines()
                var found: [String] = []
                for part in [stream[..<first], stream[first..<second], stream[second...]] {
                    lines.add(part) { found.append(String(decoding: $0, as: UTF8.self)) }
                }
                #expect(found == ["{\"é\":1}", "two", ""], "cut at \(first) and \(second)")
            }
        }
    }
}

@Suite struct AnswerRecordTests {
    private let start = ContinuousClock.now
    private let request = PlannedRequest(arrival: .zero, prompt: .tokens([1, 2, 3]), newTokens: 3)

    private func chunk(_ text: String) -> String { #"data: {"choices":[{"text":"\#(text)"}]}"# + "\n\n" }
    private let usage = #"data: {"choices":[],"usage":{"completion_tokens":3}}"# + "\n\n"
    private let done = "data: [DONE]\n\n"

    /// The record of parts that come a second after each other.
    private func record(_ parts: String...) -> AnswerRecord {
        var record = AnswerRecord(sent: start)
        for (index, part) in parts.enumerated() {
            record.add(part.utf8, at: start + .seconds(1 + index))
        }
        return record
    }

    @Test func timesChunks() throws {
        let answer = try record(chunk("a"), chunk(""), chunk("b"), usage + done).answer(to: request)
        #expect(answer.firstToken == 1 && answer.latency == 3 && answer.gaps == [1, 1])
        #expect(answer.tokens == 3 && answer.promptTokens == 3 && answer.isVerified)
        #expect(answer.perToken == 1)
    }

    @Test func usageMayComeWithTheLastToken() throws {
        let last = #"data: {"choices":[{"text":"b"}],"usage":{"completion_tokens":3}}"# + "\n\n"
        let answer = try record(chunk("a"), last, done).answer(to: request)
        #expect(answer.latency == 2 && answer.isVerified)
    }

    @Test func withoutUsageNothingIsVerified() throws {
        let answer = try record(chunk("a"), chunk("b"), done).answer(to: request)
        #expect(answer.latency == 2 && answer.tokens == 3 && !answer.isVerified)
    }

    @Test func brokenAnswersAreFailures() {
        func failure(_ record: AnswerRecord) -> String? {
            do {
                _ = try record.answer(to: request)
                return nil
            } catch { return error.description }
        }
        #expect(failure(record(chunk("a"), chunk("b")))?.contains("broke off after 2") == true)
        #expect(failure(record(done))?.contains("no chunks") == true)
        #expect(failure(record(usage, done))?.contains("no tokens") == true)
        #expect(
            failure(record(chunk("a"), "data: {\"error\":{\"message\":\"odd\"}}\n\n"))?.contains("odd")
                == true)
        let short = usage.replacing("3", with: "2")
        #expect(failure(record(chunk("a"), short, done)) == "expected 3 tokens, found 2")
    }
}
