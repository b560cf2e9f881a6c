import JSON
import OrderedCollections

/// How llama.cpp's converter renames the tensors and keys of a family of models.
struct GGUFFamily {
    /// `model_type` in config.json.
    var modelType: String
    /// Names outside of layers, without ".weight" and ".bias".
    var top = [
        "token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head",
    ]
    /// What stands before a layer's number in config.json's world.
    var layers = "model.layers"
    /// Names within a layer.
    var layer: [String: String]
    /// Metadata keys, without the architecture, and those of config.json they become.
    var keys = GGUFFamily.commonKeys
    /// What config.json says of all models of the family that the converter wrote.
    var constants: JSONValue.Members = [:]
    /// Whether rotated pairs are neighbours: so in the paper's form, or because the converter reorders q and k.
    var rotatesNeighbours = false

    static func named(_ architecture: String) -> GGUFFamily? {
        switch architecture {
        // The converter takes InternLM2's matrix apart and gives the parts LLaMA's names.
        case "llama", "internlm2":
            GGUFFamily(modelType: "llama", layer: common, rotatesNeighbours: true)
        case "qwen2": GGUFFamily(modelType: "qwen2", layer: common)
        case "qwen3": GGUFFamily(modelType: "qwen3", layer: common)
        case "qwen2moe":
            GGUFFamily(
                modelType: "qwen2_moe", layer: common, keys: commonKeys + expertKeys,
                constants: ["norm_topk_prob": .bool(false)])
        case "qwen3moe":
            GGUFFamily(
                modelType: "qwen3_moe", layer: common, keys: commonKeys + expertKeys,
                constants: ["norm_topk_prob": .bool(true)])
        case "minicpm":
            GGUFFamily(
                modelType: "minicpm", layer: common,
                keys: commonKeys + [("embedding_scale", "scale_emb")], rotatesNeighbours: true)
        case "gemma":
            GGUFFamily(
                modelType: "gemma", layer: common, constants: ["norm_weights_include_one": .bool(true)])
        case "gemma2", "gemma3": gemma(architecture == "gemma2" ? "gemma2" : "gemma3_text")
        case "phi3":
            GGUFFamily(
                modelType: "phi3", layer: common.merging(["ffn_up": "mlp.gate_up_proj"]) { $1 })
        case "stablelm":
            GGUFFamily(
                modelType: "stablelm",
                layer: common.merging([
                    "attn_q_norm": "self_attn.q_layernorm", "attn_k_norm": "self_attn.k_layernorm",
                ]) { $1 }, keys: commonKeys + [("use_parallel_residual", "use_parallel_residual")])
        case "starcoder2":
            GGUFFamily(
                modelType: "starcoder2",
                layer: common.merging(["ffn_up": "mlp.c_fc", "ffn_down": "mlp.c_proj"]) { $1 })
        case "command-r":
            GGUFFamily(
                modelType: "cohere", layer: common, keys: commonKeys + [("logit_scale", "logit_scale")],
                rotatesNeighbours: true)
        case "deepseek2": deepseek2
        case "bloom": bloom
        case "starcoder": starcoder
        case "qwen": qwen
        case "chatglm": chatglm
        default: nil
        }
    }

    /// The name a tensor had before the converter renamed it; unknown names stay.
    func name(_ name: String) -> String {
        let parts = name.split(separator: ".").map(String.init)
        if parts.count == 2, let stem = top[parts[0]] { return stem + "." + parts[1] }
        guard parts.first == "blk", parts.count >= 4 else { return name }
        if parts.count == 4, let stem = layer[parts[2]] {
            return "\(layers).\(parts[1]).\(stem).\(parts[3])"
        }
        // Early files of Mixtral have every expert for itself.
        if parts.count == 5, let stem = layer[parts[2] + "_exps"], let end = stem.lastIndex(of: ".") {
            return "\(layers).\(parts[1]).\(stem[..<end]).\(parts[3])\(stem[end...]).\(parts[4])"
        }
        return name
    }

