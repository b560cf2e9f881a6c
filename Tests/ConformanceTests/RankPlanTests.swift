import JSON
import Layers
import Scheduling
import Tensors
import Testing
import Weights

@testable import LightLLM

/// A Llama of two layers, all of whose weights are 0.
private struct BlankCheckpoint: Checkpoint {
    let path = "blank"
    let generationConfiguration: JSONValue? = nil
    let metadata: GGUFMetadata? = nil
    let configuration: JSONValue
    private let shapes: [String: [Int]]

    init(heads: Heads, inner: Int) {
        let width = heads.query * heads.width, vocabulary = 64, layers = 2
        configuration = [
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": .integer(width),
            "intermediate_size": .integer(inner), "num_hidden_layers": .integer(layers),
            "num_attention_heads": .integer(heads.query), "num_key_value_heads": .integer(heads.keyValue),
            "vocab_size": .integer(vocabulary), "max_position_embeddings": 512, "rms_norm_eps": 1e-5,
            "rope_theta": 10_000, "hidden_act": "silu", "tie_word_embeddings": false,
        ]
        var shapes = [
            "model.embed_tokens.weight": [vocabulary, width], "lm_head.weight": [vocabulary, width],
            "model.norm.weight": [width],
        ]
        for layer in 0..<layers {
            for (name, shape) in [
                "input_layernorm": [width], "post_attention_layernorm": [width],
                "self_attn.q_proj": [width, width],
                "self_attn.k_proj": [heads.keyValue * heads.width, width],
                "self_attn.v_proj": [heads.keyValue * heads.width, width],
                "self_attn.o_proj": [width, width],
                "mlp.gate_proj": [inner, width], "mlp.up_proj": [inner, width],
                "mlp.down_proj": [width, inner],
            ] { shapes["model.layers.\(layer).\(name).weight"] = shape }
        }
        self.shapes = shapes
    }

    var tensorNames: [String] { Array(shapes.keys) }
    var byteCount: Int { shapes.values.reduce(0) { $0 + 4 * $1.reduce(1, *) } }

    func tensor(_ name: String) throws(CheckpointError) -> HostTensor? {
        shapes[name].map { shape in
            let bytes = [UInt8](repeating: 0, count: 4 * shape.reduce(1, *))
            return HostTensor(encoding: .float32, shape: shape, bytes: HostBytes(copying: bytes))
        }
    }
}

/// What is planned for several ranks is that of the one that takes the most, which need not be the last.
@Suite struct RankPlanTests {
    /// Nine query heads that share three keys: of four ranks the second has heads 2 and 3, which look at two keys.
    private let checkpoint = BlankCheckpoint(heads: Heads(query: 9, keyValue: 3, width: 8), inner: 192)

    private var options: EngineOptions {
        var options = EngineOptions()
        (options.cacheElement, options.memoryFraction, options.threads) = (.float16, 1, 1)
        options.device = .cpu
        options.limits = SchedulerLimits(runningSequences: 12, tokensPerStep: 40)
        options.maxRequestTokens = 300
        return options
    }

    private func each(_ ranks: Int, _ options: EngineOptions, _ available: Int) throws -> [MemoryPlan] {
        try (0..<ranks).map { rank in
            var options = options
            options.shard = Shard(index: rank, of: ranks)
            return try MemoryPlan(checkpoint, options, available: available)
        }
    }

    private func largest(_ ranks: Int, _ options: EngineOptions, _ available: Int) throws -> MemoryPlan {
        try .largest(of: ranks, ranksOfHost: ranks, checkpoint, options, available: available)
    }

    private func taken(_ plan: MemoryPlan, _ tokens: Int) -> Int {
        plan.weights + plan.activations + plan.images + tokens * plan.bytesPerToken
    }

    @Test func aRankInTheMiddleMayBeTheLargest() throws {
        let plans = try each(4, options, 1 << 40)
        let ofOneKey = plans[3].bytesPerToken
        #expect(plans.map(\.bytesPerToken) == [1, 2, 1, 1].map { $0 * ofOneKey })
        let most = taken(plans[1], 1000)
        #expect(plans.allSatisfy { $0.shard.index == 1 || taken($0, 1000) < most })

        // As much as the second needs for 1000 tokens: all have 1000, though the others have room for more.
        let plan = try largest(4, options, most)
        #expect(plan.shard == Shard(index: 1, of: 4))
        #expect(plan.tokens == 1000 && plan.fittingTokens == 1000 && taken(plan, plan.tokens) == most)
        #expect(try each(4, options, most)[3].tokens > 1000)
        try plan.requireFit()

        // Asked for by number, what is too much for the second is too much.
        var asked = options
        asked.maxTotalTokens = 1001
        try each(4, asked, most)[3].requireFit()
        #expect(throws: EngineError.tooManySlots(1001, most: 1000)) {
            try largest(4, asked, most).requireFit()
        }
    }

    /// Against all ranks one by one, where memory is plenty, scarce and far too little.
    @Test(arguments: [1, 2, 3, 4, 5, 7, 9], [1 << 40, 400_000, 1000])
    func noRankTakesMore(_ ranks: Int, _ available: Int) throws {
        let plans = try each(ranks, options, available)
        let plan = try largest(ranks, options, available)
        let tokens = try #require(plans.map(\.tokens).min())
        #expect(plan.tokens == tokens)
        #expect(taken(plan, tokens) == plans.map { taken($0, tokens) }.max())
        #expect(plan.weights == plans[plan.shard.index].weights && plan.shard.count == ranks)
        for each in plans {
            guard (try? each.requireFit()) == nil else { continue }
            #expect(throws: EngineError.self) { try plan.requireFit() }
        }
    }

    /// Ranks of one machine share its memory, unless it is said what one may take.
    @Test func ranksOfAMachineShareItsMemory() throws {
        func available(ranksOfHost: Int) throws -> Int? {
            try MemoryPlan.largest(of: 4, ranksOfHost: ranksOfHost, checkpoint, options).available
        }
        guard let alone = try available(ranksOfHost: 1), let four = try available(ranksOfHost: 4) else {
            return
        }
        // Others take and free memory meanwhile.
        #expect(four < alone / 2)
        #expect(try largest(4, options, 12_345_678).available == 12_345_678)
    }
}
