import Foundation
import Ranks
import ReferenceBackend
import Tensors
import Testing

@Suite struct CommunicatorTests {
    /// Sums have the same bits on every rank: those of adding in the order of ranks.
    @Test(arguments: [2, 3, 5])
    func sumsAreOfAllRanksInOrder(_ size: Int) async throws {
        let (rows, columns) = (7, 33)
        @Sendable func number(_ rank: Int, _ index: Int) -> Float {
            Float((index * 7919 + rank * 104_729) % 1000) / 7
        }
        let expected = (0..<rows * columns).map { index in
            (1..<size).reduce(number(0, index)) { $0 + number($1, index) }
        }
        try await withThrowingTaskGroup(of: [Float].self) { tasks in
            for communicator in ThreadCommunicator.group(of: size) {
                tasks.addTask {
                    try await thread {
                        let backend = ReferenceBackend()
                        let values = (0..<rows * columns).map { number(communicator.rank, $0) }
                        let own = backend.makeVector([
                            HostWeight(
                                outputs: rows, inputs: columns, encoding: .float32,
                                bytes: values.withUnsafeBytes { HostBytes(copying: $0) })
                        ])
                        let sum = communicator.sum(rows: rows, columns: columns, on: backend) { part in
                            let flat = Matrix(
                                rows: 1, columns: rows * columns, backend: backend, buffer: part.buffer,
                                offset: part.offset)
                            backend.gatherRows([0], of: own, into: flat)
                        }
                        var result: [Float] = []
                        for row in 0..<rows {
                            var values: [Float] = []
                            backend.read(sum, row: row, into: &values)
                            result += values
                        }
                        return result
                    }.value
                }
            }
            for try await result in tasks { #expect(result == expected) }
        }
    }

    /// Nobody waits for a group that has failed.
    @Test func aFailedGroupLetsEverybodyGo() async throws {
        let health = GroupHealth()
        let communicators = ThreadCommunicator.group(of: 2, health)
        let waiting = thread {
            communicators[1].allGather(ReferenceBackend().makeMatrix(rows: 2, columns: 1))
        }
        health.fail(.exchange("a test"))
        try await waiting.value
        #expect(health.failure == .exchange("a test"))
    }

    @Test(arguments: [(10, 1, 3), (7, 1, 7), (1536, 32, 4), (1536, 256, 4), (49_152, 1, 2)])
    func partsAreAllOfIt(_ total: Int, _ grain: Int, _ count: Int) {
        let parts = (0..<count).map { Shard(index: $0, of: count).range(of: total, grain: grain) }
        #expect(parts.flatMap { Array($0) } == Array(0..<total))
        #expect(parts.allSatisfy { $0.lowerBound.isMultiple(of: grain) })
        #expect((parts.map(\.count).max() ?? 0) - (parts.map(\.count).min() ?? 0) <= grain)
    }
}

/// What `work` gives on a thread of its own: it may wait for other threads, of which tasks have few.
func thread<Result: Sendable>(
    _ work: @escaping @Sendable () throws -> Result
) -> Task<Result, any Error> {
    Task {
        try await withCheckedThrowingContinuation { continuation in
            Thread { continuation.resume(with: Swift.Result { try work() }) }.start()
        }
    }
}