    /// The same with the names of Mixtral's experts.
    var withExperts: GGUFFamily {
        var family = self
        family.modelType = "mixtral"
        family.keys += [("expert_count", "num_local_experts"), ("expert_used_count", "num_experts_per_tok")]
        for (name, stem) in [
            ("ffn_gate_inp", "gate"), ("ffn_gate_exps", "experts.w1"), ("ffn_up_exps", "experts.w3"),
            ("ffn_down_exps", "experts.w2"),
        ] {
            family.layer[name] = "block_sparse_moe." + stem
        }
        return family
    }
}

extension GGUFFamily {
    static let commonKeys = [
        ("block_count", "num_hidden_layers"), ("embedding_length", "hidden_size"),
        ("feed_forward_length", "intermediate_size"), ("attention.head_count", "num_attention_heads"),
        ("attention.head_count_kv", "num_key_value_heads"), ("attention.key_length", "head_dim"),
        ("attention.layer_norm_rms_epsilon", "rms_norm_eps"),
        ("attention.layer_norm_epsilon", "layer_norm_eps"),
        ("attention.sliding_window", "sliding_window"), ("context_length", "max_position_embeddings"),
        ("rope.freq_base", "rope_theta"),
    ]

    private static let expertKeys = [
        ("expert_count", "num_experts"), ("expert_used_count", "num_experts_per_tok"),
        ("expert_feed_forward_length", "moe_intermediate_size"),
        ("expert_shared_feed_forward_length", "shared_expert_intermediate_size"),
    ]

    private static let common = [
        "attn_norm": "input_layernorm",
        "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
        "attn_qkv": "self_attn.qkv_proj", "attn_output": "self_attn.o_proj",
        "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm",
        "ffn_norm": "post_attention_layernorm",
        "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
        "ffn_gate_inp": "mlp.gate", "ffn_gate_exps": "mlp.experts.gate_proj",
        "ffn_up_exps": "mlp.experts.up_proj", "ffn_down_exps": "mlp.experts.down_proj",
        "ffn_gate_inp_shexp": "mlp.shared_expert_gate", "ffn_gate_shexp": "mlp.shared_expert.gate_proj",
        "ffn_up_shexp": "mlp.shared_expert.up_proj", "ffn_down_shexp": "mlp.shared_expert.down_proj",
    ]

    private static func gemma(_ modelType: String) -> GGUFFamily {
        let norms = [
            "post_attention_norm": "post_attention_layernorm", "ffn_norm": "pre_feedforward_layernorm",
            "post_ffw_norm": "post_feedforward_layernorm",
        ]
        return GGUFFamily(
            modelType: modelType, layer: common.merging(norms) { $1 },
            keys: commonKeys + [
                ("attn_logit_softcapping", "attn_logit_softcapping"),
                ("final_logit_softcapping", "final_logit_softcapping"),
                ("rope.freq_base_swa", "rope_local_base_freq"),
            ], constants: ["norm_weights_include_one": .bool(true)])
    }

    private static var deepseek2: GGUFFamily {
        let own = [
            "attn_q_a": "self_attn.q_a_proj", "attn_q_a_norm": "self_attn.q_a_layernorm",
            "attn_q_b": "self_attn.q_b_proj", "attn_kv_a_mqa": "self_attn.kv_a_proj_with_mqa",
            "attn_kv_a_norm": "self_attn.kv_a_layernorm", "attn_kv_b": "self_attn.kv_b_proj",
            "attn_k_b": "self_attn.k_b_proj", "attn_v_b": "self_attn.v_b_proj",
            "ffn_gate_shexp": "mlp.shared_experts.gate_proj", "ffn_up_shexp": "mlp.shared_experts.up_proj",
            "ffn_down_shexp": "mlp.shared_experts.down_proj",
        ]
        return GGUFFamily(
            modelType: "deepseek_v2", layer: common.merging(own) { $1 },
            keys: commonKeys + [
                ("attention.q_lora_rank", "q_lora_rank"), ("attention.kv_lora_rank", "kv_lora_rank"),
                ("attention.value_length", "v_head_dim"), ("rope.dimension_count", "qk_rope_head_dim"),
                ("leading_dense_block_count", "first_k_dense_replace"),
                ("expert_count", "n_routed_experts"), ("expert_used_count", "num_experts_per_tok"),
                ("expert_shared_count", "n_shared_experts"),
                ("expert_feed_forward_length", "moe_intermediate_size"),
                ("expert_weights_scale", "routed_scaling_factor"), ("expert_weights_norm", "norm_topk_prob"),
                ("expert_group_count", "n_group"), ("expert_group_used_count", "topk_group"),
            ], rotatesNeighbours: true)
    }

