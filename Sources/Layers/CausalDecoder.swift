public import Tensors
import Weights

/// What becomes of the last hidden state: a projection to logits, scaled and bounded where the model says so; a
/// score; or nothing.
public struct OutputHead: Sendable {
    let projections: [Linear]
    let scale: Float?
    let softcap: Float?
    let output: ModelOutput
    /// Those who each compute some of the logits, if they are several.
    let group: (any Communicator)?
    /// Of the model, whoever computes them.
    let outputs: Int

    /// The projection at `parameters`, unless they are read for a model without a head; with `bias` instead of what
    /// the checkpoint has there.
    public init(
        _ parameters: Parameters, inputs: Int, outputs: Int, bias: [Float]? = nil, scale: Float? = nil,
        softcap: Float? = nil
    ) throws {
        switch parameters.head {
        case .ofCheckpoint:
            let own = try parameters.shard.part(of: outputs, "logits")
            let projection =
                try bias.map { try Linear(parameters, inputs: inputs, bias: $0, kept: own) }
                ?? Linear(parameters, inputs: inputs, outputs: outputs, split: .outputs([own]))
            (projections, output) = ([projection], .logits)
            (self.scale, self.softcap) = (scale, softcap)
            group = parameters.shard.isWhole ? nil : parameters.group
        case .none:
            for leaf in ["weight", "bias"] { parameters.disregard(leaf) }
            (projections, output) = ([], .hidden)
            (self.scale, self.softcap, group) = (nil, nil, nil)
        }
        self.outputs = outputs
    }

    /// A score: projections with a ReLU between them, the last of which has one output.
    public init(score projections: Linear...) {
        (self.projections, output) = (projections, .score)
        (scale, softcap, group, outputs) = (nil, nil, nil, 1)
    }

    func callAsFunction(_ x: Matrix) -> Matrix {
        guard let first = projections.first else { return x }
        if let group {
            return group.join(rows: x.rows, columns: outputs, on: x.backend) {
                first.apply(to: x, into: $0)
                adjust($0)
            }
        }
        var y = first(x)
        for projection in projections.dropFirst() {
            y.backend.activate(y, .relu, into: y)
            y = projection(y)
        }
        adjust(y)
        return y
    }

    private func adjust(_ logits: Matrix) {
        if let scale { logits.backend.scale(logits, by: scale) }
        if let softcap { logits.backend.softcap(logits, at: softcap) }
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

    /// `rotations` are those that the layers use, which are alike in what they cache.
    public init(
        embedding: Embedding, layers: [any DecoderLayer], norm: any Normalization, head: OutputHead,
        rotations: [Rotation]
    ) {
        precondition(!layers.isEmpty, "a decoder without layers")
        (self.embedding, self.layers, self.norm, self.head) = (embedding, layers, norm, head)
        self.rotations = rotations
        cacheLayout = layers[0].attention.cacheLayout(layers: layers.count)
        (vocabularySize, longestSequence) = (embedding.vocabulary, embedding.positions?.rows)
    }

    public var featureWidth: Int? { embedding.table.columns }

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
