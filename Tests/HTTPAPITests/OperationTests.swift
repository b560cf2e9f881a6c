import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import JSON
import NIOCore
import OrderedCollections
import Testing

@testable import HTTPAPI

@Suite struct APIKeyTests {
    @Test func onlyWholeKeysAreKeys() {
        let keys = APIKeys(["secret", "other"])
        #expect(keys.index(of: "secret") == 0 && keys.index(of: "other") == 1)
        for wrong in ["", "secre", "secretsecret", "Secret", "secret ", "othe"] {
            #expect(keys.index(of: wrong) == nil, "\(wrong)")
        }
        #expect(APIKeys([""]).index(of: "x") == nil)
    }

    @Test func everyRouteButHealthChecksWantsAKey() async throws {
        try await TestServer().run {
            $0.keys = APIKeys(["secret"])
        } _: { client in
            let port = try #require(client.port)
            func status(_ method: String, _ path: String, _ headers: String = "") async throws -> Int? {
                let request =
                    "\(method) \(path) HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\(headers)\r\n"
                return try await RawConnection.exchange(port, request).status
            }
            let (bearer, open) = ("Authorization: Bearer secret\r\n", Authentication.openPaths)
            let capabilities = try await RawConnection.exchange(
                port,
                "GET /v1/capabilities HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\(bearer)\r\n",
                within: .seconds(10))
            let body = try #require(capabilities.text.components(separatedBy: "\r\n\r\n").last)
            let routes = try JSONValue(parsing: body)["routes"]?.array?.compactMap(\.string) ?? []
            #expect(routes.count > 15)
            for route in routes + ["GET /nothing", "PUT /metrics", "HEAD /metrics", "OPTIONS /generate"] {
                let parts = route.split(separator: " ").map(String.init)
                let expected = open.contains(parts[1]) ? 200 : 401
                #expect(try await status(parts[0], parts[1]) == expected, "\(route)")
            }
            for path in open { #expect(try await status("HEAD", path) != 401, "\(path)") }
            for headers in [
                bearer, "authorization: bearer secret\r\n", "Authorization: BEARER secret\r\n",
                "X-API-Key: secret\r\n",
            ] {
                #expect(try await status("GET", "/v1/models", headers) == 200, "\(headers)")
            }
            for headers in [
                "", "Authorization: Bearer secre\r\n", "Authorization: Bearer secrets\r\n",
                "Authorization: Bearer \r\n", "Authorization: secret\r\n", "Authorization: Basic secret\r\n",
                "X-API-Key: \r\n", "Cookie: key=secret\r\n",
            ] {
                #expect(try await status("GET", "/v1/models", headers) == 401, "\(headers)")
            }
            for query in ["api_key=secret", "key=secret", "authorization=Bearer%20secret"] {
                #expect(try await status("GET", "/v1/models?" + query) == 401, "\(query)")
            }
            let long = "Authorization: Bearer \(String(repeating: "s", count: 1 << 20))\r\n"
            #expect(try await status("GET", "/v1/models", long) == 431)
        }
    }

    @Test func requestsKeepTheirIdentity() async throws {
        try await TestServer().run { client in
            let name = try #require(HTTPField.Name("x-request-id"))
            let own = try await client.execute(
                uri: "/v1/models", method: .get, headers: HTTPFields([HTTPField(name: name, value: "abc")])
            ) { $0.headers[name] }
            #expect(own == "abc")
            let new = try await client.execute(uri: "/v1/models", method: .get) { $0.headers[name] }
            #expect(new?.isEmpty == false)
        }
    }
}

@Suite struct QueueFieldTests {
    @Test func termsAreBounded() async throws {
        try await TestServer().run { client in
            let salt = JSONValue.string(String(repeating: "s", count: 257))
            let strange: [JSONValue.Members] = [
                ["cache_salt": salt], ["cache_salt": 3], ["priority": 1001], ["priority": "high"],
                ["queue_timeout": -1], ["queue_timeout": 1e30],
            ]
            for members in strange {
                var parameters = members
                parameters["max_new_tokens"] = 1
                let body: JSONValue = ["inputs": [5, 6], "parameters": .object(parameters)]
                let (status, _) = try await client.post("/generate", body)
                #expect(status == .badRequest, "\(members)")
            }
            let parameters: JSONValue = [
                "cache_salt": "mine", "priority": -5, "queue_timeout": 30, "max_new_tokens": 1,
            ]
            let body: JSONValue = ["inputs": [5, 6], "parameters": parameters]
            let (status, _) = try await client.post("/generate", body)
            #expect(status == .ok)
        }
    }
}

@Suite struct MetricsTests {
    /// Samples by name and labels, after checking the format: every family is declared once, before its samples.
    private func samples(_ text: String) throws -> [String: Double] {
        var (kinds, result, families): ([String: String], [String: Double], Set<String>) = ([:], [:], [])
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ")
            if line.hasPrefix("# TYPE ") {
                #expect(kinds.updateValue(String(words[3]), forKey: String(words[2])) == nil, "\(line)")
                families.insert(String(words[2]))
            } else if !line.hasPrefix("#") {
                let value = try #require(Double(words[words.count - 1]), "\(line)")
                let series = line.dropLast(words[words.count - 1].count + 1)
                let name = String(series.prefix { $0 != "{" })
                let bases = ["_bucket", "_sum", "_count", ""].compactMap {
                    name.hasSuffix($0) ? String(name.dropLast($0.count)) : nil
                }
                #expect(bases.contains { families.contains($0) }, "\(line) is not declared")
                #expect(result.updateValue(value, forKey: String(series)) == nil, "\(line) is there twice")
            }
        }
        return result
    }

