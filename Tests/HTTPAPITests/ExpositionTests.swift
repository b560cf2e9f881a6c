import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import JSON
import OrderedCollections
import Testing

@testable import HTTPAPI

/// Prometheus' text format, read as strictly as its own checker does.
struct Exposition {
    struct Family {
        let kind: String
        var samples: [(name: String, labels: [String: String], value: Double)] = []
    }

    private(set) var families: [String: Family] = [:]

    init(_ text: String) throws {
        func fail(_ line: some StringProtocol, _ reason: String) -> TestFailure {
            TestFailure(message: "\(reason): \(line)")
        }
        guard text.hasSuffix("\n") else { throw fail(text.suffix(80), "no end of line") }
        var (helped, current, series): (Set<String>, String?, Set<String>) = ([], nil, [])
        for line in text.dropLast().split(separator: "\n", omittingEmptySubsequences: false) {
            let words = line.split(separator: " ", maxSplits: 3)
            if line.hasPrefix("# HELP ") {
                guard words.count == 4, helped.insert(String(words[2])).inserted else {
                    throw fail(line, "no help, or a second one")
                }
            } else if line.hasPrefix("# TYPE ") {
                let name = String(words[2])
                guard helped.contains(name), families[name] == nil else { throw fail(line, "misplaced type") }
                guard name.wholeMatch(of: /[a-zA-Z_:][a-zA-Z0-9_:]*/) != nil else {
                    throw fail(line, "odd name")
                }
                guard words[3] != "counter" || name.hasSuffix("_total") else {
                    throw fail(line, "a counter's name ends in _total")
                }
                families[name] = Family(kind: String(words[3]))
                current = name
            } else {
                guard let current, let kind = families[current]?.kind else { throw fail(line, "undeclared") }
                let sample = try Self.sample(line)
                let names =
                    kind == "histogram" ? ["_bucket", "_sum", "_count"].map { current + $0 } : [current]
                guard names.contains(sample.name) else { throw fail(line, "not of the family \(current)") }
                let key =
                    sample.name + sample.labels.sorted { $0.key < $1.key }.map { "\($0)=\($1)" }.joined()
                guard series.insert(key).inserted else { throw fail(line, "twice") }
                families[current]?.samples.append(sample)
            }
        }
        for (name, family) in families {
            guard !family.samples.isEmpty else { throw fail(name, "no samples") }
            guard family.kind != "counter" || family.samples.allSatisfy({ $0.value >= 0 }) else {
                throw fail(name, "a negative counter")
            }
            if family.kind == "histogram" { try Self.checkHistogram(name, family) }
        }
    }

