import CCUDAHost
import CPUBackend
import CUDABackend
import CUDARuntime
import Foundation
import GPUCheck
import Images
import JSON
import Layers
import LightLLM
import Scheduling
import Serving
import Tensors
import Testing
import Weights

@Suite(.serialized) struct ModelTests {
    private static var folder: String {
        URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("Fixtures/goldens/models/tiny_llama").path
    }

    /// Greedy continuations of the recorded prompts, all in one engine at once.
    private func continuations(
        _ checkpoint: any Checkpoint, _ backend: any Backend, _ element: CacheElement
    ) async throws -> [[Int32]] {
        let model = try LoadedModel(checkpoint: checkpoint, backend: backend)
        var options = EngineOptions()
        (options.cacheElement, options.maxTotalTokens, options.maxRequestTokens) = (element, 512, 64)
        options.limits = SchedulerLimits(runningSequences: 4, tokensPerStep: 24)
        let engine = try model.makeEngine(options)
        let golden = try JSONValue(
            parsing: Array(Data(contentsOf: URL(fileURLWithPath: Self.folder + "/golden.json"))))
        let prompts = (golden["prompts"]?.array ?? []).map { entry in
            (entry["ids"]?.array ?? []).compactMap { $0.int.map { Int32($0) } }
        }
        let requests = prompts.prefix(3).map { prompt in
            var request = GenerationRequest(prompt: Array(prompt.prefix(40)), maxNewTokens: 6)
            request.ignoresEndTokens = true
            return request
        }
        var answers: [[Int32]] = []
        for stream in try engine.submit(Array(requests)) {
            var tokens: [Int32] = []
            for await case .token(let token, _) in stream { tokens.append(token.token) }
            answers.append(tokens)
        }
        #expect(engine.statistics.freeSlots == engine.statistics.totalSlots)
        return answers
    }

    @Test(arguments: [false, true])
    func continuesAsOnTheProcessor(backwards: Bool) async throws {
        cuda_host_set_backwards(backwards)
        defer { cuda_host_set_backwards(false) }
        let checkpoint = try openCheckpoint(Self.folder)
        let expected = try await continuations(checkpoint, CPUBackend(threads: 1), .float32)
        #expect(expected.count == 3 && expected.allSatisfy { $0.count == 6 })
        #expect(try await continuations(checkpoint, makeHostBackend(), .float32) == expected)
    }

    /// What a model makes of images, by every form of encoder.
    @Test(arguments: ["llava", "qwen_vl", "qwen2_5_vl", "internvl_6b"])
    func looksAtImagesAsOnTheProcessor(_ name: String) throws {
        let folder = URL(fileURLWithPath: Self.folder).deletingLastPathComponent()
            .deletingLastPathComponent().appendingPathComponent("vision/\(name)").path
        let image = try EncodedImage(
            Array(Data(contentsOf: URL(fileURLWithPath: folder + "/image0.png")))
        ).decoded()
        func features(_ backend: any Backend) throws -> [Float] {
            let model = try LoadedModel(
                checkpoint: openCheckpoint(folder), backend: CPUBackend(threads: 1), images: ImageOptions(),
                imageBackend: backend)
            return try #require(model.network.imageEncoder).encode([image, image]).flatMap(\.values)
        }
        let expected = try features(CPUBackend(threads: 1))
        for backwards in [false, true] {
            cuda_host_set_backwards(backwards)
            defer { cuda_host_set_backwards(false) }
            expectClose([try features(makeHostBackend())], [expected], 1e-4, name)
        }
    }

    /// The checks that run on a GPU, on the host.
    @Test func checksHold() throws {
        let recorder = try Recorder(section: "small", path: nil)
        try OperationCheck(makeHostBackend(), .small, recorder).run()
        #expect(recorder.failureCount == 0)
    }

    /// A plan for a GPU counts what one takes.
    @Test func thePlanIsTheDevices() async throws {
        let checkpoint = try openCheckpoint(Self.folder)
        var options = EngineOptions()
        (options.device, options.cacheElement, options.maxTotalTokens) = (.cuda, .float16, 64)
        (options.maxRequestTokens, options.memoryFraction) = (40, 1)
        options.limits = SchedulerLimits(runningSequences: 2, tokensPerStep: 16)
        let plan = try MemoryPlan(checkpoint, options, available: 1 << 40)
        let backend = try makeHostBackend()
        let engine = try LoadedModel(checkpoint: checkpoint, backend: backend).makeEngine(options)
        #expect(plan.weights == backend.memoryUse.weights && plan.weights > 0)
        #expect(plan.program == 0 && engine.statistics.totalSlots == 64)
        // The arena of tests begins smaller.
        #expect(plan.activations >= backend.memoryUse.activations)
    }

    @Test func whatWasNotExportedIsNamed() throws {
        let nowhere = ExportedKernels(folder: URL(fileURLWithPath: "/nowhere"), architecture: "sm_80")
        #expect {
            try nowhere.image(of: "attention_tiles.cu", definitions: ["WIDTH=48"])
        } throws: {
            "\($0)".contains("WIDTH=48") && "\($0)".contains("/nowhere/attention_tiles.cu.sm_80.")
        }
        #expect(throws: CUDAError.self) { try nowhere.image(of: "other.cu", definitions: []) }
    }

    @Test func sourcesAreEmbedded() {
        let texts = KernelSources().texts
        #expect(texts.count == 16)
        #expect(texts.values.allSatisfy { $0.contains("#include") || $0.contains("#pragma once") })
    }
}
