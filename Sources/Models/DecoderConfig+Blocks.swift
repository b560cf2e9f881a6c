internal import Layers
internal import Tensors

/// Blocks with the shapes of the config and the names that most checkpoints have.
extension DecoderConfig {
    func embedding(_ weights: Parameters, scale: Float? = nil) throws -> Embedding {
        try Embedding(
            weights["model.embed_tokens"], vocabulary: vocabSize, width: hiddenSize, scale: scale)
    }

    /// The projection to logits: the embedding's table when it is tied, else `lm_head`.
    func head(
        _ weights: Parameters, tied: Bool, scale: Float? = nil, softcap: Float? = nil
    ) throws -> OutputHead {
        try OutputHead(
            weights[tied ? "model.embed_tokens" : "lm_head"], inputs: hiddenSize, outputs: vocabSize,
            scale: scale, softcap: softcap)
    }

    func rmsNorm(_ weights: Parameters, offset: Float = 0) throws -> RMSNorm {
        try RMSNorm(weights, width: hiddenSize, epsilon: rmsEpsilon, offset: offset)
    }

    func layerNorm(_ weights: Parameters) throws -> LayerNorm {
        try LayerNorm(weights, width: hiddenSize, epsilon: layerEpsilon)
    }

    func attention(
        _ weights: Parameters, _ details: GroupedQueryAttention.Details, layer: Int
    ) throws -> GroupedQueryAttention {
        try GroupedQueryAttention(
            .separate(query: weights["q_proj"], key: weights["k_proj"], value: weights["v_proj"]),
            output: weights["o_proj"], width: hiddenSize, heads: heads, details, layer: layer)
    }

    func mlp(_ weights: Parameters) throws -> GatedMLP {
        try GatedMLP(weights, width: hiddenSize, inner: intermediateSize, activation: activation)
    }

    /// Norms of the heads of queries and keys by their root mean square, each with one weight for all heads.
    func rmsHeadNorms(_ weights: Parameters, offset: Float = 0) throws -> (query: HeadNorm, key: HeadNorm) {
        func norm(_ name: String) throws -> HeadNorm {
            try HeadNorm(
                weights[name], width: heads.width, by: .rootMeanSquare, epsilon: rmsEpsilon, offset: offset)
        }
        return (try norm("q_norm"), try norm("k_norm"))
    }

    /// Old checkpoints carry the rotary frequencies as a buffer; a tied one may carry the head it does not use.
    func ignores(_ tensor: String, tied: Bool) -> Bool {
        tensor.hasSuffix(".rotary_emb.inv_freq") || (tied && tensor == "lm_head.weight")
    }
}
