import Foundation

/// How ranks find rank 0 and each other's control channels.
public struct Rendezvous: Sendable {
    /// Where rank 0 listens. Others on the same machine only, unless the address says otherwise.
    public var host: String
    public var port: Int
    /// What those who belong to the group know: 16 bytes, from whoever started it.
    public var secret: [UInt8]
    /// How long ranks wait for each other.
    public var patience = Duration.seconds(60)

    public init(host: String, port: Int, secret: [UInt8]) {
        precondition(secret.count == 16, "a secret of \(secret.count) bytes")
        (self.host, self.port, self.secret) = (host, port, secret)
    }

    /// The first message on a connection: magic, version, rank, size, secret.
    static let greetingBytes = 32
    private static let magic: UInt32 = 0x4C4C_4D47
    private static let version: UInt32 = 1

    func greeting(rank: Int, size: Int) -> [UInt8] {
        [Self.magic, Self.version, UInt32(rank), UInt32(size)].flatMap { word in
            (0..<4).map { UInt8(truncatingIfNeeded: word >> (8 * UInt32($0))) }
        } + secret
    }

    /// The rank that a greeting is from; nil when it belongs to no such group.
    func rank(of greeting: [UInt8], size: Int) -> Int? {
        let words = (0..<4).map { index in
            (0..<4).reduce(UInt32(0)) { $0 | UInt32(greeting[4 * index + $1]) << (8 * UInt32($1)) }
        }
        guard words[0] == Self.magic, words[1] == Self.version, words[3] == UInt32(size),
            words[2] < UInt32(size), Array(greeting[16...]) == secret
        else { return nil }
        return Int(words[2])
    }
}

/// Rank 0's side of a rendezvous, which listens from its creation on.
public final class RendezvousHost: Sendable {
    private let listener: Listener
    private let rendezvous: Rendezvous

    public init(_ rendezvous: Rendezvous) throws(GroupFailure) {
        listener = try Listener(
            host: rendezvous.host, port: rendezvous.port, until: .now + rendezvous.patience)
        self.rendezvous = rendezvous
    }

    /// Where the others are to connect to.
    public var port: Int { listener.port }

    /// Waits for all others.
    public func meet(size: Int, _ health: GroupHealth) throws(GroupFailure) -> ControlChannel {
        ControlChannel(rank: 0, try accept(1..<size, as: 0, size: size), health)
    }

    /// Waits, as rank `own`, for those of `ranks`. Whoever does not know the group's secret is sent away.
    func accept(_ ranks: Range<Int>, as own: Int, size: Int) throws(GroupFailure) -> [Int: Socket] {
        let end = ContinuousClock.now + rendezvous.patience
        var sockets: [Int: Socket] = [:]
        while sockets.count < ranks.count {
            let left = end - .now
            guard left > .zero else {
                let here = size - ranks.count + sockets.count
                throw .rendezvous("\(here) of \(size) are here after \(rendezvous.patience)")
            }
            guard let socket = listener.accept(within: left),
                let greeting = socket.receive(Rendezvous.greetingBytes, patience: min(left, .seconds(2))),
                let rank = rendezvous.rank(of: greeting, size: size), ranks.contains(rank),
                sockets[rank] == nil,
                rendezvous.greeting(rank: own, size: size).withUnsafeBytes(socket.send)
            else { continue }
            sockets[rank] = socket
        }
        return sockets
    }
}

extension Rendezvous {
    /// Another rank's side of it.
    public func join(rank: Int, size: Int, _ health: GroupHealth) throws(GroupFailure) -> ControlChannel {
        ControlChannel(rank: rank, [0: try connect(rank: rank, to: 0, size: size)], health)
    }

    /// A connection of `rank` to `other`, which waits at the host.
    func connect(rank: Int, to other: Int, size: Int) throws(GroupFailure) -> Socket {
        let end = ContinuousClock.now + patience
        let address = try Address.found(until: end) { () throws(GroupFailure) in
            try Address(host: host, port: port, passive: false)
        }
        guard let socket = address.connect(until: end) else {
            throw .rendezvous("\(host):\(port): \(Socket.complaint)")
        }
        guard greeting(rank: rank, size: size).withUnsafeBytes(socket.send),
            let answer = socket.receive(Self.greetingBytes, patience: end - .now),
            self.rank(of: answer, size: size) == other
        else { throw .rendezvous("\(host):\(port) does not know this group") }
        return socket
    }
}
