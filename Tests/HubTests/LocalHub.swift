import Crypto
import Foundation
import HTTPTypes
import Hub
import Hummingbird
import JSON
import Logging
import NIOCore
import OrderedCollections
import ServiceLifecycle
import Synchronization

/// A hub on this machine that serves one repository, with the faults that a test asks for.
final class LocalHub: Sendable {
    static let commit = String(repeating: "c0ffee00", count: 5)

    /// What a request said.
    struct Seen: Sendable, Equatable {
        let path: String
        var authorization: String?
        var range: String?
    }

    enum Fault: Sendable {
        /// This status, with these headers.
        case status(Int, [String: String])
        /// The connection is cut after so many bytes.
        case cut(after: Int)
        /// So long nothing comes.
        case delay(Duration)
        /// Other bytes than those of the file.
        case content(Data)
        case redirect(String)
        case ignoresRanges
    }

    struct Script: Sendable {
        var files: [String: Data] = [:]
        /// Names of files that are said to be large ones.
        var large: Set<String> = []
        /// Faults by path, used up one after the other.
        var faults: [String: [Fault]] = [:]
        /// Entries that are added to the list of files.
        var extraEntries: [JSONValue] = []
        /// Entries of a page; nil for all on one.
        var pageSize: Int?
        var seen: [Seen] = []
        var atOnce = 0
        var mostAtOnce = 0
    }

    private let script: Mutex<Script>
    let repository = "owner/model"

    init(_ files: [String: String], large: Set<String> = []) {
        var script = Script()
        (script.files, script.large) = (files.mapValues { Data($0.utf8) }, large)
        self.script = Mutex(script)
    }

    func change(_ body: (inout Script) -> Void) { script.withLock { body(&$0) } }
    var seen: [Seen] { script.withLock { $0.seen } }
    var mostAtOnce: Int { script.withLock { $0.mostAtOnce } }

    static func address(_ file: String) -> String { "/owner/model/resolve/\(commit)/\(file)" }

    /// Serves while `body` runs; it is told the port.
    func run<Result: Sendable>(_ body: @Sendable (Int) async throws -> Result) async throws -> Result {
        let (ports, opened) = AsyncStream.makeStream(of: Int.self)
        var logger = Logger(label: "hub")
        logger.logLevel = .critical
        let application = Application(
            responder: CallbackResponder { [self] (request: Request, _: BasicRequestContext) in
                try await answer(request)
            },
            configuration: ApplicationConfiguration(address: .hostname("127.0.0.1", port: 0)),
            onServerRunning: { opened.yield($0.localAddress?.port ?? 0) }, logger: logger)
        // Connections that are just being accepted must not be cut off by a cancelled task.
        let group = ServiceGroup(services: [application], logger: logger)
        let serving = Task { try await group.run() }
        var iterator = ports.makeAsyncIterator()
        let port = await iterator.next() ?? 0
        let result: Result
        do { result = try await body(port) } catch {
            await group.triggerGracefulShutdown()
            _ = await serving.result
            throw error
        }
        await group.triggerGracefulShutdown()
        _ = await serving.result
        return result
    }

    private func answer(_ request: Request) async throws -> Response {
        let path = request.uri.path
        let fault = script.withLock { script -> Fault? in
            script.seen.append(
                Seen(
                    path: path, authorization: request.headers[.authorization],
                    range: request.headers[.range]))
            script.atOnce += 1
            script.mostAtOnce = max(script.mostAtOnce, script.atOnce)
            guard var faults = script.faults[path], !faults.isEmpty else { return nil }
            defer { script.faults[path] = faults }
            return faults.removeFirst()
        }
        defer { script.withLock { $0.atOnce -= 1 } }
        switch fault {
        case .status(let status, let headers):
            var fields = HTTPFields()
            for (name, value) in headers { fields[HTTPField.Name(name)!] = value }
            return Response(status: .init(code: status), headers: fields)
        case .redirect(let location): return Response(status: .found, headers: [.location: location])
        case .delay(let time): try await Task.sleep(for: time)
        default: break
        }
        let root = "/api/models/\(repository)/"
        if path == root + "revision/main" { return Self.json(["sha": .string(Self.commit)]) }
        if path == root + "tree/\(Self.commit)" { return tree(request) }
        guard path.hasPrefix(Self.address("")) else { return Response(status: .notFound) }
        let name = String(path.dropFirst(Self.address("").count)).removingPercentEncoding ?? ""
        guard let data = script.withLock({ $0.files[name] }) else { return Response(status: .notFound) }
        return file(data, request.headers[.range], fault)
    }

