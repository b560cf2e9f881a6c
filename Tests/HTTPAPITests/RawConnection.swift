import Foundation
import Synchronization

/// A connection that sends any bytes at all, and reads only when told to.
final class RawConnection: Sendable {
    private let descriptor: Int32

    /// With `receiveBuffer` the system takes few bytes that nobody has read.
    init(port: Int, receiveBuffer: Int32? = nil) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        if var size = receiveBuffer {
            setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<Int32>.size))
        }
        try connectSocket(descriptor, port: port)
        _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK)
    }

    deinit { close(descriptor) }

    /// Sends what the server takes: it may have heard enough before the end.
    func send(_ text: String) async throws {
        let bytes = Array(text.utf8)
        var sent = 0
        let end = ContinuousClock.now + .seconds(5)
        while sent < bytes.count, ContinuousClock.now < end {
            let count = bytes[sent...].withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            if count > 0 {
                sent += count
            } else if count < 0, errno == EAGAIN {
                try await Task.sleep(for: .milliseconds(2))
            } else {
                return
            }
        }
    }

    struct Received {
        var text = ""
        var isClosed = false

        /// Of the first answer.
        var status: Int? { text.split(separator: " ").dropFirst().first.flatMap { Int($0) } }
        var events: [Substring] { text.split(separator: "\r\n").filter { $0.hasPrefix("data:") } }
    }

    /// What comes until the server closes, `isEnough`, or the time is over.
    func read(
        within duration: Duration = .seconds(10), until isEnough: (String) -> Bool = { _ in false }
    ) async throws -> Received {
        var (bytes, result): ([UInt8], Received) = ([], Received())
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        let end = ContinuousClock.now + duration
        while ContinuousClock.now < end {
            let count = recv(descriptor, &chunk, chunk.count, 0)
            if count > 0 {
                bytes += chunk[..<count]
                result.text = String(decoding: bytes, as: UTF8.self)
                if isEnough(result.text) { return result }
            } else if count < 0, errno == EAGAIN {
                try await Task.sleep(for: .milliseconds(2))
            } else {
                result.isClosed = true
                return result
            }
        }
        return result
    }

    /// Sends a request and reads what comes until the server closes.
    static func exchange(_ port: Int, _ text: String, within duration: Duration = .seconds(10)) async throws
        -> Received
    {
        let connection = try RawConnection(port: port)
        try await connection.send(text)
        return try await connection.read(within: duration)
    }
}

/// A POST of JSON, as bytes.
func rawPost(_ path: String, _ body: String, headers: String = "Connection: close\r\n") -> String {
    "POST \(path) HTTP/1.1\r\nHost: localhost\r\n\(headers)Content-Length: \(body.utf8.count)\r\n\r\n\(body)"
}

/// A stream of `count` tokens.
func rawStream(_ count: Int, headers: String = "Connection: close\r\n") -> String {
    let parameters = #"{"max_new_tokens": \#(count), "ignore_eos": true, "do_sample": true, "seed": 7}"#
    return rawPost(
        "/generate_stream", #"{"inputs": [5, 6, 7], "parameters": \#(parameters)}"#, headers: headers)
}

/// Runs `body` while another client streams one answer after the other. Each must be what it is when nothing else
/// happens.
func undisturbed(_ port: Int, _ body: () async throws -> Void) async throws {
    func answer() async throws -> [Substring] {
        try await RawConnection.exchange(port, rawStream(200), within: .seconds(20)).events
    }
    let alone = try await answer()
    guard alone.count == 200 else { throw TestFailure(message: "\(alone.count) events, expected 200") }
    let isOver = Mutex(false)
    let others = Task {
        var differing = 0
        repeat { differing += try await answer() == alone ? 0 : 1 } while !isOver.withLock { $0 }
        return differing
    }
    do { try await body() } catch {
        isOver.withLock { $0 = true }
        throw error
    }
    isOver.withLock { $0 = true }
    guard try await others.value == 0 else { throw TestFailure(message: "a stream was disturbed") }
}
