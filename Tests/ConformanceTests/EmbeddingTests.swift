import Foundation
import JSON
import Layers
import LightLLM
import OrderedCollections
import Scheduling
import Serving
import Tensors
import Testing
import TextGeneration
import Weights

/// Models without their heads.
@Suite struct EmbeddingTests {
    private func engine(
        _ path: String, tokensPerStep: Int = 512, sharesPrefixes: Bool = true
    ) throws -> Engine {
        var options = EngineOptions()
        (options.maxTotalTokens, options.maxRequestTokens, options.threads) = (4096, 256, 2)
        (options.cacheElement, options.sharesPrefixes) = (.float32, sharesPrefixes)
        options.limits = SchedulerLimits(runningSequences: 64, tokensPerStep: tokensPerStep)
        return try LoadedModel(path: path, head: .none).makeEngine(options)
    }

    private func vector(_ engine: Engine, _ text: [Int32], _ pooling: Pooling = .last) async throws -> [Float]
    {
        try await Scored(engine, .embedding(text, pooling)).logits
    }

    /// The checkpoint's head: 32-bit numbers, and nothing else done to logits; nil where it is another.
    private func head(_ path: String) throws -> (rows: Int, columns: Int, values: [Float])? {
        let checkpoint = try openCheckpoint(path)
        let config = checkpoint.configuration
        let changes = ["logit_scale", "dim_model_base", "final_logit_softcapping", "mup_width_multiplier"]
        guard config["tie_word_embeddings"]?.bool != true, changes.allSatisfy({ config[$0] == nil })
        else { return nil }
        for name in ["lm_head.weight", "output.weight", "transformer.output_layer.weight"] {
            guard let tensor = try checkpoint.tensor(name), tensor.encoding == .float32,
                tensor.shape.count == 2
            else { continue }
            let values = tensor.bytes.bytes.withMemoryRebound(to: UInt8.self) { bytes in
                stride(from: 0, to: bytes.count, by: 4).map { index in
                    Float(
                        bitPattern: (0..<4).reduce(0) { $0 | UInt32(bytes[index + $1]) << (8 * UInt32($1)) })
                }
            }
            return (tensor.shape[0], tensor.shape[1], values)
        }
        return nil
    }

    /// The recorded logits are the checkpoint's head times the hidden state.
    @Test func hiddenStatesGiveTheRecordedLogits() async throws {
        var count = 0
        for name in ModelGoldenTests.names {
            let path = Goldens.path("models", name)
            guard let head = try head(path) else { continue }
            let engine = try engine(path)
            #expect(engine.embedsTexts && engine.outputWidth == head.columns)
            for entry in try Goldens.json("models", name, "golden.json")["prompts"]?.array ?? [] {
                guard let ids = entry["ids"]?.ids, ids.count < 250,
                    let expected = entry["last_logits"]?.floats,
                    expected.count == head.rows
                else { continue }
                let hidden = try await vector(engine, ids)
                let logits = (0..<head.rows).map { row in
                    zip(hidden, head.values[row * head.columns..<(row + 1) * head.columns])
                        .reduce(Float(0)) { $0 + $1.0 * $1.1 }
                }
                #expect(largestDifference(logits, expected) < 2e-3, "\(name), \(ids.count) tokens")
                count += 1
            }
        }
        #expect(count > 10)
    }

    @Test func poolsStatesThatAreTheSameInAnyCompany() async throws {
        let path = Goldens.path("models", Goldens.areShipped ? "tiny_llama" : "llama3")
        let alone = try engine(path, sharesPrefixes: false)
        let vocabulary = alone.vocabularySize
        let texts = (0..<24).map { number in
            (0..<5 + 7 * (number % 11)).map { Int32((number * 7919 + $0 * 104_729) % vocabulary) }
        }
        let text = texts[9]
        // In a causal model the state of a token is the last one of the text up to it.
        var states: [[Float]] = []
        for count in 1...text.count {
            states.append(try await vector(alone, Array(text.prefix(count))))
        }
        let mean = states[0].indices.map { column in
            Float(states.reduce(0.0) { $0 + Double($1[column]) } / Double(states.count))
        }
        let expected: [Pooling: [Float]] = [
            .last: states[states.count - 1], .cls: states[0], .mean: mean,
        ]
        for pooling in Pooling.allCases {
            #expect(try await vector(alone, text, pooling) == expected[pooling])
            for shared in [try engine(path), try engine(path, tokensPerStep: 7)] {
                let streams = try shared.submit(texts.map { .embedding($0, pooling) })
                var vectors: [[Float]] = []
                for stream in streams {
                    for await case .logits(let values) in stream { vectors.append(values) }
                }
                #expect(vectors.count == texts.count && vectors[9] == expected[pooling])
                #expect(shared.statistics.freeSlots == shared.statistics.totalSlots)
            }
        }
    }

