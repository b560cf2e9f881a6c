internal import Layers

/// A `vision_config` of a transformer over the patches of a square.
protocol PatchTransformerConfig: ValidatedConfig {
    var hiddenSize: Int { get }
    var imageSize: Int { get }
    var intermediateSize: Int { get }
    var numAttentionHeads: Int { get }
    var numHiddenLayers: Int { get }
    var patchSize: Int { get }
}

extension PatchTransformerConfig {
    var heads: Heads {
        Heads(query: numAttentionHeads, keyValue: numAttentionHeads, width: hiddenSize / numAttentionHeads)
    }

    func validate() throws(ConfigError) {
        try requirePositive(
            ("hidden_size", hiddenSize), ("image_size", imageSize), ("intermediate_size", intermediateSize),
            ("num_hidden_layers", numHiddenLayers), ("patch_size", patchSize))
        try requireHeads(("num_attention_heads", numAttentionHeads))
        try requireMultiple("hidden_size", hiddenSize, of: "num_attention_heads", numAttentionHeads)
        try requireTile(imageSize, patch: patchSize)
    }
}
