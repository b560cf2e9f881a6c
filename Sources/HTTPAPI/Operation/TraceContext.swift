/// Where a request stands in a trace: W3C's `traceparent`.
struct TraceContext: Sendable, Equatable {
    /// 32 and 16 hexadecimal digits.
    let trace: String
    let span: String
    /// The caller's span.
    let parent: String?
    let isSampled: Bool

    /// The caller's trace goes on, if it says which one properly; otherwise a new one begins.
    init(parent header: String?) {
        span = Self.random(digits: 16)
        let parts = (header ?? "").split(separator: "-", omittingEmptySubsequences: false).map(String.init)
        guard parts.count >= 4, parts[0].count == 2, parts[0] != "ff", parts[0] != "00" || parts.count == 4,
            Self.isID(parts[1], digits: 32), Self.isID(parts[2], digits: 16), parts[3].count == 2,
            let flags = UInt8(parts[3], radix: 16)
        else {
            (trace, parent, isSampled) = (Self.random(digits: 32), nil, true)
            return
        }
        (trace, parent, isSampled) = (parts[1], parts[2], flags & 1 == 1)
    }

    /// Lower-case digits that are not all zero.
    private static func isID(_ text: String, digits: Int) -> Bool {
        text.utf8.count == digits && text.contains { $0 != "0" }
            && text.utf8.allSatisfy {
                (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0)
                    || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains($0)
            }
    }

    static func random(digits: Int) -> String {
        var result = ""
        while result.utf8.count < digits {
            let part = String(UInt64.random(in: 1 ... .max), radix: 16)
            result += String(repeating: "0", count: 16 - part.utf8.count) + part
        }
        return String(result.prefix(digits))
    }
}
