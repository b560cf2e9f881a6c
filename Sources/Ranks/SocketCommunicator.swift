import Foundation
public import Tensors

/// Ranks that exchange numbers over TCP, each with every other, where no MPI carries them.
public final class SocketCommunicator: Communicator {
    public let rank: Int
    public let size: Int
    private let links: [Int: Socket]
    private let health: GroupHealth

    init(rank: Int, _ links: [Int: Socket], _ health: GroupHealth) {
        (self.rank, size) = (rank, links.count + 1)
        (self.links, self.health) = (links, health)
        for link in links.values { link.prepare(patience: ControlChannel.patience) }
    }

    /// Connects the ranks of a group of `size`, which have met at `rendezvous` and have a `channel`. Each connects to
    /// those before it, and waits for those after it at the address from which it reached rank 0.
    public static func connect(
        _ channel: ControlChannel, size: Int, _ rendezvous: Rendezvous, _ health: GroupHealth
    ) throws(GroupFailure) -> SocketCommunicator {
        let rank = channel.rank
        guard let host = rank == 0 ? rendezvous.host : channel.ownAddress else {
            throw .rendezvous("this rank does not know its own address")
        }
        var own = rendezvous
        (own.host, own.port) = (host, 0)
        let door = try RendezvousHost(own)
        let doors = try exchange(Door(host: host, port: door.port), channel, size: size, health)
        var links: [Int: Socket] = [:]
        for other in 0..<rank {
            var theirs = rendezvous
            (theirs.host, theirs.port) = (doors[other].host, doors[other].port)
            links[other] = try theirs.connect(rank: rank, to: other, size: size)
        }
        for (other, link) in try door.accept(rank + 1..<size, as: rank, size: size) { links[other] = link }
        return SocketCommunicator(rank: rank, links, health)
    }

    /// Where everybody waits, by rank: what each has said to rank 0, and that to all.
    private static func exchange(
        _ own: Door, _ channel: ControlChannel, size: Int, _ health: GroupHealth
    ) throws(GroupFailure) -> [Door] {
        func doors(from rank: Int, count: Int) throws(GroupFailure) -> [Door] {
            guard let message = channel.receive(from: rank) else {
                throw health.failure ?? .lost(rank: rank, "it left before all were connected")
            }
            guard let doors = Door.list(message), doors.count == count else {
                throw .misunderstood(rank: rank, "where it waits")
            }
            return doors
        }
        guard channel.rank == 0 else {
            channel.send(Door.message([own]))
            return try doors(from: 0, count: size)
        }
        var all = [own]
        for other in 1..<size { all += try doors(from: other, count: 1) }
        channel.send(Door.message(all))
        return all
    }

    public func allGather(_ parts: Matrix) {
        exchange(parts, from: Array(links.keys), to: Array(links.keys))
    }

    public func gather(_ parts: Matrix) {
        if rank == 0 {
            exchange(parts, from: Array(links.keys), to: [])
        } else {
            exchange(parts, from: [], to: [0])
        }
    }

    /// Sends this rank's part and receives others', whichever goes on first.
    private func exchange(_ parts: Matrix, from senders: [Int], to receivers: [Int]) {
        let bytes = 4 * (parts.rows / size) * parts.columns
        // Of nothing nothing arrives.
        guard bytes > 0 else { return }
        let start = parts.buffer.address + 4 * parts.offset
        var transfers = senders.compactMap { other in
            links[other].map {
                Transfer(
                    rank: other, socket: $0, isIncoming: true,
                    left: UnsafeMutableRawBufferPointer(start: start + other * bytes, count: bytes))
            }
        }
        transfers += receivers.compactMap { other in
            links[other].map {
                Transfer(
                    rank: other, socket: $0, isIncoming: false,
                    left: UnsafeMutableRawBufferPointer(start: start + rank * bytes, count: bytes))
            }
        }
        while !transfers.isEmpty, !health.hasFailed {
            var entries = transfers.map { $0.entry }
            // Now and then whoever waits looks whether there is still a group.
            guard poll(&entries, nfds_t(entries.count), 100) >= 0 || errno == EINTR else {
                return health.fail(.exchange(Socket.complaint))
            }
            for index in transfers.indices.reversed() where entries[index].revents != 0 {
                guard transfers[index].proceed() else {
                    return health.fail(.lost(rank: transfers[index].rank, "its connection ended"))
                }
                if transfers[index].left.isEmpty { transfers.remove(at: index) }
            }
        }
        withExtendedLifetime(parts) {}
    }
}

/// Numbers on their way over one connection, in one direction.
private struct Transfer {
    let rank: Int
    let socket: Socket
    let isIncoming: Bool
    // Unsafe: a part of a matrix that the exchange holds.
    var left: UnsafeMutableRawBufferPointer

    var entry: pollfd {
        pollfd(fd: socket.descriptor, events: Int16(isIncoming ? POLLIN : POLLOUT), revents: 0)
    }

    /// Moves what can be moved now; false when nothing can be any more.
    mutating func proceed() -> Bool {
        while let address = left.baseAddress, !left.isEmpty {
            let flags = Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL)
            let count =
                isIncoming
                ? recv(socket.descriptor, address, left.count, flags)
                : send(socket.descriptor, address, left.count, flags)
            if count < 0 {
                if errno == EINTR { continue }
                return errno == EAGAIN
            }
            guard count > 0 else { return false }
            left = UnsafeMutableRawBufferPointer(rebasing: left[count...])
        }
        return true
    }
}

/// Where a rank waits for others: a line of a message.
private struct Door {
    let host: String
    let port: Int

    static func message(_ doors: [Door]) -> [UInt8] {
        Array(doors.map { "\($0.port) \($0.host)\n" }.joined().utf8)
    }

    /// What `message` lists; nil when it lists nothing of the kind.
    static func list(_ message: [UInt8]) -> [Door]? {
        guard message.count <= 1 << 16, let text = String(validating: message, as: UTF8.self) else {
            return nil
        }
        var doors: [Door] = []
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ", maxSplits: 1)
            guard words.count == 2, let port = Int(words[0]), (1...65_535).contains(port) else { return nil }
            doors.append(Door(host: String(words[1]), port: port))
        }
        return doors
    }
}
