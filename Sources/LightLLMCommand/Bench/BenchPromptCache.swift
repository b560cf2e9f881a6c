import ArgumentParser
import AsyncHTTPClient
import Foundation
import JSON
import OrderedCollections
import Serving

/// Measures conversations of several turns, of which each sends all that was said before: what a cache of prompts is
/// worth. LightLLM's `benchmark_prompt_cache.py`.
struct BenchPromptCache: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "prompt_cache",
        abstract: "Measure a LightLLM server in conversations of several turns.",
        discussion: """
            Every user begins with --first_input_len random tokens and adds --subsequent_input_len to all that was \
            said before in each turn after it (/generate_stream).
            """)

    @Option(name: [.customLong("address"), .customLong("url")], help: "The server's address.")
    var server = ServerAddress.standard

    @Option(name: .customLong("model_name"), help: "What the result calls the model.")
    var modelName: String?

    @Option(name: .customLong("num_workers"), help: "Users that talk at the same time.")
    var workers = 10

    @Option(name: .customLong("first_input_len"), help: "Tokens of a user's first turn.")
    var firstLength = 512

    @Option(name: .customLong("subsequent_input_len"), help: "Tokens that each turn after it adds.")
    var laterLength = 32

    @Option(name: .customLong("output_len"), help: "Tokens of an answer.")
    var answerLength = 128

    @Option(name: .customLong("num_turns"), help: "Turns of a conversation.")
    var turns = 10

    @Option(name: .customLong("num_users"), help: "How many users there are.")
    var users = 10

    @Option(name: .customLong("vocab_size"), help: "Prompts are made of token ids below this.")
    var vocabularySize = 32_000

    @Option(name: .customLong("seed"), help: "Chooses the tokens.")
    var seed = 0

    @Flag(name: .customLong("json"), help: "Print one JSON object instead of a table.")
    var printsJSON = false

    func validate() throws {
        for (flag, value) in [
            ("num_workers", workers), ("first_input_len", firstLength), ("subsequent_input_len", laterLength),
            ("output_len", answerLength), ("num_turns", turns), ("num_users", users),
        ] {
            try require((1...1_000_000).contains(value), flag, "between 1 and 1000000", value)
        }
        try require(
            (2...Int(Int32.max)).contains(vocabularySize), "vocab_size", "between 2 and \(Int32.max)",
            vocabularySize)
    }

    func run() async throws {
        let report = try await measure()
        print(printsJSON ? report.json(modelName).serialized : report.text)
    }

    /// Throws at the first request that fails: the turns after it would be others.
    func measure() async throws -> TurnReport {
        var configuration = HTTPClient.Configuration()
        configuration.httpVersion = .http1Only
        configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = workers
        return try await HTTPClient.withHTTPClient(configuration: configuration) { http in
            let client = TurnClient(http: http, server: server)
            var bar = ProgressBar(total: users * turns)
            defer { bar.finish() }
            let start = ContinuousClock.now
            var answers = Array(repeating: [TurnAnswer](), count: turns)
            try await withThrowingTaskGroup(of: [TurnAnswer].self) { group in
                var waiting = 0..<users
                func startNext() {
                    guard let user = waiting.popFirst() else { return }
                    group.addTask { try await converse(user, client) }
                }
                for _ in 0..<workers { startNext() }
                while let conversation = try await group.next() {
                    for (turn, answer) in conversation.enumerated() {
                        answers[turn].append(answer)
                        bar.advance()
                    }
                    startNext()
                }
            }
            return TurnReport(turns: answers, seconds: (ContinuousClock.now - start) / .seconds(1))
        }
    }

    private func converse(_ user: Int, _ client: TurnClient) async throws -> [TurnAnswer] {
        var random = SeededGenerator(seed: UInt64(truncatingIfNeeded: seed &* 1_000_003 &+ user))
        // Vocabularies begin with special tokens.
        let tokens = Int32(vocabularySize / 32)..<Int32(vocabularySize)
        var (said, answers): ([Int32], [TurnAnswer]) = ([], [])
        for turn in 0..<turns {
            let added = turn == 0 ? firstLength : laterLength
            said += (0..<added).map { _ in Int32.random(in: tokens, using: &random) }
            let answer = try await client.send(said, newTokens: answerLength)
            said += answer.tokens
            answers.append(answer)
        }
        return answers
    }
}