    private static func sample(_ line: Substring) throws -> (
        name: String, labels: [String: String], value: Double
    ) {
        let pattern = /([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)/
        guard let match = line.wholeMatch(of: pattern), let value = Double(match.3) else {
            throw TestFailure(message: "no sample: \(line)")
        }
        var (labels, rest): ([String: String], Substring) = ([:], match.2 ?? "")
        let label = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\["\\n])*)"(?:,|$)/
        while !rest.isEmpty {
            guard let found = rest.prefixMatch(of: label),
                labels.updateValue(String(found.2), forKey: String(found.1)) == nil
            else { throw TestFailure(message: "odd labels: \(line)") }
            rest = rest[found.range.upperBound...]
        }
        return (String(match.1), labels, value)
    }

    /// Buckets count what is at or below their bounds, so they never fall, and the last counts all.
    private static func checkHistogram(_ name: String, _ family: Family) throws {
        var buckets: [[String: String]: [(bound: Double, count: Double)]] = [:]
        var counts: [[String: String]: Double] = [:]
        for sample in family.samples {
            var labels = sample.labels
            if sample.name.hasSuffix("_count") { counts[labels] = sample.value }
            guard let bound = labels.removeValue(forKey: "le") else { continue }
            guard let number = bound == "+Inf" ? .infinity : Double(bound) else {
                throw TestFailure(message: "\(name): a bound of \(bound)")
            }
            buckets[labels, default: []].append((number, sample.value))
        }
        guard !buckets.isEmpty, Set(buckets.keys) == Set(counts.keys) else {
            throw TestFailure(message: "\(name): counts without buckets")
        }
        for (labels, list) in buckets {
            let rises = zip(list, list.dropFirst()).allSatisfy { $0.bound < $1.bound && $0.count <= $1.count }
            guard rises, list.last?.bound == .infinity, list.last?.count == counts[labels] else {
                throw TestFailure(message: "\(name): buckets \(list)")
            }
        }
    }
}

@Suite struct ExpositionTests {
    @Test func metricsAreWellFormed() async throws {
        try await TestServer().run { client in
            _ = try Exposition(try await client.get("/metrics").text)
            for stream in [false, true] {
                let parameters: JSONValue = ["max_new_tokens": 4, "ignore_eos": true]
                let path = stream ? "/generate_stream" : "/generate"
                let (status, _) = try await client.postText(
                    path, JSONValue.object(["inputs": [5, 6, 7], "parameters": parameters]).serialized)
                #expect(status == .ok)
            }
            _ = try await client.post("/generate", ["inputs": 3])
            let after = try Exposition(try await client.get("/metrics").text)
            let names = Set(after.families.keys)
            #expect(
                names.count { $0.hasPrefix("lightllm_") } > 25 && names.count { $0.hasPrefix("vllm:") } > 20)
            #expect(after.families["lightllm_request_success_total"]?.samples.first?.value == 2)
            #expect(after.families["vllm:e2e_request_latency_seconds"]?.samples.last?.value == 2)
        }
    }

    @Test(arguments: [
        "a 1\n", "# HELP a x\n# TYPE a counter\na 1\n", "# HELP a x\n# TYPE a gauge\na 1\na 2\n",
        "# HELP a x\n# TYPE a gauge\na{b=\"\"c\"} 1\n", "# HELP a x\n# TYPE a gauge\na{b=\"c\",b=\"d\"} 1\n",
        "# HELP a x\n# TYPE a gauge\na 1", "# TYPE a gauge\na 1\n",
        "# HELP a x\n# TYPE a histogram\na_bucket{le=\"1\"} 2\na_bucket{le=\"+Inf\"} 1\na_sum 1\na_count 1\n",
        "# HELP a x\n# TYPE a histogram\na_bucket{le=\"+Inf\"} 2\na_sum 1\na_count 1\n",
    ])
    func theCheckFindsWhatIsWrong(_ text: String) {
        #expect(throws: TestFailure.self) { try Exposition(text) }
    }
}

@Suite struct CapabilitiesTests {
    @Test func theServerSaysWhatItCanDo() async throws {
        try await TestServer(slots: 4096, longest: 200).run {
            ($0.limits.largestBody, $0.queueTimeout) = (5000, .seconds(3))
        } _: { client in
            let (status, text) = try await client.get("/v1/capabilities")
            let json = try JSONValue(parsing: text)
            #expect(status == .ok && json["model"] == "tiny" && json["max_model_len"] == 200)
            let routes = json["routes"]?.array?.compactMap(\.string) ?? []
            for route in routes {
                let parts = route.split(separator: " ").map(String.init)
                let method = try #require(HTTPRequest.Method(parts[0]))
                let path = parts[1].replacing("{id}", with: "tiny").replacing(":id", with: "tiny")
                let status = try await client.execute(uri: path, method: method) { $0.status }
                #expect(status != .notFound && status != .methodNotAllowed, "\(route)")
            }
            #expect(routes.contains("POST /v1/chat/completions") && routes.contains("GET /v1/capabilities"))
            #expect(json["limits"]?["max_body_bytes"] == 5000 && json["limits"]?["max_total_tokens"] == 4096)
            #expect(json["limits"]?["queue_timeout"]?.double == 3)
            #expect(json["features"]?["vision"] == false && json["authentication"] == false)
            let kinds = json["features"]?["structured_output"]?.array ?? []
            #expect(kinds.contains("json") && kinds.contains("regex") && json["features"]?["tools"] == .null)
            #expect(json["features"]?["generation"] == true && json["features"]?["scoring"] == false)
        }
    }
}
