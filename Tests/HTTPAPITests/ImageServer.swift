import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import NIOCore
import Synchronization
import Testing

@testable import HTTPAPI

/// A server of images on this machine, with the faults that a test asks for.
final class ImageServer: Sendable {
    struct Seen: Sendable {
        let path: String
        let headers: HTTPFields
    }

    static let image: [UInt8] = Array("an image".utf8)

    private let requests = Mutex<[Seen]>([])
    /// Requests that are being answered, and the most there have been.
    private let running = Mutex<(now: Int, most: Int)>((0, 0))

    var seen: [Seen] { requests.withLock { $0 } }
    var mostAtOnce: Int { running.withLock { $0.most } }

    /// Runs `body` with the server's port.
    func run(_ body: @escaping @Sendable (Int) async throws -> Void) async throws {
        let router = Router()
        router.get("**") { request, _ in
            self.requests.withLock {
                $0.append(Seen(path: request.uri.description, headers: request.headers))
            }
            self.running.withLock { $0 = ($0.now + 1, max($0.most, $0.now + 1)) }
            defer { self.running.withLock { $0.now -= 1 } }
            return try await Self.answer(request)
        }
        let application = Application(
            router: router, configuration: .init(address: .hostname("127.0.0.1", port: 0)),
            logger: TestServer.quietLogger)
        try await application.test(.live) { client in try await body(try #require(client.port)) }
    }

    private static func answer(_ request: Request) async throws -> Response {
        let parts = request.uri.path.split(separator: "/", maxSplits: 1).map(String.init)
        let argument = request.uri.queryParameters["q"].map(String.init) ?? ""
        switch parts.first {
        case "image":
            return Response(
                status: .ok, headers: [.setCookie: "a=b"],
                body: ResponseBody(byteBuffer: ByteBuffer(bytes: image)))
        case "redirect":
            return Response(status: .found, headers: [.location: argument])
        case "again":
            let left = Int(argument) ?? 0
            return Response(
                status: .movedPermanently, headers: [.location: left > 1 ? "?q=\(left - 1)" : "/image"])
        case "status":
            return Response(
                status: .init(code: Int(argument) ?? 500),
                body: ResponseBody(byteBuffer: ByteBuffer(string: "a secret of 10.0.0.9")))
        case "large":
            return Response(
                status: .ok,
                body: ResponseBody(contentLength: Int(argument)) { writer in
                    try await writer.write(ByteBuffer(bytes: image))
                    try await writer.finish(nil)
                })
        case "endless":
            return Response(
                status: .ok,
                body: ResponseBody { writer in
                    while true {
                        try await writer.write(ByteBuffer(repeating: 7, count: 1000))
                        try await Task.sleep(for: .milliseconds(Int(argument) ?? 0))
                    }
                })
        case "slow":
            try await Task.sleep(for: .milliseconds(Int(argument) ?? 0))
            return Response(status: .ok, body: ResponseBody(byteBuffer: ByteBuffer(bytes: image)))
        default: return Response(status: .notFound)
        }
    }
}

/// Names that stand for what a test says, and who asked for them.
final class FakeNames: Sendable {
    private let questions = Mutex<[String]>([])
    private let answers: @Sendable (_ name: String, _ times: Int) -> [String]

    /// `answers` is told how often the name has been asked for before.
    init(
        _ answers: @escaping @Sendable (_ name: String, _ times: Int) -> [String] = { _, _ in ["127.0.0.1"] }
    ) {
        self.answers = answers
    }

    var asked: [String] { questions.withLock { $0 } }

    /// This machine counts as the internet; all else is as usual.
    var network: MediaNetwork {
        MediaNetwork(
            addresses: { name in
                let times = self.questions.withLock { questions in
                    questions.append(name)
                    return questions.count { $0 == name } - 1
                }
                return self.answers(name, times).compactMap { IPAddress($0) }
            }, admits: { $0.isPublic || $0.text == "127.0.0.1" })
    }
}
