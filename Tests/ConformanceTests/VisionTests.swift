import CPUBackend
import Foundation
import Images
import JSON
import Layers
import LightLLM
import Models
import ReferenceBackend
import Serving
import Tensors
import Testing
import Weights

/// Models that see, against what the original implementations compute.
@Suite struct VisionGoldenTests {
    static let names = Goldens.folders("vision", holding: "golden.json")

    @Test func thereAreModels() { #expect(!Self.names.isEmpty) }

    @Test(arguments: names)
    func preparesPixelsAndFeaturesAsRecorded(_ name: String) throws {
        let golden = try VisionGolden(name)
        for item in golden.cases where !item.images.isEmpty {
            let images = try item.images.map { try golden.image($0).decoded() }
            let features = golden.encoder.encode(images)
            #expect(features.map(\.rows) == (try item.images.map { try golden.plan($0).tokens }))
            let recorded = try golden.floats(item.features)
            let computed = features.flatMap(\.values)
            #expect(computed.count == recorded.count, "\(name), \(item.images)")
            let scale = recorded.map { abs($0) }.max() ?? 1
            #expect(largestDifference(computed, recorded) <= 5e-4 * scale, "\(name), \(item.images)")
            // Alone as together, bit for bit.
            let alone = images.flatMap { golden.encoder.encode([$0])[0].values }
            #expect(alone == computed, "\(name), \(item.images)")
        }
    }

    @Test(arguments: names, ModelGoldenTests.Computer.allCases)
    func answersAsRecorded(_ name: String, by computer: ModelGoldenTests.Computer) async throws {
        let golden = try VisionGolden(name, computer.backend)
        for item in golden.cases {
            let prompt = try await golden.prompt(item)
            let engine = try golden.model.makeScoringEngine(
                tokens: prompt.tokens.count + item.greedy.count)
            var request = GenerationRequest(prompt: prompt.tokens, maxNewTokens: item.greedy.count)
            (request.images, request.reportsLogits, request.ignoresEndTokens) = (prompt.images, true, true)
            let scored = try await Scored(engine, request)
            let label = "\(name), \(item.images), \(computer)"
            #expect(largestDifference(scored.logits, item.logits) <= 2e-4, "\(label)")
            #expect(scored.ids == item.greedy, "\(label)")
            #expect(engine.statistics.freeSlots == engine.statistics.totalSlots)
        }
    }

    /// Prompts with no, one and several images in one batch, cut into chunks, and again with what is cached of them.
    @Test(arguments: names)
    func sameBitsAloneTogetherInChunksAndFromTheCache(_ name: String) async throws {
        let golden = try VisionGolden(name)
        var requests: [GenerationRequest] = []
        for item in golden.cases {
            let prompt = try await golden.prompt(item)
            var request = GenerationRequest(prompt: prompt.tokens, maxNewTokens: 12)
            (request.images, request.reportsLogits, request.ignoresEndTokens) = (prompt.images, true, true)
            requests.append(request)
        }
        let expected = try await scores(of: requests, golden.model, tokensPerStep: 2048, together: false)
        for (tokens, together) in [(2048, true), (7, true), (7, false)] {
            let scored = try await scores(
                of: requests + requests, golden.model, tokensPerStep: tokens, together: together)
            for (index, scored) in scored.enumerated() {
                #expect(
                    scored == expected[index % expected.count],
                    "\(name): case \(index), \(tokens) tokens a step, together \(together)")
            }
        }
    }

    private func scores(
        of requests: [GenerationRequest], _ model: LoadedModel, tokensPerStep: Int, together: Bool
    ) async throws -> [Scored] {
        var options = EngineOptions()
        (options.cacheElement, options.maxTotalTokens, options.maxRequestTokens) = (.float32, 8192, 512)
        options.limits = SchedulerLimits(runningSequences: 32, tokensPerStep: tokensPerStep)
        let engine = try model.makeEngine(options)
        var results: [Scored?] = Array(repeating: nil, count: requests.count)
        if together {
            try await withThrowingTaskGroup(of: (Int, Scored).self) { group in
                for (index, request) in requests.enumerated() {
                    group.addTask { (index, try await Scored(engine, request)) }
                }
                for try await (index, scored) in group { results[index] = scored }
            }
        } else {
            for (index, request) in requests.enumerated() {
                results[index] = try await Scored(engine, request)
            }
        }
        #expect(engine.statistics.freeSlots == engine.statistics.totalSlots)
        return results.compactMap(\.self)
    }

