import Foundation
import JSON

/// The folder of recorded results: `LIGHTLLM_GOLDENS`, or the small one that the project ships.
enum Goldens {
    static let root: URL = {
        if let path = ProcessInfo.processInfo.environment["LIGHTLLM_GOLDENS"], !path.isEmpty {
            return URL(fileURLWithPath: path)
        }
        return URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("Fixtures/goldens")
    }()

    /// Whether these are the shipped ones, which cover less.
    static var areShipped: Bool { root.path.hasSuffix("Fixtures/goldens") }

    /// The folders in `kind` that hold the file `name`, sorted.
    static func folders(_ kind: String, holding name: String) -> [String] {
        let folder = root.appendingPathComponent(kind).path
        return ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted().filter {
            FileManager.default.fileExists(atPath: "\(folder)/\($0)/\(name)")
        }
    }

    static func path(_ parts: String...) -> String {
        parts.reduce(root) { $0.appendingPathComponent($1) }.path
    }

    static func json(_ parts: String...) throws -> JSONValue {
        let url = parts.reduce(root) { $0.appendingPathComponent($1) }
        return try JSONValue(parsing: Array(Data(contentsOf: url)))
    }
}

extension JSONValue {
    /// Token ids.
    var ids: [Int32] { (array ?? []).compactMap { $0.int.map { Int32($0) } } }

    var floats: [Float] { (array ?? []).compactMap { $0.double.map { Float($0) } } }
}
