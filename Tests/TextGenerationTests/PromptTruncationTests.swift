import Serving
import Testing

@testable import TextGeneration

@Suite struct PromptTruncationTests {
    private func left(
        _ count: Int, newTokens: Int = 4, most: Int = 10, _ mode: PromptTruncation.Mode? = nil,
        input: Int? = nil,
        keeping kept: PromptTruncation.Kept? = nil
    ) throws -> [Int32] {
        try PromptTruncation(mode: mode, maxInputTokens: input)
            .applied(to: (0..<Int32(count)).map { $0 }, newTokens: newTokens, most: most, keeping: kept)
    }

    @Test func whatFitsStays() throws {
        for mode in [nil, .head, .center] as [PromptTruncation.Mode?] {
            #expect(try left(6, mode) == [0, 1, 2, 3, 4, 5])
            #expect(try left(6, mode, input: 6) == [0, 1, 2, 3, 4, 5])
        }
    }

    @Test func whatDoesNotFitIsShortened() throws {
        #expect(try left(9, .head) == [3, 4, 5, 6, 7, 8])
        #expect(try left(9, .center) == [0, 1, 2, 6, 7, 8])
        #expect(try left(9, newTokens: 5, .center) == [0, 1, 6, 7, 8])
        #expect(try left(9, newTokens: 9, .center) == [8])
        #expect(throws: RequestError.tooLong(prompt: 9, newTokens: 4, most: 10)) { try left(9) }
        for mode in PromptTruncation.Mode.allCases {
            for newTokens in [10, 11, .max] {
                #expect(throws: RequestError.requestTooLong(most: 10)) {
                    try left(9, newTokens: newTokens, mode)
                }
            }
        }
    }

    @Test func limitOfInputsCountsFirst() throws {
        #expect(try left(9, .head, input: 5) == [4, 5, 6, 7, 8])
        #expect(try left(9, .center, input: 5) == [0, 1, 6, 7, 8])
        #expect(throws: RequestError.promptTooLong(9, most: 5)) { try left(9, input: 5) }
        // What the answer needs is not taken from the prompt then.
        #expect(throws: RequestError.requestTooLong(most: 10)) { try left(9, newTokens: 6, .head, input: 5) }
        #expect(throws: RequestError.requestTooLong(most: 10)) { try left(4, newTokens: 7, .head, input: 5) }
    }

    @Test func requestsSayWhatIsLeft() throws {
        #expect(try left(9, keeping: .last(2)) == [7, 8])
        #expect(try left(9, keeping: .lastFitting) == [3, 4, 5, 6, 7, 8])
        #expect(try left(3, keeping: .last(5)) == [0, 1, 2])
        #expect(throws: RequestError.tooLong(prompt: 9, newTokens: 10, most: 10)) {
            try left(9, newTokens: 10, keeping: .lastFitting)
        }
    }

    @Test func answersWithoutLengthGetWhatIsLeft() {
        func length(_ count: Int, _ mode: PromptTruncation.Mode? = nil, input: Int? = nil, standard: Int = 50)
            -> Int
        {
            PromptTruncation(mode: mode, maxInputTokens: input)
                .newTokens(promptCount: count, most: 100, standard: standard)
        }
        #expect(length(10) == 50 && length(80) == 20 && length(100) == 1 && length(500) == 1)
        #expect(length(80, .head) == 20 && length(500, .head) == 25 && length(500, .head, standard: 5) == 5)
        #expect(length(500, .head, input: 70) == 30 && length(500, input: 70) == 1)
    }
}
