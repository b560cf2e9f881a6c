import Foundation

/// An address of a host.
enum IPAddress: Hashable, Sendable {
    case v4(UInt32)
    case v6(UInt128)

    /// Four decimal numbers, or IPv6 without a zone. Other forms that systems take for addresses (`0x7f.1`, `010.0.0.1`,
    /// `2130706433`) are none here.
    init?(_ text: some StringProtocol) {
        if text.utf8.contains(UInt8(ascii: ":")) {
            var address = in6_addr()
            guard text.utf8.count <= 45, inet_pton(AF_INET6, String(text), &address) == 1 else { return nil }
            self = .v6(Self.number(address))
        } else {
            let parts = text.split(separator: ".", omittingEmptySubsequences: false)
            guard parts.count == 4 else { return nil }
            var bits: UInt32 = 0
            for part in parts {
                guard (1...3).contains(part.utf8.count), part.utf8.allSatisfy(\.isDecimalDigit),
                    part == "0" || part.first != "0", let number = UInt8(part)
                else { return nil }
                bits = bits << 8 | UInt32(number)
            }
            self = .v4(bits)
        }
    }

    /// Of a name's entry as the system gives it; nil for other families.
    init?(_ entry: addrinfo) {
        guard let address = entry.ai_addr else { return nil }
        // Unsafe: the family says what the pointer is to.
        switch entry.ai_family {
        case AF_INET:
            self = address.withMemoryRebound(to: sockaddr_in.self, capacity: 1) {
                .v4(UInt32(bigEndian: $0.pointee.sin_addr.s_addr))
            }
        case AF_INET6:
            self = address.withMemoryRebound(to: sockaddr_in6.self, capacity: 1) {
                .v6(Self.number($0.pointee.sin6_addr))
            }
        default: return nil
        }
    }

    private static func number(_ address: in6_addr) -> UInt128 {
        withUnsafeBytes(of: address) { bytes in bytes.reduce(0) { $0 << 8 | UInt128($1) } }
    }

    /// As it is written in a URL, without brackets.
    var text: String {
        switch self {
        case .v4(let bits): return Self.dotted(bits)
        case .v6(let bits):
            return (0..<8).map { String(UInt16(truncatingIfNeeded: bits >> (112 - 16 * $0)), radix: 16) }
                .joined(separator: ":")
        }
    }

    private static func dotted(_ bits: UInt32) -> String {
        (0..<4).map { String(bits >> (24 - 8 * $0) & 255) }.joined(separator: ".")
    }

    /// Whether it is an address of the internet: not this computer's, not a private network's, nor one of those that are
    /// set aside for a purpose (IANA's registries of special-purpose addresses).
    var isPublic: Bool {
        switch self {
        case .v4(let bits): return !Self.reserved4.contains { bits >> (32 - $0.length) == $0.prefix }
        case .v6(let bits):
            // What stands for an address of IPv4: mapped, and of the common translator (RFC 6052).
            if bits >> 32 == 0xFFFF || bits >> 32 == UInt128(0x0064_FF9B) << 64 {
                return IPAddress.v4(UInt32(truncatingIfNeeded: bits)).isPublic
            }
            // Beside 2000::/3 nothing is assigned.
            return bits >> 125 == 1 && !Self.reserved6.contains { bits >> (128 - $0.length) == $0.prefix }
        }
    }

    private static let reserved4: [(prefix: UInt32, length: UInt32)] = [
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
        "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
        "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3",
    ].compactMap { range in
        let parts = range.split(separator: "/")
        guard case .v4(let bits)? = IPAddress(parts[0]), let length = UInt32(parts[1]) else { return nil }
        return (bits >> (32 - length), length)
    }

    /// Of 2000::/3: protocols' own with tunnels, documentation, 6to4.
    private static let reserved6: [(prefix: UInt128, length: UInt128)] = [
        "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
    ].compactMap { range in
        let parts = range.split(separator: "/")
        guard case .v6(let bits)? = IPAddress(parts[0]), let length = UInt128(parts[1]) else { return nil }
        return (bits >> (128 - length), length)
    }
}

extension UInt8 {
    var isDecimalDigit: Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(self) }

    var isLowercaseLetter: Bool { (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(self) }
}
