import Foundation
import Tensors
import Testing

@testable import Ranks

@Suite struct ControlChannelTests {
    private static let secret = Array<UInt8>(repeating: 7, count: 16)

    /// Channels of `size` ranks over TCP, with a health for each.
    private func connect(_ size: Int) async throws -> ([ControlChannel], [GroupHealth]) {
        let healths = (0..<size).map { _ in GroupHealth() }
        let host = try RendezvousHost(Rendezvous(host: "127.0.0.1", port: 0, secret: Self.secret))
        let address = Rendezvous(host: "127.0.0.1", port: host.port, secret: Self.secret)
        let others = (1..<size).map { rank in
            thread { try address.join(rank: rank, size: size, healths[rank]) }
        }
        let leader = try await thread { try host.meet(size: size, healths[0]) }.value
        var channels = [leader]
        for other in others { channels.append(try await other.value) }
        return (channels, healths)
    }

    /// What `work` gives on a thread of its own, and how long it took there: the thread may begin late.
    private func timed<Result: Sendable>(
        _ work: @escaping @Sendable () -> Result
    ) async throws -> (Result, Duration) {
        try await thread {
            let start = ContinuousClock.now
            let result = work()
            return (result, .now - start)
        }.value
    }

    @Test func messagesArriveWholeAndInOrder() async throws {
        let (channels, healths) = try await connect(3)
        let messages = (0..<20).map { [UInt8](repeating: UInt8($0), count: $0 * $0 * 997) }
        let sent = thread { for message in messages { channels[0].send(message) } }
        for channel in channels[1...] {
            for message in messages {
                #expect(try await thread { channel.receive(from: 0) }.value == message)
            }
            channel.send([UInt8(channel.rank)])
        }
        try await sent.value
        for rank in 1..<3 {
            #expect(try await thread { channels[0].receive(from: rank) }.value == [UInt8(rank)])
        }
        channels[0].leave()
        for channel in channels[1...] { #expect(try await thread { channel.receive(from: 0) }.value == nil) }
        #expect(healths.allSatisfy { $0.failure == nil })
    }

    /// A rank whose process ends is noticed at once.
    @Test func aClosedConnectionIsALostRank() async throws {
        var pair: [Int32] = [0, 0]
        #expect(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &pair) == 0)
        let health = GroupHealth()
        let channel = ControlChannel(rank: 0, [1: Socket(pair[0])], health)
        close(pair[1])
        let (message, time) = try await timed { channel.receive(from: 1) }
        #expect(message == nil)
        // It ended or, had something been on its way, was reset.
        guard case .lost(rank: 1, _) = health.failure else { Issue.record("\(health)"); return }
        #expect(time < ControlChannel.patience)
    }

    /// One that says nothing any more is given up.
    @Test func aSilentRankIsLost() async throws {
        var pair: [Int32] = [0, 0]
        #expect(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &pair) == 0)
        let silent = Socket(pair[1])
        let health = GroupHealth()
        let channel = ControlChannel(rank: 0, [1: Socket(pair[0])], health)
        let (message, time) = try await timed { channel.receive(from: 1) }
        #expect(message == nil)
        guard case .lost(rank: 1, _) = health.failure else { Issue.record("\(health)"); return }
        #expect(time < .seconds(5))
        withExtendedLifetime(silent) {}
    }

    @Test(arguments: [[0, 0, 0, 0, 9], [255, 255, 255, 255, 1], [1, 0, 0, 0, 77]] as [[UInt8]])
    func nonsenseEndsTheGroup(_ bytes: [UInt8]) async throws {
        var pair: [Int32] = [0, 0]
        #expect(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &pair) == 0)
        let other = Socket(pair[1])
        let health = GroupHealth()
        let channel = ControlChannel(rank: 0, [1: Socket(pair[0])], health)
        #expect(bytes.withUnsafeBytes(other.send))
        #expect(try await thread { channel.receive(from: 1) }.value == nil)
        #expect(health.failure != nil)
    }

    /// Who does not know the secret is sent away, and does not disturb those who do.
    @Test func strangersAreSentAway() async throws {
        let health = GroupHealth()
        let host = try RendezvousHost(Rendezvous(host: "127.0.0.1", port: 0, secret: Self.secret))
        let port = host.port
        var stranger = Rendezvous(host: "127.0.0.1", port: port, secret: Array(repeating: 8, count: 16))
        stranger.patience = .seconds(5)
        let refused = thread { [stranger] in
            (try? stranger.join(rank: 1, size: 2, GroupHealth())) == nil
        }
        let friend = thread {
            usleep(200_000)
            return try Rendezvous(host: "127.0.0.1", port: port, secret: Self.secret)
                .join(rank: 1, size: 2, GroupHealth())
        }
        let channel = try await thread { try host.meet(size: 2, health) }.value
        #expect(try await refused.value)
        let other = try await friend.value
        other.send([1, 2, 3])
        #expect(try await thread { channel.receive(from: 1) }.value == [1, 2, 3])
        #expect(health.failure == nil)
    }

    @Test func whoDoesNotComeIsWaitedForSoLong() async throws {
        var rendezvous = Rendezvous(host: "127.0.0.1", port: 0, secret: Self.secret)
        rendezvous.patience = .milliseconds(200)
        let host = try RendezvousHost(rendezvous)
        await #expect(throws: GroupFailure.self) {
            try await thread { try host.meet(size: 2, GroupHealth()) }.value
        }
    }

    @Test func ranksAgreeOnTheLeast() async throws {
        let groups = RankGroup.threads(3)
        let others = groups[1...].map { group in
            thread { try group.agree(on: 100 * group.communicator.rank, "model") }
        }
        #expect(try await thread { try groups[0].agree(on: 150, "model") }.value == 100)
        for other in others { #expect(try await other.value == 100) }
    }

    @Test func otherModelsAreRefused() async throws {
        let groups = RankGroup.threads(2)
        let other = thread { try groups[1].agree(on: 5, "another") }
        await #expect(throws: GroupFailure.self) {
            try await thread { try groups[0].agree(on: 5, "model") }.value
        }
        groups[0].health.fail(.rendezvous("over"))
        await #expect(throws: GroupFailure.self) { try await other.value }
    }
}
