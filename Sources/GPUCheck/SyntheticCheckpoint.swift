import JSON
import OrderedCollections
import Tensors
import Weights

/// LLaMA-7B's shapes with numbers that mean nothing, in bfloat16. All tensors share one block of memory.
struct SyntheticCheckpoint: Checkpoint {
    let path = "synthetic LLaMA-7B"
    let generationConfiguration: JSONValue? = nil
    let metadata: GGUFMetadata? = nil
    let layers: Int
    private let shapes: [String: [Int]]
    private let block: HostBytes

    init(layers: Int = 32) {
        self.layers = layers
        var shapes = [
            "model.embed_tokens.weight": [32_000, 4096], "lm_head.weight": [32_000, 4096],
            "model.norm.weight": [4096],
        ]
        for layer in 0..<layers {
            let name = "model.layers.\(layer)."
            for projection in ["q_proj", "k_proj", "v_proj", "o_proj"] {
                shapes[name + "self_attn.\(projection).weight"] = [4096, 4096]
            }
            for projection in ["gate_proj", "up_proj"] {
                shapes[name + "mlp.\(projection).weight"] = [11_008, 4096]
            }
            shapes[name + "mlp.down_proj.weight"] = [4096, 11_008]
            for norm in ["input_layernorm", "post_attention_layernorm"] {
                shapes[name + norm + ".weight"] = [4096]
            }
        }
        self.shapes = shapes
        var state: UInt32 = 1
        // Magnitudes between 2⁻⁸ and 2⁻⁵ of either sign.
        let numbers = (0..<32_000 * 4096).map { _ -> UInt16 in
            state = state &* 1_664_525 &+ 1_013_904_223
            return UInt16(state >> 31) << 15 | (UInt16(119) + UInt16(state >> 28 & 3) % 3) << 7
                | UInt16(state >> 16 & 0x7F)
        }
        block = numbers.withUnsafeBytes { HostBytes(copying: $0) }
    }

    var byteCount: Int { shapes.values.reduce(0) { $0 + 2 * $1.reduce(1, *) } }
    var tensorNames: [String] { Array(shapes.keys) }

    var configuration: JSONValue {
        [
            "model_type": .string("llama"), "hidden_size": .integer(4096),
            "intermediate_size": .integer(11_008),
            "num_hidden_layers": .integer(layers), "num_attention_heads": .integer(32),
            "num_key_value_heads": .integer(32), "rms_norm_eps": .number(1e-5), "rope_theta": .number(10_000),
            "max_position_embeddings": .integer(4096), "hidden_act": .string("silu"),
            "vocab_size": .integer(32_000),
            "tie_word_embeddings": .bool(false), "torch_dtype": .string("bfloat16"),
        ]
    }

    func tensor(_ name: String) throws(CheckpointError) -> HostTensor? {
        guard let shape = shapes[name] else { return nil }
        let bytes = 2 * shape.reduce(1, *)
        return HostTensor(encoding: .bfloat16, shape: shape, bytes: block[0..<bytes])
    }
}
