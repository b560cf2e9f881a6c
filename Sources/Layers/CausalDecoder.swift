public import Tensors

/// What becomes of the last hidden state: a projection to logits, scaled and bounded where the model says so; a
/// score; or nothing.
public struct OutputHead: Sendable {
    let projections: [Linear]
    let scale: Float?
    let softcap: Float?
    let output: ModelOutput

    /// The projection at `parameters`, unless they are read for a model without a head; with `bias` instead of what
    /// the checkpoint has there.
    public init(
        _ parameters: Parameters, inputs: Int, outputs: Int, bias: [Float]? = nil, scale: Float? = nil,
        softcap: Float? = nil
    ) throws {
        switch parameters.head {
        case .ofCheckpoint:
            let projection =
                try bias.map { try Linear(parameters, inputs: inputs, bias: $0) }
                ?? Linear(parameters, inputs: inputs, outputs: outputs)
            (projections, output) = ([projection], .logits)
            (self.scale, self.softcap) = (scale, softcap)
        case .none:
            for leaf in ["weight", "bias"] { parameters.disregard(leaf) }
            (projections, output) = ([], .hidden)
            (self.scale, self.softcap) = (nil, nil)
        }
    }

    /// A score: projections with a ReLU between them, the last of which has one output.
    public init(score projections: Linear...) {
        (self.projections, output) = (projections, .score)
        (scale, softcap) = (nil, nil)
    }

    func callAsFunction(_ x: Matrix) -> Matrix {
        guard let first = projections.first else { return x }
        var y = first(x)
        for projection in projections.dropFirst() {
            y.backend.activate(y, .relu, into: y)
            y = projection(y)
        }
        if let scale { y.backend.scale(y, by: scale) }
        if let softcap { y.backend.softcap(y, at: softcap) }
        return y
    }
}

/// The frame every decoder-only model shares: embed, run the layers, keep the sampled rows, normalise,
/// project.
public struct CausalDecoder: LanguageModel {
    public let cacheLayout: CacheLayout
    public let vocabularySize: Int
    public let longestSequence: Int?
    public var output: ModelOutput { head.output }
    public var outputWidth: Int {
        switch output {
        case .logits: vocabularySize
        case .score: 1
        case .hidden: embedding.table.columns
        }
    }
    let embedding: Embedding
    let layers: [any DecoderLayer]
    let norm: any Normalization
    let head: OutputHead
    let rotations: [Rotation]

    /// `rotations` are those that the layers use.
    public init(
        embedding: Embedding, layers: [any DecoderLayer], norm: any Normalization, head: OutputHead,
        rotations: [Rotation], cache: CacheLayout
    ) {
        (self.embedding, self.layers, self.norm, self.head) = (embedding, layers, norm, head)
        (self.rotations, cacheLayout) = (rotations, cache)
        (vocabularySize, longestSequence) = (embedding.table.rows, embedding.positions?.rows)
    }

    public var positionAxes: Int { rotations.map(\.axisCount).max() ?? 1 }

    public func keepsCache(from length: Int, to newLength: Int) -> Bool {
        rotations.allSatisfy { $0.isSame(atLength: length, newLength) }
    }

    public func callAsFunction(_ pass: ForwardPass) -> Matrix {
        var x = ResidualStream(embedding(pass))
        for layer in layers { layer(&x, pass) }
        let hidden = x.normalized(by: norm)
        let sampled = pass.backend.makeMatrix(rows: pass.sampledRows.count, columns: hidden.columns)
        pass.backend.gatherRows(pass.sampledRows, of: hidden, into: sampled)
        return head(sampled)
    }
}
