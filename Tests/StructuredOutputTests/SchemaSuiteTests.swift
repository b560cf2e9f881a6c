import Foundation
import JSON
import OrderedCollections
import Testing

@testable import StructuredOutput

/// The JSON-Schema-Test-Suite, draft 2020-12: `Tests/Fixtures/json-schema` holds some of its files;
/// `LIGHTLLM_JSON_SCHEMA_SUITE` names a folder with all of them, for `Scripts/json-schema-suite.sh`.
@Suite struct SchemaSuiteTests {
    struct Tally {
        var name: String
        var checks = 0
        var passed = 0
        var schemas = 0
        var compiled = 0
        var valid = 0
        var reachable = 0
        var refusals: OrderedSet<String> = []
        var failures: [String] = []
    }

    static let files: [URL] = {
        let fixtures = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "Fixtures/json-schema")
        let folder = ProcessInfo.processInfo.environment["LIGHTLLM_JSON_SCHEMA_SUITE"].map {
            URL(filePath: $0)
        }
        let names = (try? FileManager.default.subpathsOfDirectory(atPath: (folder ?? fixtures).path)) ?? []
        return names.filter { $0.hasSuffix(".json") }.sorted().map {
            (folder ?? fixtures).appending(path: $0)
        }
    }()

    /// The lines of the published table.
    static let published: Set<String> = {
        let document = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "docs/structured-output.md")
        let text = (try? String(contentsOf: document, encoding: .utf8)) ?? ""
        return Set(text.split(separator: "\n").map(String.init))
    }()

    @Test func hasFiles() { #expect(Self.files.count >= 20) }

    @Test(arguments: files)
    func agrees(_ file: URL) throws {
        let parts = file.deletingPathExtension().pathComponents
        let start = parts.firstIndex(of: "optional") ?? parts.count - 1
        var tally = Tally(name: parts[start...].joined(separator: "/"))
        let groups = try #require(try JSONValue(parsing: Array(Data(contentsOf: file))).array)
        // Elsewhere the suite takes formats for mere annotations.
        let assertsFormats = file.path.contains("/optional/format/")
        for group in groups { try run(group, assertsFormats: assertsFormats, &tally) }
        // Failures of the files that are not in the fixtures are for the table to tell.
        if ProcessInfo.processInfo.environment["LIGHTLLM_JSON_SCHEMA_SUITE"] == nil {
            #expect(tally.failures.isEmpty, "\(tally.failures.joined(separator: "\n"))")
        }
        let row =
            "| \(tally.name) | \(tally.passed) of \(tally.checks) | \(tally.compiled) of \(tally.schemas) "
            + "| \(tally.reachable) of \(tally.valid) | \(tally.refusals.joined(separator: "; ")) |"
        print(row)
        if ProcessInfo.processInfo.environment["LIGHTLLM_JSON_SCHEMA_SUITE"] == nil {
            #expect(Self.published.contains(row), "docs/structured-output.md lacks: \(row)")
        }
        for failure in tally.failures { print("!! \(tally.name): \(failure)") }
    }

    private func run(_ group: JSONValue, assertsFormats: Bool, _ tally: inout Tally) throws {
        let schema = try #require(group["schema"]), tests = group["tests"]?.array ?? []
        let title = group["description"]?.string ?? ""
        tally.schemas += 1
        let grammar = Result { try CompiledGrammar(Grammar(jsonSchema: schema), tokens: Vocabularies.small) }
        if case .failure(let error) = grammar, let error = error as? StructuredOutputError {
            if error.code != .unsatisfiable {
                tally.refusals.append(error.expected.hasPrefix("one of") ? "a known format" : error.expected)
            }
        } else {
            tally.compiled += 1
        }
        let validator = try? JSONSchemaValidator(schema, assertsFormats: assertsFormats)
        for test in tests {
            let data = try #require(test["data"]), isValid = test["valid"]?.bool == true
            let name = "\(title), \(test["description"]?.string ?? "")"
            tally.checks += 1
            guard let validator else { continue }
            let error = Result { try validator.validate(data) }
            let isAccepted = (try? error.get()) != nil
            if isAccepted == isValid {
                tally.passed += 1
            } else {
                tally.failures.append("validator: \(name)")
            }
            guard let grammar = try? grammar.get() else { continue }
            let isReachable = StructuredOutputTests.isAccepted(data.serialized, by: grammar)
            if isValid {
                tally.valid += 1
                tally.reachable += isReachable ? 1 : 0
            } else if isReachable {
                tally.failures.append("grammar admits: \(name)")
            }
        }
    }
}