    /// Without a part that looks at images a checkpoint of one that sees still reads.
    @Test(arguments: names)
    func readsTextWithoutLooking(_ name: String) async throws {
        let golden = try VisionGolden(name)
        let model = try LoadedModel(
            checkpoint: openCheckpoint(Goldens.path("vision", name)), backend: CPUBackend())
        #expect(model.network.imageEncoder == nil)
        for item in golden.cases where item.images.isEmpty {
            let engine = try model.makeScoringEngine(tokens: item.ids.count + item.greedy.count)
            let scored = try await Scored(engine, item.ids, maxNewTokens: item.greedy.count)
            #expect(scored.ids == item.greedy, "\(name)")
        }
        for item in golden.cases.prefix(1) where !item.images.isEmpty {
            let prompt = try await golden.prompt(item)
            var request = GenerationRequest(prompt: prompt.tokens, maxNewTokens: 1)
            request.images = prompt.images
            let engine = try model.makeScoringEngine(tokens: prompt.tokens.count + 1)
            #expect(throws: RequestError.imagesNotTaken) { try engine.validate(request) }
            request.images = []
            #expect(throws: RequestError.self) { try engine.validate(request) }
        }
    }

    /// No size of an image has more tokens than there is room for, and strips of every kind are looked at or refused.
    @Test(arguments: names)
    func noImageHasMoreTokensThanThereIsRoomFor(_ name: String) throws {
        let encoder = try VisionGolden(name).encoder
        for width in [1, 2, 7, 13, 14, 15, 29, 64, 90, 100, 333, 1000, 2799] {
            for height in [1, 2, 9, 14, 27, 56, 112, 200, 577, 1400, 2800] {
                guard let plan = try? encoder.plan(width: width, height: height) else {
                    let (short, long) = (min(width, height), max(width, height))
                    #expect(long > 200 * short, "\(name): \(width)x\(height)")
                    continue
                }
                #expect((1...encoder.mostTokens).contains(plan.tokens), "\(name): \(width)x\(height)")
                guard width * height < 4000 else { continue }
                let image = PixelImage(
                    width: width, height: height,
                    pixels: (0..<3 * width * height).map { UInt8($0 % 251) })
                #expect(encoder.encode([image])[0].rows == plan.tokens)
            }
        }
    }

    /// Memory is planned for images as it is for texts.
    @Test(arguments: names)
    func plansMemoryForImages(_ name: String) throws {
        let checkpoint = try openCheckpoint(Goldens.path("vision", name))
        var options = EngineOptions()
        options.maxTotalTokens = 64
        let text = try MemoryPlan(checkpoint, options, available: 1 << 34)
        options.images = ImageOptions()
        let both = try MemoryPlan(checkpoint, options, available: 1 << 34)
        #expect(text.images == 0 && both.images > 0)
        #expect(both.weights == text.weights && both.activations == text.activations)
    }
}

/// A recorded checkpoint that sees, and its cases.
struct VisionGolden {
    struct Case {
        let images: [String]
        let ids: [Int32]
        let logits: [Float]
        let greedy: [Int32]
        /// The file of the features of all images.
        let features: String
    }

    let name: String
    let model: LoadedModel
    let encoder: any ImageEncoder
    let stage: ImageStage
    let cases: [Case]

    init(_ name: String, _ backend: any Backend = CPUBackend()) throws {
        self.name = name
        model = try LoadedModel(
            checkpoint: openCheckpoint(Goldens.path("vision", name)), backend: backend,
            images: ImageOptions())
        encoder = try #require(model.network.imageEncoder)
        stage = try #require(model.makeImageStage())
        let list = try Goldens.json("vision", name, "golden.json")["cases"]?.array ?? []
        cases = list.enumerated().map { index, item in
            let several = item["images"]?.array?.compactMap(\.string)
            let suffix = several == nil ? "\(index)" : "_case\(index)"
            return Case(
                images: several ?? [item["image"]?.string].compactMap(\.self),
                ids: item["ids"]?.ids ?? [], logits: item["last_logits"]?.floats ?? [],
                greedy: item["greedy"]?.ids ?? [], features: "image_features\(suffix).f32")
        }
    }

    func image(_ file: String) throws -> EncodedImage {
        try EncodedImage(Array(Data(contentsOf: URL(fileURLWithPath: Goldens.path("vision", name, file)))))
    }

    func plan(_ file: String) throws -> ImagePlan {
        let image = try image(file)
        return try encoder.plan(width: image.width, height: image.height)
    }

    /// The ids of a case with the tokens of its images in place.
    func prompt(_ item: Case) async throws -> IllustratedPrompt {
        try IllustratedPrompt(
            filling: item.ids, with: await stage.ready(item.images.map(image)), stage.marks)
    }

    func floats(_ file: String) throws -> [Float] {
        let data = try Data(contentsOf: URL(fileURLWithPath: Goldens.path("vision", name, file)))
        return data.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
    }
}
