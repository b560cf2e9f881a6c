import Foundation
import Testing

@testable import HTTPAPI

/// URLs, addresses and base64, as requests bring them.
@Suite struct MediaAddressTests {
    @Test(arguments: [
        ("http://Example.COM", "http://example.com/"),
        ("HTTPS://example.com:443/a?b=c#d", "https://example.com/a?b=c"),
        ("http://example.com:8080?x", "http://example.com:8080/?x"),
        ("http://8.8.8.8/a b/ü\"", "http://8.8.8.8/a%20b/%C3%BC%22"),
        ("http://[2001:4860:4860::8888]:81/", "http://[2001:4860:4860:0:0:0:0:8888]:81/"),
        ("http://a_b-c.example/%2e%2e/x", "http://a_b-c.example/%2e%2e/x"),
        ("http://example.com/?q=@evil.com", "http://example.com/?q=@evil.com"),
    ])
    func readsAddresses(_ text: String, _ expected: String) throws {
        let address = try WebAddress(text)
        #expect(address.text == expected)
        #expect(try WebAddress(address.text) == address)
        // Those who connect read the same host.
        #expect(URL(string: address.text)?.host?.trimmingCharacters(in: ["[", "]"]) == address.host.bareText)
    }

    @Test(arguments: [
        "", "http:", "http://", "http:///x", "example.com", "ftp://example.com/", "http//example.com",
        "http://localhost\\@allowed.com/", "http://allowed.com\\@evil/", "http://allowed.com@evil/",
        "http://u:p@allowed.com/", "http://allowed.com:80@evil/", "http://allowed.com%2eevil/",
        "http://allowed.com\t/", "http://allowed.com/\r\nHost: evil", "http://allowed.com\u{0}/",
        "http://0x7f000001/", "http://0X7F.1/", "http://2130706433/", "http://0177.0.0.1/", "http://127.1/",
        "http://127.0.0.1./", "http://127.0.0.256/", "http://1.2.3.4.5/", "http://1.2.3.08/", "http://a.0x1/",
        "http://[::1", "http://[127.0.0.1]/", "http://[fe80::1%25eth0]/", "http://[::1]x/", "http://::1/",
        "http://a..b/", "http://.a/", "http://a./", "http://-a/", "http://ⓔvil.com/", "http://a b/",
        "http://a:0/", "http://a:65536/", "http://a:/", "http://a:8x/", "http://a:+8/", "http://a:٣/",
        "http://allowed.com/\u{301}@evil/", "http://" + String(repeating: "a", count: 64) + "/",
        "http://a/" + String(repeating: "x", count: 9000),
    ])
    func refusesAddresses(_ text: String) {
        #expect(throws: WebAddress.Flaw.self) { try WebAddress(text) }
    }

    @Test func followsLocations() throws {
        let start = try WebAddress("https://a.com:444/x/y?z")
        for (location, expected) in [
            ("/b", "https://a.com:444/b"), ("b?c", "https://a.com:444/x/b?c"),
            ("?c", "https://a.com:444/x/y?c"),
            ("//b.com/c", "https://b.com/c"), ("http://b.com", "http://b.com/"),
            ("", "https://a.com:444/x/y"),
            ("b:c", nil), ("file:///etc/passwd", nil), ("gopher://a.com/", nil), ("//u@b.com/", nil),
            ("/\\b", nil), ("./b:c", "https://a.com:444/x/./b:c"),
        ] as [(String, String?)] {
            #expect((try? start.redirected(to: location))?.text == expected, "\(location)")
        }
    }

    @Test func knowsTheInternet() throws {
        for text in [
            "0.0.0.0", "10.0.0.1", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.255.254",
            "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.168.1.1", "198.19.0.1",
            "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "192.0.2.1", "198.51.100.1",
            "203.0.113.1", "::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::10.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "fe80::1", "fec0::1", "fc00::1", "fd12:3456::1", "ff02::1",
            "2001::1", "2001:db8::1", "2002:7f00:1::1", "2002:808:808::1", "100::1", "3fff::1", "4000::1",
        ] {
            #expect(try #require(IPAddress(text)).isPublic == false, "\(text)")
        }
        for text in [
            "8.8.8.8", "1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.1.1.1",
            "172.15.1.1", "172.32.0.0", "169.253.1.1", "192.167.1.1", "223.255.255.255", "::ffff:8.8.8.8",
            "64:ff9b::808:808", "2001:4860:4860::8888", "2606:4700::1111", "2a00::1", "2001:200::1",
        ] {
            let address = try #require(IPAddress(text))
            #expect(address.isPublic, "\(text)")
            #expect(IPAddress(address.text) == address)
        }
        for text in ["", "1.2.3", "01.2.3.4", "1.2.3.4 ", "::g", "1::2::3", "fe80::1%1", "::1/8"] {
            #expect(IPAddress(text) == nil, "\(text)")
        }
    }

    @Test func thisMachineIsNotTheInternet() async throws {
        let network = MediaNetwork.internet()
        let addresses = await network.addresses("localhost")
        #expect(addresses.contains { ["127.0.0.1", "0:0:0:0:0:0:0:1"].contains($0.text) }, "\(addresses)")
        #expect(!addresses.contains(where: network.admits))
    }

    @Test func domainsAreWholeNames() throws {
        func admits(_ domain: String, _ host: String) throws -> Bool {
            try #require(MediaDomain(domain)).admits(WebAddress("http://\(host)/").host)
        }
        #expect(try admits("Example.com", "example.COM") && admits("8.8.8.8", "8.8.8.8"))
        #expect(try admits("*.example.com", "a.b.example.com") && admits(".example.com", "a.example.com"))
        #expect(try admits("2606:4700::1111", "[2606:4700:0::1111]"))
        for (domain, host) in [
            ("example.com", "a.example.com"), ("example.com", "badexample.com"),
            ("example.com", "example.com.evil"),
            ("*.example.com", "example.com"), ("*.example.com", "badexample.com"), ("*.com", "8.8.8.8"),
            ("*.example.com", "example.com.evil"),
        ] {
            #expect(try !admits(domain, host), "\(domain) \(host)")
        }
        for text in [
            "", "*", ".", "*.", "a:80", "http://a", "a/b", "*.8.8.8.8", "127.0.0.1", "::1", "10.1.2.3", "a b",
            "**.a", "a.*.b", "0x7f.1",
        ] {
            #expect(MediaDomain(text) == nil, "\(text)")
        }
    }

    @Test func decodesBase64LikeFoundation() {
        var state: UInt64 = 7
        for size in Array(0..<70) + [1000, 4097] {
            let bytes = (0..<size).map { _ -> UInt8 in
                state = state &* 6_364_136_223_846_793_005 &+ 1
                return UInt8(truncatingIfNeeded: state >> 33)
            }
            let plain = Data(bytes).base64EncodedString()
            let bare = plain.filter { $0 != "=" }
            let lines = Data(bytes).base64EncodedString(options: [.lineLength64Characters])
            let urlSafe = plain.replacing("+", with: "-").replacing("/", with: "_")
            for text in [plain, bare, lines, urlSafe, " " + plain + "\n"] {
                #expect(Base64.size(of: text.utf8) == size)
                #expect(Base64.bytes(of: text.utf8, size: size) == bytes)
            }
        }
        for text in ["a", "abcde", "ab=c", "ab=", "abc==", "abcd=", "=", "====", "ab%c", "äbcd", "ab\u{0}c"] {
            #expect(Base64.size(of: text.utf8) == nil, "\(text)")
        }
    }
}