    @Test func onlyDoesWhatItIsFor() async throws {
        let path = Goldens.path("models", Goldens.areShipped ? "tiny_llama" : "llama3")
        let headless = try engine(path)
        for request in [GenerationRequest(prompt: [1, 2], maxNewTokens: 2), .score([1, 2])] {
            #expect(throws: RequestError.embedsOnly) { try headless.submit(request) }
        }
        let whole = try LoadedModel(path: path).makeScoringEngine(tokens: 64)
        #expect(throws: RequestError.wrongKind(generates: true)) {
            try whole.submit(GenerationRequest.embedding([1, 2], .mean))
        }
        guard Goldens.areShipped else { return }
        #expect(throws: EmbeddingError.self) {
            try engine(Goldens.path("models", "tiny_qwen2_reward"))
        }
        var options = EngineOptions()
        (options.maxTotalTokens, options.maxRequestTokens) = (64, 64)
        let planned = try MemoryPlan(openCheckpoint(path), options).weights
        options.head = .none
        #expect(try MemoryPlan(openCheckpoint(path), options).weights < planned)
    }

    /// Models for embeddings are often saved without the frame that generates: `layers.0` for `model.layers.0`, and
    /// no head.
    @Test(.enabled(if: Goldens.areShipped)) func readsModelsThatWereSavedBare() async throws {
        let folder = try Scratch()
        let path = Goldens.path("models", "tiny_llama")
        for name in try FileManager.default.contentsOfDirectory(atPath: path) {
            let data = try Data(contentsOf: URL(fileURLWithPath: path + "/" + name))
            let isShard = name.hasSuffix(".safetensors")
            try (isShard ? Self.bare(data) : data).write(to: folder.url.appendingPathComponent(name))
        }
        let text: [Int32] = [5, 6, 7, 8]
        #expect(try await vector(engine(folder.path), text) == vector(engine(path), text))
        #expect(throws: CheckpointError.self) { try LoadedModel(path: folder.path) }
    }

    /// A safetensors file without the head, and without `model.` in names.
    private static func bare(_ file: Data) throws -> Data {
        let count = file.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
        let header = try JSONValue(parsing: Array(file[8..<8 + count])).object ?? [:]
        var renamed: JSONValue.Members = [:]
        for (key, value) in header where key.string != "lm_head.weight" {
            renamed[JSONKey(key.string.replacing("model.", with: ""))] = value
        }
        // What belonged to the head stays, as nobody's, so offsets hold.
        if let head = header["lm_head.weight"] { renamed["layers.0.self_attn.rotary_emb.inv_freq"] = head }
        var text = Array(JSONValue.object(renamed).serialized.utf8)
        while text.count % 8 != 0 { text.append(0x20) }
        let size = (0..<8).map { UInt8(truncatingIfNeeded: text.count >> (8 * $0)) }
        return Data(size + text) + file[(8 + count)...]
    }

    @Test(.enabled(if: Goldens.areShipped)) func followsSentenceTransformersFiles() throws {
        func style(_ modules: String?, _ pooling: String?) throws -> EmbeddingStyle {
            let folder = try Scratch()
            let path = Goldens.path("models", "tiny_llama")
            for name in try FileManager.default.contentsOfDirectory(atPath: path) {
                try FileManager.default.copyItem(atPath: path + "/" + name, toPath: folder.path + "/" + name)
            }
            if let modules {
                try Data(modules.utf8).write(to: folder.url.appendingPathComponent("modules.json"))
            }
            if let pooling {
                let inner = folder.url.appendingPathComponent("1_Pooling")
                try FileManager.default.createDirectory(at: inner, withIntermediateDirectories: true)
                try Data(pooling.utf8).write(to: inner.appendingPathComponent("config.json"))
            }
            var options = TextOptions()
            (options.engine.maxTotalTokens, options.engine.head) = (64, .none)
            return try LoadedTextModel(path: folder.path, options: options).generator.embeddingStyle
        }
        let prefix = "sentence_transformers.models."
        let transformer = #"{"idx":0,"name":"0","path":"","type":"\#(prefix)Transformer"}"#
        let pooling = #"{"idx":1,"name":"1","path":"1_Pooling","type":"\#(prefix)Pooling"}"#
        let normalize = #"{"idx":2,"name":"2","path":"2_Normalize","type":"\#(prefix)Normalize"}"#
        #expect(try style(nil, nil) == EmbeddingStyle(pooling: .last, isNormalized: true))
        #expect(
            try style("[\(transformer),\(pooling),\(normalize)]", #"{"pooling_mode_mean_tokens":true}"#)
                == EmbeddingStyle(pooling: .mean, isNormalized: true))
        #expect(
            try style(
                "[\(transformer),\(pooling)]",
                #"{"pooling_mode_lasttoken":true,"pooling_mode_mean_tokens":false}"#)
                == EmbeddingStyle(pooling: .last, isNormalized: false))
        for (modules, configuration) in [
            ("[\(pooling)]", nil), ("[\(pooling)]", "{}"),
            ("[\(pooling)]", #"{"pooling_mode_max_tokens":true}"#),
            ("[\(pooling)]", #"{"pooling_mode_mean_tokens":true,"pooling_mode_cls_token":true}"#),
            (#"[{"type":"\#(prefix)Dense"}]"#, nil), ("[{}]", nil),
        ] {
            #expect(throws: EmbeddingError.self) { try style(modules, configuration) }
        }
    }
}

/// A folder that goes when this does.
private final class Scratch {
    let url: URL
    var path: String { url.path }

    init() throws {
        url = FileManager.default.temporaryDirectory.appendingPathComponent("lightllm-\(UUID())")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: url) }
}
