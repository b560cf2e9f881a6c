import CUDABackend
import CUDARuntime
import Foundation
import JSON
import Layers
public import LightLLM
import Tensors
import Weights

extension GPUCheck {
    /// Recorded models whose steps are replayed, against the same without graphs, bit for bit; then how long a step of
    /// LLaMA-7B takes both ways.
    static func checkGraphs(_ backend: CUDABackend, _ root: String?, _ recorder: Recorder) throws {
        for name in try root.map({ try FileManager.default.contentsOfDirectory(atPath: $0).sorted() }) ?? [] {
            guard let root,
                let model = try? LoadedModel(checkpoint: openCheckpoint("\(root)/\(name)"), backend: backend)
            else { continue }
            let prompts: [[Int32]] = [[1, 5, 9, 2], Array(repeating: 7, count: 20), [3]]
            func logits(_ isRecorded: Bool) throws -> [[Float]] {
                let run = try TokenByToken(model, prompts: prompts, most: 48, isRecorded: isRecorded)
                return TokenByToken.changingBatches.flatMap { run.step($0) }
            }
            let before = backend.graphCounts.replays
            recorder.check("replays, \(name)", try logits(true) == logits(false))
            recorder.record(name, ["replays": .integer(backend.graphCounts.replays - before)])
        }
        try measureGraphs(backend, recorder)
    }

    private static func measureGraphs(_ backend: CUDABackend, _ recorder: Recorder) throws {
        let model = try LoadedModel(checkpoint: SyntheticCheckpoint(), backend: backend)
        let context = 472
        let cache = try backend.makeCache(
            model.network.cacheLayout, slots: 128 * context, element: .bfloat16)
        for batch in [1, 128] {
            let scene = StepScene(model, cache, batch: batch, context: context)
            let single = scene.seconds(of: 20) { model.network($0) }
            let before = backend.graphCounts
            let replayed = scene.seconds(of: 20) { pass in backend.perform(pass) { model.network(pass) } }
            let after = backend.graphCounts
            recorder.record(
                "batch \(batch)",
                [
                    "ms": .number(replayed * 1000), "ms without graphs": .number(single * 1000),
                    "graphs made": .integer(after.made - before.made),
                    "replays": .integer(after.replays - before.replays),
                    "changed launches": .integer(after.changes - before.changes),
                    "single launches": .integer(after.single - before.single),
                ])
        }
    }
}

/// Steps in which every sequence of a batch generates a token and its context has the same length.
struct StepScene {
    private let model: LoadedModel
    private let cache: any KeyValueCache
    private let batch: Int
    private let context: Int
    private let slots: [[Int32]]

    init(_ model: LoadedModel, _ cache: any KeyValueCache, batch: Int, context: Int) {
        (self.model, self.cache, self.batch, self.context) = (model, cache, batch, context)
        slots = AttentionScene.slots(for: Array(repeating: context, count: batch))
    }

    @discardableResult
    func forward(_ network: (ForwardPass) -> Matrix) -> Matrix {
        network(
            ForwardPass(
                tokens: (0..<batch).map { Int32($0 * 100) },
                positions: Array(repeating: Int32(context - 1), count: batch),
                lengths: Array(repeating: Int32(context), count: batch),
                newSlots: slots.map { $0[context - 1] },
                sequences: (0..<batch).map {
                    ForwardPass.Sequence(rows: $0..<$0 + 1, contextSlots: slots[$0])
                },
                sampledRows: (0..<Int32(batch)).map { $0 }, cache: cache, backend: model.backend))
    }

    /// Of one of `turns` steps, from the pass to the tokens.
    func seconds(of turns: Int, _ network: (ForwardPass) -> Matrix) -> Double {
        func step() {
            var answers: [LogitAnswer] = []
            model.backend.answer(
                (0..<batch).map { LogitQuery(row: $0) }, on: forward(network), into: &answers)
        }
        for _ in 0..<3 { step() }
        let begin = ContinuousClock.now
        for _ in 0..<turns { step() }
        return (ContinuousClock.now - begin) / .seconds(1) / Double(turns)
    }
}

/// Sequences that go on with the likeliest token, in steps that any of them take part in.
public final class TokenByToken {
    private let model: LoadedModel
    private let cache: any KeyValueCache
    private let most: Int
    private let isRecorded: Bool
    private var sequences: [[Int32]]
    /// Passes that were run, if they are kept.
    public var keepsPasses = false
    private var passes: [ForwardPass] = []

    /// Batches that grow and shrink, of three sequences.
    public static let changingBatches = [
        [0], [0], [0], [0, 1], [0, 1], [0, 1], [0, 1, 2], [0, 1, 2], [0, 1, 2], [1, 2], [1, 2], [0, 2],
        [2], [2], [0, 1], [0, 1], [0, 1, 2], [0, 1, 2], [1],
    ]

    /// Computes the prompts but for their last tokens. No sequence gets longer than `most`. With `isRecorded` the backend
    /// may replay steps.
    public init(_ model: LoadedModel, prompts: [[Int32]], most: Int, isRecorded: Bool) throws {
        (self.model, self.most, self.isRecorded, sequences) = (model, most, isRecorded, prompts)
        cache = try model.backend.makeCache(
            model.network.cacheLayout, slots: prompts.count * most, element: .float32)
        for (index, prompt) in prompts.enumerated() where prompt.count > 1 {
            _ = model.network(pass([index], { _ in 0..<prompt.count - 1 }))
        }
    }

    /// The logits of one more token of each of `members`, row by row.
    public func step(_ members: [Int]) -> [[Float]] {
        let pass = pass(members) { sequences[$0].count - 1..<sequences[$0].count }
        let logits =
            isRecorded ? model.backend.perform(pass) { model.network(pass) } : model.network(pass)
        if keepsPasses { passes.append(pass) }
        return members.enumerated().map { row, member in
            var values: [Float] = []
            model.backend.read(logits, row: row, into: &values)
            let likeliest = values.indices.max { (values[$0], $1) < (values[$1], $0) } ?? 0
            sequences[member].append(Int32(likeliest))
            return values
        }
    }

    private func pass(_ members: [Int], _ positions: (Int) -> Range<Int>) -> ForwardPass {
        var (rows, parts): ([(sequence: Int, position: Int)], [ForwardPass.Sequence]) = ([], [])
        for member in members {
            let range = positions(member)
            parts.append(
                ForwardPass.Sequence(
                    rows: rows.count..<rows.count + range.count,
                    contextSlots: (0..<range.upperBound).map { slot(member, $0) }
                ))
            rows += range.map { (member, $0) }
        }
        return ForwardPass(
            tokens: rows.map { sequences[$0.sequence][$0.position] },
            positions: rows.map { Int32($0.position) },
            lengths: rows.map { Int32(sequences[$0.sequence].count) },
            newSlots: rows.map { slot($0.sequence, $0.position) }, sequences: parts,
            sampledRows: parts.map { Int32($0.rows.upperBound - 1) }, cache: cache, backend: model.backend)
    }

    private func slot(_ sequence: Int, _ position: Int) -> Int32 {
        Int32((position * 7 + 3) % most * sequences.count + sequence)
    }
}