    private static var bloom: GGUFFamily {
        GGUFFamily(
            modelType: "bloom",
            top: [
                "token_embd": "word_embeddings", "token_embd_norm": "word_embeddings_layernorm",
                "output_norm": "ln_f", "output": "lm_head",
            ], layers: "h",
            layer: [
                "attn_norm": "input_layernorm", "attn_qkv": "self_attention.query_key_value",
                "attn_output": "self_attention.dense", "ffn_norm": "post_attention_layernorm",
                "ffn_up": "mlp.dense_h_to_4h", "ffn_down": "mlp.dense_4h_to_h",
            ],
            keys: [
                ("block_count", "n_layer"), ("embedding_length", "hidden_size"),
                ("attention.head_count", "n_head"), ("feed_forward_length", "n_inner"),
                ("attention.layer_norm_epsilon", "layer_norm_epsilon"), ("context_length", "seq_length"),
            ], constants: ["qkv_is_stacked": .bool(true)])
    }

    private static var starcoder: GGUFFamily {
        GGUFFamily(
            modelType: "gpt_bigcode",
            top: [
                "token_embd": "transformer.wte", "position_embd": "transformer.wpe",
                "output_norm": "transformer.ln_f", "output": "lm_head",
            ], layers: "transformer.h",
            layer: [
                "attn_norm": "ln_1", "attn_qkv": "attn.c_attn", "attn_output": "attn.c_proj",
                "ffn_norm": "ln_2", "ffn_up": "mlp.c_fc", "ffn_down": "mlp.c_proj",
            ],
            keys: [
                ("block_count", "n_layer"), ("embedding_length", "n_embd"),
                ("attention.head_count", "n_head"), ("feed_forward_length", "n_inner"),
                ("attention.layer_norm_epsilon", "layer_norm_epsilon"), ("context_length", "n_positions"),
            ])
    }

    private static var qwen: GGUFFamily {
        GGUFFamily(
            modelType: "qwen",
            top: [
                "token_embd": "transformer.wte", "output_norm": "transformer.ln_f", "output": "lm_head",
            ], layers: "transformer.h",
            layer: [
                "attn_norm": "ln_1", "attn_qkv": "attn.c_attn", "attn_output": "attn.c_proj",
                "ffn_norm": "ln_2", "ffn_up": "mlp.w1", "ffn_gate": "mlp.w2", "ffn_down": "mlp.c_proj",
            ],
            keys: [
                ("block_count", "num_hidden_layers"), ("embedding_length", "hidden_size"),
                ("attention.head_count", "num_attention_heads"),
                ("feed_forward_length", "intermediate_size"), ("context_length", "seq_length"),
                ("attention.layer_norm_rms_epsilon", "layer_norm_epsilon"),
                ("rope.freq_base", "rotary_emb_base"),
            ])
    }

    private static var chatglm: GGUFFamily {
        GGUFFamily(
            modelType: "chatglm",
            top: [
                "token_embd": "transformer.embedding.word_embeddings",
                "output_norm": "transformer.encoder.final_layernorm", "output": "transformer.output_layer",
            ], layers: "transformer.encoder.layers",
            layer: [
                "attn_norm": "input_layernorm", "attn_qkv": "self_attention.query_key_value",
                "attn_output": "self_attention.dense", "ffn_norm": "post_attention_layernorm",
                "ffn_up": "mlp.dense_h_to_4h", "ffn_down": "mlp.dense_4h_to_h",
            ],
            keys: [
                ("block_count", "num_layers"), ("embedding_length", "hidden_size"),
                ("attention.head_count", "num_attention_heads"),
                ("attention.head_count_kv", "multi_query_group_num"),
                ("feed_forward_length", "ffn_hidden_size"), ("context_length", "seq_length"),
                ("attention.layer_norm_rms_epsilon", "layernorm_epsilon"),
            ], constants: ["multi_query_attention": .bool(true)])
    }
}
