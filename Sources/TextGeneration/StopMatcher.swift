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

    /// What may be given out after `text` has come, and whether a stop was found.
    mutating func append(_ text: String) -> (text: String, isFound: Bool) {
        guard !stops.isEmpty else { return (text, false) }
        pending += text.utf8
        let found = firstStop()
        if keepsStop {
            let longest = stops.map(\.count).max() ?? 0
            pending = Array(pending.suffix(longest - 1))
            return (text, found != nil)
        }
        if let found { return (String(decoding: pending[..<found], as: UTF8.self), true) }
        let held = heldBack()
        defer { pending = Array(pending.suffix(held)) }
        return (String(decoding: pending.dropLast(held), as: UTF8.self), false)
    }

    /// The text still held back when no more comes.
    mutating func finish() -> String {
        defer { pending = [] }
        return keepsStop || stops.isEmpty ? "" : String(decoding: pending, as: UTF8.self)
    }

    /// Where the first stop begins.
    private func firstStop() -> Int? {
        pending.indices.first { start in stops.contains { pending[start...].starts(with: $0) } }
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