    @Test func bothFamiliesCountWhatHappened() async throws {
        try await TestServer().run { client in
            for _ in 0..<2 {
                let (status, _) = try await client.post(
                    "/generate",
                    ["inputs": [5, 6, 7, 8, 9], "parameters": ["max_new_tokens": 4, "ignore_eos": true]])
                #expect(status == .ok)
            }
            #expect(try await client.post("/generate", ["inputs": 3]).status == .badRequest)
            let samples = try samples(try await client.get("/metrics").text)
            let labels = "model_name=\"tiny\",engine=\"0\""
            #expect(samples["lightllm_request_count_total"] == 2)
            #expect(samples["lightllm_request_success_total"] == 2)
            #expect(samples["lightllm_request_failure_total"] == 1)
            #expect(samples["vllm:request_success_total{\(labels),finished_reason=\"length\"}"] == 2)
            #expect(samples["vllm:generation_tokens_total{\(labels)}"] == 8)
            #expect(samples["vllm:prompt_tokens_total{\(labels)}"] == 10)
            #expect(
                samples["vllm:prefix_cache_hits_total{\(labels)}"] == 4,
                "all but the last token of the second")
            #expect(samples["lightllm_cache_length_sum"] == 4)
            #expect(samples["vllm:time_to_first_token_seconds_count{\(labels)}"] == 2)
            #expect(samples["vllm:inter_token_latency_seconds_count{\(labels)}"] == 6)
            #expect(samples["lightllm_request_generated_tokens_sum"] == 8)
            #expect(samples["lightllm_request_max_new_tokens_bucket{le=\"+Inf\"}"] == 2)
            #expect(samples["lightllm_batch_inference_count_total{method=\"prefill\"}"] == 2)
            #expect(samples["lightllm_batch_inference_count_total{method=\"decode\"}"] == 6)
            #expect(samples["lightllm_batch_next_size_sum"] == 2)
            #expect(samples["vllm:iteration_tokens_total_count{\(labels)}"] == 8)
            #expect(samples["vllm:iteration_tokens_total_sum{\(labels)}"] == 12)
        }
    }
}
