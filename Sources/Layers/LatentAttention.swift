public import Tensors
import Weights

/// Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434) in its absorbed form: queries move into the latent
/// space instead of every cached key moving out of it. To the backend it is one wide key-value head, whose values
/// are the first columns of its keys.
public struct LatentAttention: Attention {
    public struct Geometry: Sendable {
        let heads: Int
        /// Columns that queries pass through; nil when they are projected at once.
        let queryRank: Int?
        /// Columns of the latent that stands for all keys and values.
        let latentWidth: Int
        /// Columns of a head's query and key that are not rotated, and that are.
        let (plainWidth, rotatedWidth): (Int, Int)
        let valueWidth: Int

        public init(
            heads: Int, queryRank: Int?, latentWidth: Int, plainWidth: Int, rotatedWidth: Int, valueWidth: Int
        ) {
            (self.heads, self.queryRank, self.latentWidth) = (heads, queryRank, latentWidth)
            (self.plainWidth, self.rotatedWidth, self.valueWidth) = (plainWidth, rotatedWidth, valueWidth)
        }
    }

    let query: [Linear]
    let queryNorm: RMSNorm?
    let latent: Linear
    let latentNorm: HeadNorm
    /// For each head, from a query's plain columns to the latent space.
    let toLatent: HeadWeights
    /// For each head, from the latent space to a value.
    let fromLatent: HeadWeights
    let output: Linear
    let geometry: Geometry
    /// Heads that are computed here.
    let heads: Int
    let rotation: Rotation
    let shape: AttentionShape
    let layer: Int

    /// `rotation` turns the last columns of a latent key.
    public init(
        _ parameters: Parameters, _ geometry: Geometry, width: Int, rotation: Rotation, scale: Float,
        epsilon: Float, layer: Int
    ) throws {
        let latentWidth = geometry.latentWidth
        let grain = try parameters["o_proj"].grain(
            ofInputs: geometry.heads * geometry.valueWidth, inRunsOf: geometry.valueWidth)
        let own = try parameters.shard.part(of: geometry.heads, grain: grain, "query heads")
        func columns(_ width: Int) -> [Range<Int>] { [own.lowerBound * width..<own.upperBound * width] }
        let queryWidth = geometry.plainWidth + geometry.rotatedWidth
        func queries(_ name: String, inputs: Int) throws -> Linear {
            try Linear(
                parameters[name], inputs: inputs, outputs: geometry.heads * queryWidth,
                split: .outputs(columns(queryWidth)))
        }
        if let queryRank = geometry.queryRank {
            query = [
                try Linear(parameters["q_a_proj"], inputs: width, outputs: queryRank),
                try queries("q_b_proj", inputs: queryRank),
            ]
            queryNorm = try RMSNorm(parameters["q_a_layernorm"], width: queryRank, epsilon: epsilon)
        } else {
            query = [try queries("q_proj", inputs: width)]
            queryNorm = nil
        }
        latent = try Linear(
            parameters["kv_a_proj_with_mqa"], inputs: width, outputs: latentWidth + geometry.rotatedWidth)
        latentNorm = try HeadNorm(
            parameters["kv_a_layernorm"], width: latentWidth, by: .rootMeanSquare, epsilon: epsilon)
        (toLatent, fromLatent) = try Self.absorbed(parameters, geometry, own)
        output = try Linear(
            parameters["o_proj"], inputs: geometry.heads * geometry.valueWidth, outputs: width,
            split: .inputs(columns(geometry.valueWidth)))
        (self.geometry, self.rotation, self.layer) = (geometry, rotation, layer)
        heads = own.count
        shape = AttentionShape(
            queryHeads: heads, keyValueHeads: 1, keyWidth: latentWidth + geometry.rotatedWidth,
            valueWidth: latentWidth,
            scale: scale, reach: .causal)
    }

    /// The two halves of each head's expansion of the latent: that of keys, transposed, and that of values.
    private static func absorbed(
        _ parameters: Parameters, _ geometry: Geometry, _ own: Range<Int>
    ) throws -> (toLatent: HeadWeights, fromLatent: HeadWeights) {
        let (backend, heads) = (parameters.backend, geometry.heads)
        func weights(_ each: some Sequence<HostWeight>) -> HeadWeights {
            HeadWeights(each.map { backend.makeWeight([$0]) }, on: backend)
        }
        let (latentWidth, plain) = (geometry.latentWidth, geometry.plainWidth)
        if parameters["k_b_proj"].contains("weight") {
            let keys = try parameters["k_b_proj"].matrices(
                "weight", count: heads, outputs: latentWidth, inputs: plain)
            let values = try parameters["v_b_proj"].matrices(
                "weight", count: heads, outputs: geometry.valueWidth, inputs: latentWidth)
            return (weights(keys[own]), weights(values[own]))
        }
        let both = plain + geometry.valueWidth
        let expansion = try parameters["kv_b_proj"].matrix(
            "weight", outputs: heads * both, inputs: latentWidth)
        return (
            weights(
                own.lazy.map { expansion.rows($0 * both..<$0 * both + plain).transposed(backend) }),
            weights(own.lazy.map { expansion.rows($0 * both + plain..<($0 + 1) * both) })
        )
    }

    public func cacheLayout(layers: Int) -> CacheLayout {
        CacheLayout(
            layers: layers, heads: 1, keyWidth: shape.keyWidth, valueWidth: geometry.latentWidth,
            valuesLeadKeys: true)
    }

    public func callAsFunction(_ x: Matrix, _ pass: ForwardPass) -> Matrix {
        let key = latent(x)
        latentNorm.apply(to: key.columns(0..<geometry.latentWidth), heads: 1)
        // A copy, since a backend may change keys before it stores them.
        let value = x.backend.makeMatrix(rows: x.rows, columns: geometry.latentWidth)
        value.copy(key.columns(0..<geometry.latentWidth))
        let attended = pass.attend(
            latentQueries(x), key, value, rotatedBy: rotation, shape, layer: layer)
        let values = x.backend.makeMatrix(rows: x.rows, columns: heads * geometry.valueWidth)
        x.backend.linear(attended, heads: fromLatent, into: values)
        return output(values)
    }

    /// Each head's query as the latent space has it, its columns to be rotated unchanged behind that.
    private func latentQueries(_ x: Matrix) -> Matrix {
        let queries = queryNorm.map { query[1]($0(query[0](x))) } ?? query[0](x)
        let moved = x.backend.makeMatrix(rows: x.rows, columns: heads * shape.keyWidth)
        x.backend.linear(queries, heads: toLatent, into: moved)
        // All heads of all rows are alike.
        let (from, to) = (
            queries.reshaped(columns: geometry.plainWidth + geometry.rotatedWidth),
            moved.reshaped(columns: shape.keyWidth)
        )
        to.columns(geometry.latentWidth..<to.columns).copy(
            from.columns(geometry.plainWidth..<from.columns))
        return moved
    }
}
