import Foundation
import JSON
import OrderedCollections
import Testing

@Suite struct JSONTests {
    @Test(arguments: [
        "null", "true", "false", "0", "-1", "1.5", "1e-05", "\"\"", "\"a\\\"\\\\b\\n\"", "[]", "[1,[2,{}]]",
        "{}",
        "{\"b\":1,\"a\":[null]}", "\"é日本😁\"", "9223372036854775807",
    ])
    func survivesARoundTrip(_ text: String) throws {
        #expect(try JSONValue(parsing: JSONValue(parsing: text).serialized) == JSONValue(parsing: text))
    }

    @Test func readsWhatTheTextSays() throws {
        let value = try JSONValue(parsing: #" {"a" : [1, 2.5, "A\ud83d\ude00\u00e9\/"], "b": {"c": null}} "#)
        #expect(value["a"]?.array?[0].int == 1)
        #expect(value["a"]?.array?[1].double == 2.5)
        #expect(value["a"]?.array?[2].string == "A😀é/")
        #expect(value["b"]?["c"]?.isNull == true)
        #expect(throws: JSONError.self) { try JSONValue(parsing: "1e400") }
        #expect(try JSONValue(parsing: "\"\\ud800\"").string == "\u{FFFD}")
        #expect(try JSONValue(parsing: "12345678901234567890").double == 1.2345678901234567e19)
    }

    @Test(arguments: [
        "", " ", "{", "[", "[1,]", "{\"a\":}", "{\"a\" 1}", "{a:1}", "tru", "nul", "01", "1.", "-", "+1",
        ".5", "\"", "\"\\x\"",
        "\"\\u12\"", "\"\u{1}\"", "1 2", "[1 2]", "{\"a\":1,}", "'a'", "NaN", "Infinity", "[1]]",
    ])
    func refusesWhatIsNoJSON(_ text: String) {
        #expect(throws: JSONError.self) { try JSONValue(parsing: text) }
    }

    @Test func refusesInvalidUTF8() {
        #expect(throws: JSONError.self) { try JSONValue(parsing: [0x22, 0xFF, 0x22]) }
        #expect(throws: JSONError.self) { try JSONValue(parsing: [0x22, 0xED, 0xA0, 0x80, 0x22]) }
    }

    @Test func limitsDepth() throws {
        let deep = { (depth: Int) in
            String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
        }
        #expect(throws: Never.self) { try JSONValue(parsing: deep(128)) }
        #expect(throws: JSONError.self) { try JSONValue(parsing: deep(129)) }
        #expect(throws: JSONError.self) { try JSONValue(parsing: deep(1_000_000)) }
        #expect(throws: JSONError.self) {
            try JSONValue(parsing: String(repeating: "{\"a\":", count: 100_000))
        }
    }

    @Test func keepsKeysThatOnlyLookAlikeApart() throws {
        let value = try JSONValue(parsing: "{\"\u{e9}\":1,\"e\u{301}\":2}")
        #expect(value.object?.count == 2)
        #expect(value["\u{e9}"]?.int == 1)
        #expect(value["e\u{301}"]?.int == 2)
    }

    /// No prefix and no single changed byte of a document may do worse than throw.
    @Test func survivesDamage() {
        let bytes = Array(
            #"{"messages":[{"role":"user","content":"h\u00e9 \ud83d\ude00"}],"n":-1.5e3,"t":true}"#.utf8)
        for count in bytes.indices { _ = try? JSONValue(parsing: Array(bytes[..<count])) }
        for index in bytes.indices {
            for byte in [UInt8(0), 0x22, 0x5C, 0x7B, 0x80, 0xFF] {
                var damaged = bytes
                damaged[index] = byte
                _ = try? JSONValue(parsing: damaged)
            }
        }
    }

    @Test func writesFloatsShortly() {
        #expect(JSONValue(Float(-0.1)).serialized == "-0.1")
        #expect(JSONValue(-Float.infinity).serialized == "null")
        #expect(JSONValue.number(.nan).serialized == "null")
    }
}
