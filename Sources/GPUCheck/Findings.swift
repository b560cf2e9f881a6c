import Foundation
import JSON

/// What sections have recorded so far.
public struct Findings: Sendable {
    private let lines: [JSONValue]

    /// Lines of JSON, as a recorder writes them.
    public init(_ text: String) throws {
        lines = try text.split(separator: "\n").map { try JSONValue(parsing: Array($0.utf8)) }
    }

    /// None without a file.
    public init(path: String?) throws {
        let data = try path.map { try Data(contentsOf: URL(fileURLWithPath: $0)) }
        try self.init(String(decoding: data ?? Data(), as: UTF8.self))
    }

    /// The last number that a section recorded under a name.
    func number(_ section: GPUCheck.Section, _ name: String, _ key: String) -> Double? {
        numbers(section.rawValue, name, key).last
    }

    /// All numbers that a section recorded under a name, or under any.
    func numbers(_ section: String, _ name: String? = nil, _ key: String) -> [Double] {
        lines.compactMap { line in
            guard line["section"]?.string == section, name == nil || line["name"]?.string == name else {
                return nil
            }
            return line[key]?.double
        }
    }

    /// How many checks of some sections do not hold; nil where nothing was checked.
    func failures(_ sections: [GPUCheck.Section]) -> Double? {
        let names = sections.map(\.rawValue)
        let checks = lines.filter { names.contains($0["section"]?.string ?? "") }.compactMap {
            $0["ok"]?.bool
        }
        return checks.isEmpty ? nil : Double(checks.count { !$0 })
    }
}
