import Foundation
import Synchronization

/// What ranks tell each other beside the numbers they exchange: rank 0 the others what to compute, everybody that it
/// is still there.
///
/// A frame is the length of what follows in four bytes, a kind in one, and the message. A thread sends a pulse twice
/// a second and takes in what arrives; a connection that ends, or is silent for `patience`, is a rank that is gone.
public final class ControlChannel: Sendable {
    public let rank: Int
    private let peers: [Int: Peer]
    private let health: GroupHealth
    private let isLeaving = Atomic<Bool>(false)

    /// How long nothing may be heard of a rank.
    static let patience = Duration.seconds(3)
    private static let pulse = Duration.milliseconds(500)
    /// The largest message: far more than any step's.
    static let largestMessage = 1 << 28

    enum Kind: UInt8 { case pulse, message, farewell }

    /// A connection to each of `sockets`' ranks.
    init(rank: Int, _ sockets: [Int: Socket], _ health: GroupHealth) {
        (self.rank, self.health) = (rank, health)
        for socket in sockets.values { socket.prepare(patience: Self.patience) }
        peers = Dictionary(uniqueKeysWithValues: sockets.map { ($0, Peer(rank: $0, $1)) })
        let (peers, pulse) = (Array(peers.values), Self.pulse)
        let thread = Thread { [weak self, health] in
            var next = ContinuousClock.now
            while let self, !health.hasFailed, !isLeaving.load(ordering: .relaxed) {
                if ContinuousClock.now >= next {
                    for peer in peers { peer.sendPulse() }
                    next = .now + pulse
                }
                take(from: peers, until: next)
            }
            for peer in peers { peer.inbox.close() }
        }
        thread.name = "lightllm-ranks"
        thread.start()
        health.onFailure { _ in for peer in peers { peer.inbox.close() } }
    }

    /// Channels of threads in one process, which belong together.
    public static func group(of size: Int, _ healths: [GroupHealth]) -> [ControlChannel] {
        var ofLeader: [Int: Socket] = [:]
        var others: [ControlChannel] = []
        for rank in 1..<size {
            var pair: [Int32] = [0, 0]
            let code = socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &pair)
            precondition(code == 0, "socketpair: \(Socket.complaint)")
            ofLeader[rank] = Socket(pair[0])
            others.append(ControlChannel(rank: rank, [0: Socket(pair[1])], healths[rank]))
        }
        return [ControlChannel(rank: 0, ofLeader, healths[0])] + others
    }

    /// Sends `message` to everybody that this rank is connected to: from rank 0 to all others, from others to it.
    public func send(_ message: [UInt8]) {
        for peer in peers.values where !peer.send(.message, message) { lose(peer, "it takes no messages") }
    }

    /// The next message of `rank`; nil when none comes any more.
    public func receive(from rank: Int) -> [UInt8]? { peers[rank]?.inbox.take() }

    /// The address of this machine that rank 0 sees.
    var ownAddress: String? { peers[0]?.socket.ownAddress }

    /// Ends the group in order. Nothing can be sent any more.
    public func leave() {
        isLeaving.store(true, ordering: .relaxed)
        for peer in peers.values { _ = peer.send(.farewell, []) }
    }

    private func lose(_ peer: Peer, _ reason: String) {
        guard !isLeaving.load(ordering: .relaxed) else { return }
        health.fail(.lost(rank: peer.rank, reason))
    }

    /// Takes in what arrives until `end`.
    private func take(from peers: [Peer], until end: ContinuousClock.Instant) {
        let listening = peers.filter { !$0.hasLeft }
        var entries = listening.map { pollfd(fd: $0.socket.descriptor, events: Int16(POLLIN), revents: 0) }
        let time = max(0, Int32((end - .now) / .milliseconds(1)) + 1)
        guard poll(&entries, nfds_t(entries.count), time) >= 0 else { return }
        for (entry, peer) in zip(entries, listening) {
            if entry.revents != 0 {
                if let reason = peer.takeBytes() { lose(peer, reason) }
            } else if ContinuousClock.now - peer.lastHeard > Self.patience {
                lose(peer, "nothing was heard of it for \(Self.patience)")
            }
        }
    }
}

/// Another rank, as the thread of a channel sees it.
private final class Peer: @unchecked Sendable {
    // Unsafe: `received`, `lastHeard` and `hasLeft` belong to the channel's thread.
    let rank: Int
    let socket: Socket
    let inbox = Inbox()
    private(set) var lastHeard = ContinuousClock.now
    private(set) var hasLeft = false
    private var received: [UInt8] = []
    private let sending = Mutex<Void>(())

    init(rank: Int, _ socket: Socket) { (self.rank, self.socket) = (rank, socket) }

    func send(_ kind: ControlChannel.Kind, _ message: [UInt8]) -> Bool {
        sending.withLock { _ in write(kind, message) }
    }

    /// Whoever is being sent a message needs no pulse.
    func sendPulse() { _ = sending.withLockIfAvailable { _ in write(.pulse, []) } }

    private func write(_ kind: ControlChannel.Kind, _ message: [UInt8]) -> Bool {
        let length = UInt32(message.count + 1)
        let frame = (0..<4).map { UInt8(truncatingIfNeeded: length >> (8 * UInt32($0))) } + [kind.rawValue]
        return (frame + message).withUnsafeBytes(socket.send)
    }

    /// Takes what has arrived; says why this is the last that was heard.
    func takeBytes() -> String? {
        var part = [UInt8](repeating: 0, count: 1 << 16)
        let count = recv(socket.descriptor, &part, part.count, Int32(MSG_DONTWAIT))
        guard count != 0 else {
            inbox.close()
            return "its connection ended"
        }
        guard count > 0 else { return errno == EAGAIN || errno == EINTR ? nil : Socket.complaint }
        received += part.prefix(count)
        lastHeard = .now
        return takeFrames()
    }

    private func takeFrames() -> String? {
        var start = 0
        while received.count - start >= 5 {
            let length = (0..<4).reduce(0) { $0 | Int(received[start + $1]) << (8 * $1) }
            guard length >= 1, length <= ControlChannel.largestMessage else {
                return "a message of \(length) bytes"
            }
            guard received.count - start >= 4 + length else { break }
            switch ControlChannel.Kind(rawValue: received[start + 4]) {
            case .pulse: break
            case .message: inbox.post(Array(received[start + 5..<start + 4 + length]))
            case .farewell:
                hasLeft = true
                inbox.close()
            case nil: return "a message of kind \(received[start + 4])"
            }
            start += 4 + length
        }
        received.removeFirst(start)
        return nil
    }
}

/// Messages of one rank, in order.
private final class Inbox: Sendable {
    private struct State {
        var messages: [[UInt8]] = []
        var isClosed = false
    }

    private let state = Mutex(State())
    private let arrivals = DispatchSemaphore(value: 0)

    func post(_ message: [UInt8]) {
        state.withLock { $0.messages.append(message) }
        arrivals.signal()
    }

    func close() {
        state.withLock { $0.isClosed = true }
        arrivals.signal()
    }

    /// Waits for the next one; nil when there is none and none will come.
    func take() -> [UInt8]? {
        while true {
            let (message, isOver) = state.withLock { state -> ([UInt8]?, Bool) in
                if !state.messages.isEmpty { return (state.messages.removeFirst(), false) }
                return (nil, state.isClosed)
            }
            if let message { return message }
            if isOver { return nil }
            arrivals.wait()
        }
    }
}
