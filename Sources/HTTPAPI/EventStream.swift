import HTTPTypes
import Hummingbird
import JSON
import NIOCore

/// The answer to a request in pieces, as server-sent events.
struct EventWriter {
    var writer: any ResponseBodyWriter
    /// What comes before the data: LightLLM's own stream has no space there.
    let prefix: String
    let style: JSONStyle

    mutating func send(_ event: JSONValue) async throws {
        var bytes = Array(prefix.utf8)
        event.write(to: &bytes, style)
        bytes += "\n\n".utf8
        try await writer.write(ByteBuffer(bytes: bytes))
    }

    /// Sends an event with a name.
    mutating func send(_ name: String, _ event: JSONValue) async throws {
        var bytes = Array("event: \(name)\n\(prefix)".utf8)
        event.write(to: &bytes)
        bytes += "\n\n".utf8
        try await writer.write(ByteBuffer(bytes: bytes))
    }

    mutating func sendDone() async throws {
        try await writer.write(ByteBuffer(string: prefix + "[DONE]\n\n"))
    }
}

extension Response {
    static func json(_ value: JSONValue, status: HTTPResponse.Status = .ok, ignored: [String] = [])
        -> Response
    {
        var bytes: [UInt8] = []
        value.write(to: &bytes)
        return Response(
            status: status, headers: headers("application/json", ignored: ignored),
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: bytes)))
    }

    /// A stream of events that `body` sends. An error becomes its last event.
    static func events(
        prefix: String, style: JSONStyle = .compact, ignored: [String],
        _ body: @escaping @Sendable (inout EventWriter) async throws -> Void
    ) -> Response {
        var fields = headers("text/event-stream; charset=utf-8", ignored: ignored)
        fields[.cacheControl] = "no-cache"
        // nginx would collect the answer otherwise.
        fields[named: "x-accel-buffering"] = "no"
        return Response(
            status: .ok, headers: fields,
            body: ResponseBody { writer in
                var events = EventWriter(writer: writer, prefix: prefix, style: style)
                do {
                    try await body(&events)
                } catch {
                    // The status is long sent; clients read errors from the stream.
                    try await events.send(APIError(error).body(.openAI))
                }
                try await events.writer.finish(nil)
            })
    }

    private static func headers(_ type: String, ignored: [String]) -> HTTPFields {
        var fields: HTTPFields = [.contentType: type]
        let names = ignored.filter { $0.utf8.allSatisfy { (0x21...0x7E).contains($0) } }.prefix(32)
        if !names.isEmpty, let name = HTTPField.Name("x-ignored-fields") {
            fields[name] = names.joined(separator: ", ")
        }
        return fields
    }
}
