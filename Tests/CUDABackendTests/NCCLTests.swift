import CCUDA
import CCUDAHost
import CUDABackend
import CUDARuntime
import Foundation
import Tensors
import Testing

/// GPUs that share out a model, on a device and an NCCL that are this process.
@Suite(.serialized) struct NCCLTests {
    private func library() throws -> NCCL {
        var table: ccuda_nccl_api?
        withUnsafeMutablePointer(to: &table) { table in
            table.withMemoryRebound(to: ccuda_nccl_api.self, capacity: 1) { cuda_host_nccl($0) }
        }
        return NCCL(table: try #require(table))
    }

    /// What `work` gives on a thread for each rank.
    private func onRanks<Result: Sendable>(
        _ size: Int, _ work: @escaping @Sendable (NCCLCommunicator, CUDABackend) -> Result
    ) async throws -> [Result] {
        let library = try library()
        let identifier = try library.makeIdentifier()
        return try await withThrowingTaskGroup(of: (Int, Result).self) { tasks in
            for rank in 0..<size {
                tasks.addTask {
                    try await withCheckedThrowingContinuation { continuation in
                        Thread {
                            continuation.resume(
                                with: Swift.Result {
                                    let backend = try makeHostBackend()
                                    let communicator = try NCCLCommunicator(
                                        backend, library, identifier, rank: rank, size: size)
                                    return (rank, work(communicator, backend))
                                })
                        }.start()
                    }
                }
            }
            var results: [Int: Result] = [:]
            for try await (rank, result) in tasks { results[rank] = result }
            return (0..<size).compactMap { results[$0] }
        }
    }

    @Test func sumsAreOfAllRanksInOrder() async throws {
        let values = (0..<3).map { rank in
            var noise = Noise(rank)
            return noise.rows(5, 40)
        }
        let sums = try await onRanks(3) { communicator, backend in
            backend.rows(
                communicator.sum(rows: 5, columns: 40, on: backend) {
                    $0.copy(backend.matrix(values[communicator.rank]))
                })
        }
        var expected: [[Float]] = values[0]
        for row in 0..<5 {
            for column in 0..<40 {
                let first: Float = values[0][row][column] + values[1][row][column]
                expected[row][column] = first + values[2][row][column]
            }
        }
        for sum in sums { #expect(sum == expected) }
    }

    @Test func columnsComeTogetherAtRankZero() async throws {
        let joined = try await onRanks(3) { communicator, backend in
            backend.rows(
                communicator.join(rows: 2, columns: 7, on: backend) { part in
                    let own = communicator.columns(of: communicator.rank, among: 7)
                    let first: [Float] = own.map { Float($0) }
                    part.copy(backend.matrix([first, first.map { $0 + 10 }]))
                })
        }
        #expect(joined[0] == [[0, 1, 2, 3, 4, 5, 6], [10, 11, 12, 13, 14, 15, 16]])
    }
}
