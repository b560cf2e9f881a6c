import CCUDAHost
import CUDABackend
import CUDARuntime
import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import JSON
import LightLLM
import Logging
import NIOCore
import OrderedCollections
import Scheduling
import Serving
import Tensors
import Testing
import TextGeneration
import Weights

@testable import HTTPAPI

/// A device that fails at any call: what runs ends with an error, the process goes on, and nothing is asked of the device
/// any more.
@Suite(.serialized) struct FailureTests {
    private static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("Fixtures/goldens/models/tiny_llama").path

    private static let calls: [cuda_host_call] = [
        CUDA_HOST_LAUNCH, CUDA_HOST_COPY_TO_DEVICE, CUDA_HOST_COPY_TO_HOST, CUDA_HOST_SYNCHRONIZE,
        CUDA_HOST_MAKE_CURRENT,
    ]

    private static func backend() throws -> CUDABackend {
        cuda_host_fail(CUDA_HOST_LAUNCH, -1)
        return try makeHostBackend { cuda_host_failing_driver($0) }
    }

    private static func engine(_ backend: CUDABackend, running: Int = 2) throws -> Engine {
        let model = try LoadedModel(checkpoint: openCheckpoint(folder), backend: backend)
        var options = EngineOptions()
        (options.cacheElement, options.maxTotalTokens, options.maxRequestTokens) = (.float32, 256, 48)
        options.limits = SchedulerLimits(runningSequences: running, tokensPerStep: 8)
        return try model.makeEngine(options)
    }

    private static func request(_ index: Int) -> GenerationRequest {
        var request = GenerationRequest(prompt: [1, 5, 9, Int32(20 + index)], maxNewTokens: 40)
        request.ignoresEndTokens = true
        return request
    }

    private static func isFailure(_ error: RequestError?) -> Bool {
        guard case .engineFailed(let reason)? = error else { return false }
        return reason.contains("failed with 700: CUDA_ERROR_ILLEGAL_ADDRESS")
    }

    /// Does something when the first token was chosen, before the next step.
    private struct Trigger: TokenConstraint {
        let action: @Sendable () -> Void
        private var isPulled = false

        init(_ action: @escaping @Sendable () -> Void) { self.action = action }

        func allowedTokens() -> [UInt64]? { nil }

        mutating func advance(with token: Int32) {
            if !isPulled { action() }
            isPulled = true
        }

        var mustEnd: Bool { false }
    }

    /// Early and late in a step, whatever is asked for then.
    @Test(arguments: calls.map(\.rawValue), [0, 7])
    func runningAndWaitingRequestsFail(call: UInt32, after: Int) async throws {
        let engine = try Self.engine(try Self.backend())
        var requests = (0..<5).map(Self.request)
        // Two run by then, and three wait.
        requests[1].constraint = Trigger {
            cuda_host_fail(cuda_host_call(rawValue: call), Int32(after))
        }
        var errors: [RequestError?] = []
        for stream in try engine.submit(requests) {
            var last: GenerationEvent?
            for await event in stream { last = event }
            if case .failed(let error)? = last { errors.append(error) } else { errors.append(nil) }
        }
        #expect(errors.count == 5 && errors.allSatisfy(Self.isFailure), "\(errors)")
        // Two may have ended before the device failed; nobody is left, and nothing is held.
        let statistics = engine.statistics
        #expect(Self.isFailure(statistics.failure))
        #expect(statistics.freeSlots == statistics.totalSlots && statistics.failedRequests == 5)
        #expect((statistics.running, statistics.waiting, statistics.paused) == (0, 0, 0))
        let failure = try #require(statistics.failure)
        #expect(throws: failure) { try engine.submit(Self.request(9)) }
        #expect(cuda_host_calls_after_failure() == 0)
        cuda_host_fail(CUDA_HOST_LAUNCH, -1)
    }

    /// A graph that cannot be made because the device is lost is no reason to go on without.
    @Test func losingTheDeviceWithAGraphFails() async throws {
        let engine = try Self.engine(try Self.backend())
        cuda_host_fail(CUDA_HOST_GRAPH, 0)
        defer { cuda_host_fail(CUDA_HOST_LAUNCH, -1) }
        for stream in try engine.submit((0..<2).map(Self.request)) {
            var last: GenerationEvent?
            for await event in stream { last = event }
            guard case .failed(let error)? = last else {
                Issue.record("\(String(describing: last))")
                continue
            }
            #expect("\(error)".contains("cuGraphInstantiate failed with 700"))
        }
        #expect(cuda_host_calls_after_failure() == 0)
        #expect(engine.statistics.freeSlots == engine.statistics.totalSlots)
    }

    /// Memory that small matrices took and gave back serves larger ones, in whose place it lies.
    @Test func idleRegionsMakeRoom() throws {
        let backend = try makeHostBackend { cuda_host_small_driver($0, 400 << 20) }
        for megabytes in [70, 100, 140, 200, 260] {
            let x = backend.makeMatrix(rows: megabytes, columns: 1 << 18)
            backend.write(ArraySlice([Float](repeating: 7, count: 1 << 18)), into: x.rows(0..<1))
            #expect(backend.rows(x.rows(0..<1))[0][99] == 7)
        }
        #expect(backend.failure == nil)
        let large = backend.makeMatrix(rows: 420, columns: 1 << 18)
        #expect(large.rows == 420)
        #expect(backend.failure?.description.contains("cuMemAlloc failed with 2") == true)
    }

