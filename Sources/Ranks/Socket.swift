import Foundation

/// A TCP connection, or one end of a pair, that closes with its last user.
final class Socket: Sendable {
    let descriptor: Int32

    init(_ descriptor: Int32) { self.descriptor = descriptor }

    deinit { close(descriptor) }

    /// What the last call complained about.
    static var complaint: String { String(cString: strerror(errno)) }

    /// Small messages go at once; a peer that answers nothing any more is given up after `patience`.
    func prepare(patience: Duration) {
        let seconds = Int(patience / .seconds(1))
        set(Int32(IPPROTO_TCP), TCP_NODELAY, Int32(1))
        set(Int32(IPPROTO_TCP), TCP_USER_TIMEOUT, Int32(seconds * 1000))
        set(SOL_SOCKET, SO_SNDTIMEO, timeval(tv_sec: seconds, tv_usec: 0))
    }

    private func set<T>(_ level: Int32, _ name: Int32, _ value: T) {
        // Ends of a pair know no options of TCP.
        withUnsafePointer(to: value) {
            _ = setsockopt(descriptor, level, name, $0, socklen_t(MemoryLayout<T>.size))
        }
    }

    /// The address of this end of a connection, in digits.
    var ownAddress: String? {
        var name = sockaddr_storage()
        var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
        var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
        let code = withUnsafeMutablePointer(to: &name) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                guard getsockname(descriptor, address, &size) == 0 else { return EAI_SYSTEM }
                return getnameinfo(address, size, &text, socklen_t(text.count), nil, 0, NI_NUMERICHOST)
            }
        }
        guard code == 0 else { return nil }
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// Sends everything; false when the peer does not take it.
    func send(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var start = 0
        while start < bytes.count {
            let count = Foundation.send(
                descriptor, bytes.baseAddress! + start, bytes.count - start, Int32(MSG_NOSIGNAL))
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return false }
            start += count
        }
        return true
    }

    /// Receives exactly `count` bytes within `patience`; nil when they do not come.
    func receive(_ count: Int, patience: Duration) -> [UInt8]? {
        var bytes: [UInt8] = []
        let end = ContinuousClock.now + patience
        while bytes.count < count {
            let left = end - .now
            guard left > .zero, waitForBytes(left) else { return nil }
            var part = [UInt8](repeating: 0, count: count - bytes.count)
            let received = recv(descriptor, &part, part.count, 0)
            guard received > 0 else { return nil }
            bytes += part.prefix(received)
        }
        return bytes
    }

    private func waitForBytes(_ time: Duration) -> Bool {
        var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return poll(&entry, 1, Int32(time / .milliseconds(1)) + 1) > 0
    }
}

/// A socket that ranks connect to.
final class Listener: Sendable {
    private let socket: Socket
    let port: Int

    /// Listens at `host`, an address of this machine, whose name is known by `end`; at any free port for 0.
    init(host: String, port: Int, until end: ContinuousClock.Instant = .now) throws(GroupFailure) {
        let address = try Address.found(until: end) { () throws(GroupFailure) in
            try Address(host: host, port: port, passive: true)
        }
        let descriptor = Foundation.socket(address.family, address.type, 0)
        guard descriptor >= 0 else { throw .rendezvous(Socket.complaint) }
        socket = Socket(descriptor)
        var on: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
        let bound = address.with { bind(descriptor, $0, $1) }
        guard bound == 0, listen(descriptor, 128) == 0 else {
            throw .rendezvous("\(host):\(port): \(Socket.complaint)")
        }
        var name = sockaddr_storage()
        var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
        withUnsafeMutablePointer(to: &name) {
            _ = $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &size) }
        }
        // Both families have the port in the same place.
        self.port = withUnsafeBytes(of: name) { Int($0[2]) << 8 | Int($0[3]) }
    }

    /// The next connection; nil when none comes within `time`.
    func accept(within time: Duration) -> Socket? {
        var entry = pollfd(fd: socket.descriptor, events: Int16(POLLIN), revents: 0)
        guard poll(&entry, 1, Int32(max(time, .zero) / .milliseconds(1)) + 1) > 0 else { return nil }
        let descriptor = Foundation.accept(socket.descriptor, nil, nil)
        return descriptor < 0 ? nil : Socket(descriptor)
    }
}

/// A clock, and how a thread waits by it.
struct BlockingClock {
    let now: () -> ContinuousClock.Instant
    let sleep: (Duration) -> Void

    static var system: BlockingClock {
        BlockingClock(now: { .now }, sleep: { usleep(UInt32($0 / .microseconds(1))) })
    }
}

/// Where a socket is bound or connected to.
struct Address {
    let family: Int32
    let type: Int32
    private let bytes: [UInt8]

    init(host: String, port: Int, passive: Bool) throws(GroupFailure) {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = passive ? AI_PASSIVE : 0
        var list: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(host, String(port), &hints, &list)
        guard code == 0, let first = list?.pointee, let address = first.ai_addr else {
            throw .rendezvous("\(host): \(String(cString: gai_strerror(code)))")
        }
        defer { freeaddrinfo(list) }
        (family, type) = (first.ai_family, first.ai_socktype)
        bytes = Array(UnsafeRawBufferPointer(start: address, count: Int(first.ai_addrlen)))
    }

    /// What `resolve` gives for a name that may not be known yet: it is asked until `end`, and then its error is thrown.
    static func found(
        until end: ContinuousClock.Instant, _ clock: BlockingClock = .system,
        _ resolve: () throws(GroupFailure) -> Address
    ) throws(GroupFailure) -> Address {
        while true {
            do throws(GroupFailure) {
                return try resolve()
            } catch {
                guard clock.now() < end else { throw error }
                clock.sleep(.milliseconds(200))
            }
        }
    }

    func with<R>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> R) -> R {
        bytes.withUnsafeBytes {
            // Unsafe: what getaddrinfo gave, aligned by the array.
            body($0.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t(bytes.count))
        }
    }

    /// A connection to it, which is tried until `end`.
    func connect(until end: ContinuousClock.Instant) -> Socket? {
        while true {
            let descriptor = Foundation.socket(family, type, 0)
            guard descriptor >= 0 else { return nil }
            let socket = Socket(descriptor)
            if with({ Foundation.connect(descriptor, $0, $1) }) == 0 { return socket }
            guard ContinuousClock.now < end else { return nil }
            usleep(50_000)
        }
    }
}
