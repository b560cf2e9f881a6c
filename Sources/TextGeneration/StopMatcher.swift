/// Looks for stop texts in an answer that comes in parts.
struct StopMatcher {
    private let stops: [[UInt8]]
    private let keepsStop: Bool
    /// Text not yet given out because a stop may begin in it; or, when stops are kept, the end of the text so
    /// far.
    private var pending: [UInt8] = []

    init(_ stops: [String], keepsStop: Bool) {
        (self.stops, self.keepsStop) = (stops.map { Array($0.utf8) }.filter { !$0.isEmpty }, keepsStop)
    }

    /// What may be given out after `text` has come, and the stop that was found.
    mutating func append(_ text: String) -> (text: String, stop: String?) {
        guard !stops.isEmpty else { return (text, nil) }
        pending += text.utf8
        let found = firstStop()
        if keepsStop {
            let longest = stops.map(\.count).max() ?? 0
            pending = Array(pending.suffix(longest - 1))
            return (text, found?.stop)
        }
        if let found { return (String(decoding: pending[..<found.start], as: UTF8.self), found.stop) }
        let held = heldBack()
        defer { pending = Array(pending.suffix(held)) }
        return (String(decoding: pending.dropLast(held), as: UTF8.self), nil)
    }

    /// The text still held back when no more comes.
    mutating func finish() -> String {
        defer { pending = [] }
        return keepsStop || stops.isEmpty ? "" : String(decoding: pending, as: UTF8.self)
    }

    /// The first stop, and where it begins.
    private func firstStop() -> (start: Int, stop: String)? {
        for start in pending.indices {
            guard let stop = stops.first(where: { pending[start...].starts(with: $0) }) else { continue }
            return (start, String(decoding: stop, as: UTF8.self))
        }
        return nil
    }

    /// The length of the longest end of `pending` that a stop begins with.
    private func heldBack() -> Int {
        let longest = min(pending.count, (stops.map(\.count).max() ?? 1) - 1)
        guard longest > 0 else { return 0 }
        return (1...longest).reversed().first { count in
            stops.contains { $0.starts(with: pending.suffix(count)) }
        } ?? 0
    }
}