    private func file(_ data: Data, _ range: String?, _ fault: Fault?) -> Response {
        var (content, start, knowsRanges) = (data, 0, true)
        if case .content(let other) = fault { content = other }
        if case .ignoresRanges = fault { knowsRanges = false }
        if knowsRanges, let range, let first = Int(range.dropFirst("bytes=".count).dropLast()) {
            start = first
        }
        var headers: HTTPFields = [.contentLength: "\(content.count - start)"]
        if start > 0 { headers[.contentRange] = "bytes \(start)-\(content.count - 1)/\(content.count)" }
        let bytes = Array(content[start...])
        if case .cut(let count) = fault {
            return Response(
                status: start > 0 ? .partialContent : .ok, headers: headers,
                body: ResponseBody { writer in
                    try await writer.write(ByteBuffer(bytes: bytes.prefix(count)))
                    // What was written goes out before the connection closes.
                    try await Task.sleep(for: .milliseconds(50))
                    throw CancellationError()
                })
        }
        return Response(
            status: start > 0 ? .partialContent : .ok, headers: headers,
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: bytes)))
    }

    private func tree(_ request: Request) -> Response {
        let script = script.withLock { $0 }
        let entries =
            script.extraEntries
            + script.files.sorted { $0.key < $1.key }.map { name, data in
                script.large.contains(name) ? Self.large(name, data) : Self.small(name, data)
            }
        guard let size = script.pageSize else { return Self.json(.array(entries)) }
        let start = request.uri.queryParameters.get("cursor", as: Int.self) ?? 0
        var response = Self.json(.array(Array(entries.dropFirst(start).prefix(size))))
        if start + size < entries.count {
            let host = request.head.authority ?? ""
            response.headers[.link] =
                "<http://\(host)\(request.uri.path)?recursive=true&cursor=\(start + size)>; rel=\"next\""
        }
        return response
    }

    static func small(_ name: String, _ data: Data) -> JSONValue {
        [
            "type": "file", "path": .string(name), "size": .integer(data.count),
            "oid": .string(gitBlob(data)),
        ]
    }

    static func large(_ name: String, _ data: Data) -> JSONValue {
        [
            "type": "file", "path": .string(name), "size": .integer(data.count),
            "oid": .string(gitBlob(Data("pointer".utf8))),
            "lfs": ["oid": .string(sha256(data)), "size": .integer(data.count), "pointerSize": 130],
        ]
    }

    static func sha256(_ data: Data) -> String { SHA256.hash(data: data).description.suffix(64).description }

    static func gitBlob(_ data: Data) -> String {
        let sum = Insecure.SHA1.hash(data: Data("blob \(data.count)\0".utf8) + data)
        return sum.description.suffix(40).description
    }

    private static func json(_ value: JSONValue) -> Response {
        Response(
            status: .ok, headers: [.contentType: "application/json"],
            body: ResponseBody(byteBuffer: ByteBuffer(string: value.serialized)))
    }
}

extension HTTPField.Name {
    static var link: HTTPField.Name { HTTPField.Name("Link")! }
}

/// A folder that goes away with the test.
final class ScratchFolder: Sendable {
    let path = NSTemporaryDirectory() + "hub-" + UUID().uuidString

    init() throws { try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true) }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// Settings for a hub on this machine, impatient.
    func settings(port: Int, host: String = "127.0.0.1", token: String? = nil) throws -> HubSettings {
        var settings = HubSettings(
            endpoint: HubAddress("http://\(host):\(port)/")!, token: token, cacheFolder: path)
        settings.retries.firstPause = .milliseconds(5)
        return settings
    }
}
