import Foundation
public import JSON
import OrderedCollections
import Synchronization

/// Writes what is found at once, as text and as JSON, so that nothing is lost when the device is.
public final class Recorder: Sendable {
    private let section: String
    private let file: FileHandle?
    private let failures = Mutex(0)

    /// Adds a line of JSON for each finding to `path`.
    public init(section: String, path: String?) throws {
        self.section = section
        guard let path else {
            file = nil
            return
        }
        if !FileManager.default.fileExists(atPath: path) {
            _ = FileManager.default.createFile(atPath: path, contents: nil)
        }
        file = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
        try file?.seekToEnd()
    }

    public var failureCount: Int { failures.withLock { $0 } }

    public func record(_ name: String, _ values: KeyValuePairs<String, JSONValue>) {
        record(name, values.map { ($0.key, $0.value) })
    }

    private func record(_ name: String, _ values: [(key: String, value: JSONValue)]) {
        let text = values.map { "\($0.key) \(Self.text($0.value))" }.joined(separator: ", ")
        print("\(section): \(name): \(text)")
        fflush(nil)
        var members: JSONValue.Members = ["section": .string(section), "name": .string(name)]
        for (key, value) in values { members[JSONKey(key)] = value }
        file?.write(Data((JSONValue.object(members).serialized + "\n").utf8))
    }

    /// Records whether `error` is at most `tolerance`.
    func check(_ name: String, error: Double, tolerance: Double) {
        let holds = error <= tolerance
        record(name, ["ok": .bool(holds), "error": .number(error), "tolerance": .number(tolerance)])
        if !holds { failures.withLock { $0 += 1 } }
    }

    func check(_ name: String, _ holds: Bool) { check(name, holds, [:]) }

    /// Records whether something holds, and `values` with it.
    func check(_ name: String, _ holds: Bool, _ values: KeyValuePairs<String, JSONValue>) {
        record(name, [("ok", .bool(holds))] + values.map { ($0.key, $0.value) })
        if !holds { failures.withLock { $0 += 1 } }
    }

    private static func text(_ value: JSONValue) -> String {
        switch value {
        case .number(let number): String(format: number.magnitude < 0.01 ? "%.3g" : "%.3f", number)
        case .string(let text): text
        default: value.serialized
        }
    }
}