    /// What is asked of a backend that has failed does nothing, and does not bring it back.
    @Test func operationsAfterAFailureDoNothing() throws {
        let backend = try Self.backend()
        let x = backend.matrix([[1, 2], [3, 4]])
        let y = backend.makeMatrix(rows: 2, columns: 2)
        backend.add(x, x, into: y)
        #expect(backend.rows(y) == [[2, 4], [6, 8]] && backend.failure == nil)
        cuda_host_fail(CUDA_HOST_SYNCHRONIZE, 0)
        #expect(backend.rows(y) == [[0, 0], [0, 0]])
        let failure = try #require(backend.failure)
        #expect(failure.description.contains("cuStreamSynchronize failed with 700"))
        #expect(cuda_host_calls_after_failure() == 0)
        backend.add(y, y, into: x)
        var answers: [LogitAnswer] = []
        backend.answer([LogitQuery(row: 0), LogitQuery(row: 1)], on: x, into: &answers)
        #expect(answers.count == 2 && backend.freeMemory == 0)
        let large = backend.makeMatrix(rows: 1 << 12, columns: 1 << 12)
        let weight = backend.makeWeight([weight([[1, 2], [3, 4]], .float32)])
        backend.linear(x, weight, bias: nil, into: y)
        #expect(large.rows == 1 << 12 && cuda_host_calls_after_failure() == 0)
        #expect(backend.failure == failure)
        cuda_host_fail(CUDA_HOST_LAUNCH, -1)
        #expect(backend.failure == failure)
    }

    /// A device that fails while a model is loaded is an error of loading.
    @Test(
        arguments: [CUDA_HOST_ALLOCATE, CUDA_HOST_COPY_TO_DEVICE, CUDA_HOST_LAUNCH].map(\.rawValue),
        [0, 3, 11])
    func loadingFails(call: UInt32, after: Int) throws {
        let backend = try Self.backend()
        cuda_host_fail(cuda_host_call(rawValue: call), Int32(after))
        defer { cuda_host_fail(CUDA_HOST_LAUNCH, -1) }
        #expect {
            _ = try Self.engine(backend)
        } throws: {
            // Memory that cannot be had for the cache is an error of its own.
            $0 is BackendFailure || $0 is CacheMemoryError
        }
    }

    private static func generator(_ engine: Engine) throws -> TextGenerator {
        TextGenerator(
            engine: engine, tokenizer: try tokenizer(of: openCheckpoint(folder)), chatTemplate: nil,
            endTokens: [], bosToken: nil, eosToken: nil)
    }

    /// The server answers on: it is alive and not ready, and says of requests what became of them.
    @Test func serversStayUp() async throws {
        let engine = try Self.engine(try Self.backend())
        var configuration = Server.Configuration()
        configuration.port = 0
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        let server = Server(try Self.generator(engine), configuration: configuration, logger: logger)
        try await server.application(onRunning: { _ in }).test(.ahc(.http)) { client in
            func answer(
                _ path: String, _ method: HTTPRequest.Method = .get, _ body: JSONValue = [:]
            ) async throws -> (status: HTTPResponse.Status, text: String) {
                try await client.execute(
                    uri: path, method: method, body: ByteBuffer(string: method == .get ? "" : body.serialized)
                ) { ($0.status, String(buffer: $0.body)) }
            }
            let long: JSONValue = ["prompt": [1, 5, 9], "max_tokens": 40, "ignore_eos": true]
            var short = long.object ?? [:]
            short["max_tokens"] = 2
            #expect(try await answer("/v1/completions", .post, .object(short)).status == .ok)
            for path in ["/readiness", "/health"] {
                #expect(try await answer(path).status == .ok)
            }
            // Some of the answer is out when the device fails.
            cuda_host_fail(CUDA_HOST_LAUNCH, 60)
            var streamed = long.object ?? [:]
            streamed["stream"] = true
            let stream = try await answer("/v1/completions", .post, .object(streamed))
            #expect(
                stream.status == .ok && stream.text.contains("the engine has failed: CUDA: cu"))
            for (path, method, body) in [
                ("/readiness", .get, [:]), ("/health", .get, [:]), ("/v1/completions", .post, long),
                ("/generate", .post, ["inputs": [1, 2], "parameters": [:]]),
            ] as [(String, HTTPRequest.Method, JSONValue)] {
                let (status, text) = try await answer(path, method, body)
                #expect(status == .serviceUnavailable, "\(path)")
                #expect(
                    path == "/health" || text.contains("the engine has failed: CUDA: cu"),
                    "\(text)")
            }
            #expect(try await answer("/liveness").status == .ok)
            let metrics = try await answer("/metrics")
            #expect(metrics.status == .ok && !metrics.text.isEmpty)
        }
        #expect(engine.statistics.freeSlots == engine.statistics.totalSlots)
        cuda_host_fail(CUDA_HOST_LAUNCH, -1)
        // Only who asks for it has the process end.
        let monitor = HealthMonitor(
            engine: engine, stallTimeout: .seconds(60), interval: .milliseconds(1))
        await #expect {
            try await monitor.run()
        } throws: {
            "\($0)".hasPrefix("the engine has failed: CUDA: cu")
        }
    }
}
