import Foundation
import ReferenceBackend
import Tensors
import Testing

@testable import Ranks

@Suite struct SocketCommunicatorTests {
    /// Everybody gets all parts, and rank 0 those that only it is to have, also of more bytes than a socket holds.
    @Test(arguments: [(2, 3, 5), (3, 1, 1), (3, 0, 7), (4, 64, 20_011)])
    func partsArriveWhole(_ size: Int, _ rows: Int, _ columns: Int) async throws {
        let healths = (0..<size).map { _ in GroupHealth() }
        let secret = [UInt8](repeating: 9, count: 16)
        let host = try RendezvousHost(Rendezvous(host: "127.0.0.1", port: 0, secret: secret))
        let address = Rendezvous(host: "127.0.0.1", port: host.port, secret: secret)
        @Sendable func number(_ rank: Int, _ index: Int) -> Float {
            Float((index * 7919 + rank * 104_729) % 1000)
        }
        let works = (0..<size).map { rank in
            thread { () throws -> (Matrix, Matrix, ControlChannel) in
                let channel =
                    rank == 0
                    ? try host.meet(size: size, healths[0])
                    : try address.join(rank: rank, size: size, healths[rank])
                let communicator = try SocketCommunicator.connect(
                    channel, size: size, address, healths[rank])
                let backend = ReferenceBackend()
                func parts() -> Matrix {
                    let parts = backend.makeMatrix(rows: size * rows, columns: columns)
                    let start = parts.buffer.address.assumingMemoryBound(to: Float.self)
                    let own = rank * rows * columns..<(rank + 1) * rows * columns
                    for index in 0..<size * rows * columns {
                        start[index] = own.contains(index) ? number(rank, index) : -1
                    }
                    return parts
                }
                let (all, gathered) = (parts(), parts())
                for _ in 0..<3 { communicator.allGather(all) }
                communicator.gather(gathered)
                return (all, gathered, channel)
            }
        }
        var channels: [ControlChannel] = []
        for (rank, work) in works.enumerated() {
            let (all, gathered, channel) = try await work.value
            channels.append(channel)
            for (matrix, isWhole) in [(all, true), (gathered, rank == 0)] {
                let start = matrix.buffer.address.assumingMemoryBound(to: Float.self)
                let wrong = (0..<size * rows * columns).first { index in
                    let owner = index / (rows * columns)
                    return start[index] != (isWhole || owner == rank ? number(owner, index) : -1)
                }
                #expect(wrong == nil, "rank \(rank)")
            }
        }
        #expect(healths.allSatisfy { $0.failure == nil })
        for channel in channels { channel.leave() }
    }

    /// Whoever waits for a rank that is gone learns of it.
    @Test func aConnectionThatEndsFailsTheGroup() async throws {
        var pair: [Int32] = [0, 0]
        #expect(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &pair) == 0)
        let health = GroupHealth()
        let communicator = SocketCommunicator(rank: 0, [1: Socket(pair[0])], health)
        let waiting = thread { communicator.allGather(ReferenceBackend().makeMatrix(rows: 2, columns: 1)) }
        close(pair[1])
        try await waiting.value
        guard case .lost(rank: 1, _) = health.failure else { Issue.record("\(health)"); return }
    }

    /// And whoever waits for one that is silent goes when the group has failed.
    @Test func aFailedGroupLetsEverybodyGo() async throws {
        var pair: [Int32] = [0, 0]
        #expect(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &pair) == 0)
        defer { close(pair[1]) }
        let health = GroupHealth()
        let communicator = SocketCommunicator(rank: 0, [1: Socket(pair[0])], health)
        let waiting = thread { communicator.allGather(ReferenceBackend().makeMatrix(rows: 2, columns: 1)) }
        health.fail(.exchange("a test"))
        try await waiting.value
        #expect(health.failure == .exchange("a test"))
    }
}
