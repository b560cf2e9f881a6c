import Hashing
public import Tensors

/// What a process has of the group it belongs to.
public struct RankGroup: Sendable {
    public let communicator: any Communicator
    public let channel: ControlChannel
    public let health: GroupHealth
    /// How many ranks share this machine's memory.
    public let ranksOfHost: Int

    public init(
        communicator: any Communicator, channel: ControlChannel, health: GroupHealth, ranksOfHost: Int
    ) {
        (self.communicator, self.channel) = (communicator, channel)
        (self.health, self.ranksOfHost) = (health, ranksOfHost)
    }

    /// This rank's number among those of its machine, when ranks fill one machine after the other.
    public var rankOfHost: Int { communicator.rank % ranksOfHost }

    /// The same with another way to exchange numbers.
    public func exchanging(by communicator: any Communicator) -> RankGroup {
        RankGroup(communicator: communicator, channel: channel, health: health, ranksOfHost: ranksOfHost)
    }

    /// What rank 0 says, to everybody. Throws when the others do not hear it.
    public func broadcast(_ message: () throws -> [UInt8]) throws -> [UInt8] {
        if isLeader {
            let message = try message()
            channel.send(message)
            return message
        }
        guard let message = channel.receive(from: 0) else {
            throw health.failure ?? .lost(rank: 0, "it left before the model was loaded")
        }
        return message
    }

    public var isLeader: Bool { communicator.rank == 0 }

    /// Threads of one process that belong together.
    public static func threads(_ size: Int) -> [RankGroup] {
        let health = GroupHealth()
        let channels = ControlChannel.group(of: size, Array(repeating: health, count: size))
        return zip(ThreadCommunicator.group(of: size, health), channels).map {
            RankGroup(communicator: $0, channel: $1, health: health, ranksOfHost: size)
        }
    }
}

extension RankGroup {
    /// The least of what each rank says, for all of them. Throws unless they give the same `signature`: the same
    /// model, loaded alike.
    public func agree(on count: Int, _ signature: String) throws(GroupFailure) -> Int {
        let size = communicator.size
        guard isLeader else {
            channel.send(Offer(count: count, signature: signature).bytes)
            return try offer(from: 0, signature).count
        }
        var least = count
        for rank in 1..<size { least = min(least, try offer(from: rank, signature).count) }
        channel.send(Offer(count: least, signature: signature).bytes)
        return least
    }

    /// Returns once all ranks are here.
    public func waitForAll() throws(GroupFailure) { _ = try agree(on: 0, "") }

    private func offer(from rank: Int, _ signature: String) throws(GroupFailure) -> Offer {
        guard let message = channel.receive(from: rank) else {
            throw health.failure ?? .lost(rank: rank, "it left before the model was loaded")
        }
        guard let offer = Offer(message) else {
            throw .misunderstood(rank: rank, "\(message.count) bytes instead of an offer")
        }
        guard offer.hash == Offer(count: 0, signature: signature).hash else {
            throw .misunderstood(rank: rank, "its model is another one, or loaded otherwise")
        }
        return offer
    }
}

/// What a rank can do, in 24 bytes: a magic number and the version, a count, and a hash of what it has loaded.
private struct Offer {
    let count: Int
    let hash: UInt64
    private static let magic: UInt64 = 0x4C4C_4D4F_0000_0001

    init(count: Int, signature: String) {
        self.count = count
        hash = fnv1a(signature.utf8)
    }

    init?(_ message: [UInt8]) {
        guard message.count == 24 else { return nil }
        let words = (0..<3).map { word in
            (0..<8).reduce(UInt64(0)) { $0 | UInt64(message[8 * word + $1]) << (8 * UInt64($1)) }
        }
        guard words[0] == Self.magic, let count = Int(exactly: words[1]) else { return nil }
        (self.count, hash) = (count, words[2])
    }

    var bytes: [UInt8] {
        [Self.magic, UInt64(count), hash].flatMap { word in
            (0..<8).map { UInt8(truncatingIfNeeded: word >> (8 * UInt64($0))) }
        }
    }
}
