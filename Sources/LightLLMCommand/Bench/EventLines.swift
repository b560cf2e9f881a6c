/// Finds the `data:` lines of server-sent events in a stream that the network cuts anywhere.
struct EventLines {
    private var rest: [UInt8] = []
    private static let field = Array("data:".utf8)

    /// Calls `body` with what each line that `bytes` complete says after `data:` and a space.
    mutating func add(_ bytes: some Sequence<UInt8>, _ body: (ArraySlice<UInt8>) -> Void) {
        // What is left of earlier bytes holds no line's end.
        var searched = rest.count
        rest += bytes
        var start = 0
        while let end = rest[searched...].firstIndex(of: UInt8(ascii: "\n")) {
            var line = rest[start..<end]
            if line.last == UInt8(ascii: "\r") { line.removeLast() }
            if line.starts(with: Self.field) {
                line.removeFirst(Self.field.count)
                body(line.first == UInt8(ascii: " ") ? line.dropFirst() : line)
            }
            start = end + 1
            searched = start
        }
        rest.removeFirst(start)
    }
}
