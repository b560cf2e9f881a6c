/// An `http` or `https` URL, read so that nobody can read it differently: what is checked is what is fetched.
///
/// Refused are names and passwords before the host, backslashes, control characters, and hosts that are neither names nor
/// addresses in their one common form.
struct WebAddress: Sendable, Hashable {
    enum Scheme: String, Sendable {
        case http, https

        var port: UInt16 { self == .http ? 80 : 443 }
    }

    enum Host: Sendable, Hashable {
        /// In lower case.
        case name(String)
        case address(IPAddress)

        /// As it is written in a URL.
        var text: String {
            switch self {
            case .name(let name): name
            case .address(.v6(let bits)): "[\(IPAddress.v6(bits).text)]"
            case .address(let address): address.text
            }
        }

        /// The same without brackets.
        var bareText: String {
            switch self {
            case .name(let name): name
            case .address(let address): address.text
            }
        }
    }

    let scheme: Scheme
    let host: Host
    let port: UInt16
    /// Path and query, percent-encoded; begins with a slash.
    let target: String

    /// What is wrong with a URL.
    struct Flaw: Error, CustomStringConvertible {
        let description: String

        init(_ description: String) { self.description = description }
    }

    static let longest = 8192

    init(_ text: some StringProtocol) throws(Flaw) {
        guard text.utf8.count <= Self.longest else {
            throw Flaw("a URL may have \(Self.longest) bytes at most, found \(text.utf8.count)")
        }
        guard !text.utf8.contains(where: { $0 < 0x20 || $0 == 0x7F || $0 == UInt8(ascii: "\\") }) else {
            throw Flaw("a URL has no backslashes and no control characters")
        }
        guard let colon = text.firstRange(of: "://") else {
            throw Flaw("a URL begins with http:// or https://")
        }
        guard let scheme = Scheme(rawValue: text[..<colon.lowerBound].lowercased()) else {
            throw Flaw("a URL begins with http:// or https://")
        }
        let rest = text[colon.upperBound...]
        let end = rest.firstIndex { $0 == "/" || $0 == "?" || $0 == "#" } ?? rest.endIndex
        (host, port) = try Self.authority(String(rest[..<end]), standard: scheme.port)
        self.scheme = scheme
        let target = rest[end...].prefix { $0 != "#" }
        self.target = Self.encoded(target.hasPrefix("/") ? String(target) : "/" + target)
    }

    private static func authority(_ text: String, standard: UInt16) throws(Flaw) -> (Host, UInt16) {
        guard !text.utf8.contains(UInt8(ascii: "@")) else { throw Flaw("a URL has no user name here") }
        var (hostText, portText) = (Substring(text), Substring())
        if text.hasPrefix("[") {
            guard let end = text.firstIndex(of: "]") else { throw Flaw("its host is not closed by ']'") }
            (hostText, portText) = (text[..<end].dropFirst(), text[end...].dropFirst())
            guard let address = IPAddress(hostText), case .v6 = address else {
                throw Flaw("its host in brackets is no IPv6 address")
            }
            return (.address(address), try port(portText, standard))
        }
        if let colon = text.firstIndex(of: ":") { (hostText, portText) = (text[..<colon], text[colon...]) }
        return (try Self.host(hostText), try port(portText, standard))
    }

    private static func port(_ text: Substring, _ standard: UInt16) throws(Flaw) -> UInt16 {
        if text.isEmpty { return standard }
        let digits = text.dropFirst()
        guard text.first == ":", (1...5).contains(digits.utf8.count),
            digits.utf8.allSatisfy(\.isDecimalDigit), let port = UInt16(digits), port > 0
        else { throw Flaw("its port must be a number from 1 to 65535") }
        return port
    }

    /// A name or an IPv4 address.
    static func host(_ text: some StringProtocol) throws(Flaw) -> Host {
        let name = text.lowercased()
        let labels = name.split(separator: ".", omittingEmptySubsequences: false)
        func isLabel(_ label: Substring) -> Bool {
            (1...63).contains(label.utf8.count) && label.first != "-" && label.last != "-"
                && label.utf8.allSatisfy {
                    $0.isLowercaseLetter || $0.isDecimalDigit || $0 == UInt8(ascii: "-")
                        || $0 == UInt8(ascii: "_")
                }
        }
        guard name.utf8.count <= 253, labels.allSatisfy(isLabel) else {
            throw Flaw("its host must be a name of letters, digits, '-' and '.', or an address")
        }
        // A name that ends in a number is an address to those who connect (WHATWG's URL standard, "ends in a number").
        guard let last = labels.last, last.utf8.allSatisfy(\.isDecimalDigit) || last.hasPrefix("0x") else {
            return .name(name)
        }
        guard let address = IPAddress(name) else {
            throw Flaw("its host is an address in an unusual form; expected four decimal numbers")
        }
        return .address(address)
    }

    /// What a path and a query cannot have as percent signs and digits, as browsers send it.
    private static func encoded(_ text: String) -> String {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.utf8.count)
        let digits = Array("0123456789ABCDEF".utf8)
        for byte in text.utf8 {
            if (0x21..<0x7F).contains(byte), !unsafe.contains(byte) {
                bytes.append(byte)
            } else {
                bytes += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static let unsafe = Set("\"<>^`{|}#".utf8)

    /// The whole URL.
    var text: String { origin + target }

    var origin: String {
        "\(scheme.rawValue)://\(host.text)" + (port == scheme.port ? "" : ":\(port)")
    }

    /// Where a redirection from here leads.
    func redirected(to location: String) throws(Flaw) -> WebAddress {
        if location.hasPrefix("//") { return try WebAddress(scheme.rawValue + ":" + location) }
        if location.hasPrefix("/") { return try WebAddress(origin + location) }
        let path = target.prefix { $0 != "?" }
        if location.isEmpty || location.hasPrefix("?") || location.hasPrefix("#") {
            return try WebAddress(origin + path + location)
        }
        // A colon before any slash ends a scheme.
        let head = location.prefix { $0 != "/" && $0 != "?" && $0 != "#" }
        if head.contains(":") { return try WebAddress(location) }
        let folder = path.lastIndex(of: "/").map { path[...$0] } ?? "/"
        return try WebAddress(origin + folder + location)
    }
}
