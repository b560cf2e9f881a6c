import CCUDA
import CCUDAHost
import CUDABackend
import CUDARuntime
import Foundation
import GPUCheck
import LightLLM
import Synchronization
import Tensors
import Testing
import Weights

/// Steps that are replayed as graphs.
@Suite(.serialized) struct GraphTests {
    private static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("Fixtures/goldens/models").path

    /// The third comes to have more slots than fit the place of its list, so that what follows moves.
    private static let prompts: [[Int32]] = [
        [1, 5, 9, 2], (0..<10).map { $0 % 7 + 3 }, (0..<58).map { $0 % 9 + 4 },
    ]

    private func run(
        _ backend: CUDABackend, _ prompts: [[Int32]] = prompts, of name: String = "tiny_llama",
        isRecorded: Bool = true
    ) throws -> TokenByToken {
        let model = try LoadedModel(
            checkpoint: openCheckpoint("\(Self.folder)/\(name)"), backend: backend)
        return try TokenByToken(
            model, prompts: prompts, most: 31 + prompts.reduce(0) { max($0, $1.count) },
            isRecorded: isRecorded)
    }

    private static let withoutGraphs = Result {
        let backend = try makeHostBackend(graphs: nil)
        defer { #expect(backend.graphCounts == GraphCounts()) }
        return GraphTests().logits(try GraphTests().run(backend))
    }

    private func logits(_ run: TokenByToken) -> [[Float]] {
        TokenByToken.changingBatches.flatMap { run.step($0) }
    }

    /// What the steps make without graphs.
    private func expected() throws -> [[Float]] {
        try Self.withoutGraphs.get()
    }

    @Test func replaysAreAsLaunching() throws {
        let expected = try expected()
        #expect(try logits(run(makeHostBackend(), isRecorded: false)) == expected)
        for fill in [cuda_host_driver, cuda_host_late_driver] {
            let backend = try makeHostBackend { fill($0) }
            #expect(try logits(run(backend)) == expected)
            let counts = backend.graphCounts
            #expect(counts.made == 3 && counts.replays > counts.made && counts.changes > 0, "\(counts)")
            #expect(backend.failure == nil)
        }
    }

    /// Models that upload more, that read in the middle of a step, and whose layers are not alike.
    @Test(
        arguments: [
            "tiny_bloom", "tiny_deepseek_v2", "tiny_gemma3", "tiny_mixtral", "tiny_phi3small",
            "tiny_qwen2_moe",
        ])
    func everyModelReplays(_ name: String) throws {
        func logits(_ isRecorded: Bool) throws -> [[Float]] {
            let backend = try makeHostBackend { cuda_host_late_driver($0) }
            let run = try run(
                backend, [[1, 5, 9, 2], [7, 7, 7, 3, 3], [3]], of: name, isRecorded: isRecorded)
            defer { #expect((backend.graphCounts.replays > 0) == isRecorded && backend.failure == nil) }
            return [[0], [0], [0, 1], [0, 1], [0, 1], [0, 1, 2], [0, 1, 2], [1], [1, 2]].flatMap {
                run.step($0)
            }
        }
        #expect(try logits(true) == logits(false))
    }

    /// From the third step of a kind on there is nothing to do but to copy the inputs and launch.
    @Test func aStepIsOneLaunch() throws {
        let backend = try makeHostBackend()
        let run = try run(backend)
        func step(_ members: [Int]) -> cuda_host_counts {
            let before = cuda_host_counted()
            _ = run.step(members)
            let after = cuda_host_counted()
            return cuda_host_counts(
                launches: after.launches - before.launches, graphs: after.graphs - before.graphs,
                graph_launches: after.graph_launches - before.graph_launches,
                changes: after.changes - before.changes, uploads: after.uploads - before.uploads,
                waits: after.waits - before.waits)
        }
        let (first, second) = (step([0, 1]), step([0, 1]))
        #expect(first.graphs == 0 && first.graph_launches == 0 && (20...32).contains(first.launches))
        #expect(second.graphs == 1 && second.graph_launches == 1 && second.launches == 0)
        for _ in 0..<3 {
            let later = step([0, 1])
            #expect(later.graphs == 0 && later.graph_launches == 1 && later.launches == 0)
            #expect(later.uploads == 1 && later.changes == 0)
        }
        // Other sequences in as many rows: the same graph.
        let other = step([1, 0])
        #expect(other.graphs == 0 && other.graph_launches == 1 && other.changes == 0)
    }

    /// A sequence passes its 256th token, and its attention is computed in parts: one kernel more.
    @Test func otherKernelsAreAnotherGraph() throws {
        let backend = try makeHostBackend()
        let run = try run(backend, [(0..<251).map { $0 % 11 + 2 }])
        var made: [Int] = []
        for _ in 0..<12 {
            _ = run.step([0])
            made.append(backend.graphCounts.made)
        }
        #expect(made == [0, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2])
        #expect(backend.graphCounts.replays == 10)
    }

    @Test func withoutGraphsKernelsAreLaunched() throws {
        let notes = Mutex<[String]>([])
        let backend = try makeHostBackend(
            { cuda_host_driver_without_graphs($0) }, note: { note in notes.withLock { $0.append(note) } })
        #expect(try logits(run(backend)) == expected())
        #expect(backend.failure == nil && backend.graphCounts.replays == 0)
        let texts = notes.withLock { $0 }
        #expect(texts.count == 1 && texts[0].contains("cuGraphInstantiate failed with 2"), "\(texts)")
    }

    @Test func graphsAreBounded() throws {
        var limits = GraphLimits()
        limits.launches = 40
        let backend = try makeHostBackend(graphs: limits)
        #expect(try logits(run(backend)) == expected())
        let before = backend.graphCounts.made
        let again = try run(backend)
        for members in [[0, 1], [0], [0, 1], [0]] { _ = again.step(members) }
        // Each has put the one before out.
        #expect(backend.graphCounts.made == before + 4)
    }

    @Test func limitsHold() throws {
        var limits = GraphLimits()
        (limits.rows, limits.length) = (2, 50)
        let backend = try makeHostBackend(graphs: limits)
        let run = try run(backend)
        for _ in 0..<3 {
            _ = run.step([0, 1, 2])
            _ = run.step([0, 2])
        }
        #expect(backend.graphCounts == GraphCounts())
        for _ in 0..<3 { _ = run.step([0, 1]) }
        #expect(backend.graphCounts.made == 1 && backend.graphCounts.replays == 2)
    }

    /// Whoever still holds what was worked out for a step keeps the memory of its inputs.
    @Test func inputsThatAreHeldAreKept() throws {
        let backend = try makeHostBackend()
        let run = try run(backend)
        run.keepsPasses = true
        #expect(logits(run) == (try expected()))
        let counts = backend.graphCounts
        #expect(counts.replays == 0 && counts.single > 0 && counts.single <= 32, "\(counts)")
    }
}
