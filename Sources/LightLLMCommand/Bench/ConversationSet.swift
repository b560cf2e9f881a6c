import ArgumentParser
import Foundation
import JSON
import Tokenizers

/// The beginnings of conversations from a file as ShareGPT's: a JSON list of `{"conversations": [{"value": …}, …]}`.
/// What is kept, and what a seed chooses, is as in LightLLM's `benchmark_serving.py`.
struct ConversationSet {
    struct Opening: Equatable {
        let prompt: String
        let promptTokens: Int
        let answerTokens: Int
    }

    private let pairs: [(prompt: String, answer: String)]

    /// Throws when the file is not such a list.
    init(path: String) throws {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw ValidationError("--dataset: \(path): no such file")
        }
        let json: JSONValue
        do {
            json = try data.withUnsafeBytes { (bytes) throws(JSONError) in try JSONValue(parsing: bytes) }
        } catch {
            throw ValidationError("--dataset: \(path): \(error)")
        }
        guard let items = json.array else {
            throw ValidationError("--dataset: \(path): expected a list of conversations, found \(json.kind)")
        }
        pairs = items.compactMap { item in
            guard let turns = item["conversations"]?.array, turns.count >= 2,
                let prompt = turns[0]["value"]?.string, let answer = turns[1]["value"]?.string
            else { return nil }
            return (prompt, answer)
        }
    }

    /// `count` openings. A prompt and its answer have at least 4 tokens, the prompt at most 1024, both together at most
    /// 2048. Throws when there are not enough.
    func choose(
        _ count: Int, seed: UInt64, tokenCount: (String) throws -> Int
    ) throws -> [Opening] {
        var random = PythonRandom(seed: seed)
        let candidates = random.sample(pairs, min(pairs.count, 3 * count))
        let fitting = try candidates.compactMap { pair -> Opening? in
            let opening = Opening(
                prompt: pair.prompt, promptTokens: try tokenCount(pair.prompt),
                answerTokens: try tokenCount(pair.answer))
            return opening.isOfUse ? opening : nil
        }
        guard fitting.count >= count else {
            throw ValidationError(
                "--dataset: expected \(count) conversations of fitting length, found \(fitting.count) "
                    + "among the \(candidates.count) that were drawn")
        }
        return random.sample(fitting, count)
    }
}

extension ConversationSet.Opening {
    fileprivate var isOfUse: Bool {
        promptTokens >= 4 && answerTokens >= 4 && promptTokens <= 1024 && promptTokens + answerTokens <= 2048
    }
}

extension Pace {
    /// When `count` requests are sent, as NumPy draws it.
    func arrivals(_ count: Int, numpySeed: UInt32) -> [Duration] {
        guard case .rate(let rate) = self, rate.isFinite else {
            return Array(repeating: .zero, count: count)
        }
        var random = PythonRandom(numpySeed: numpySeed)
        var arrival = Duration.zero
        return (0..<count).map { _ in
            defer { arrival += .seconds(random.nextExponential() / rate) }
            return arrival
        }
    }
}
