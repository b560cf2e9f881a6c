public import Tensors
public import Weights

/// A position in the checkpoint's tree of names, and the backend that takes what is read there:
/// `parameters["model.layers.0"]["mlp"]`.
public struct Parameters: Sendable {
    let scope: WeightScope
    public let backend: any Backend
    /// Whether the model that is built of them has a head.
    let head: ModelHead
    private let imageBackend: (any Backend)?
    /// Those that share out the model, and what each has of the feed-forward.
    let group: any Communicator
    private let feedForward: FeedForwardShares

    /// - Parameters:
    ///   - imageBackend: Where images are looked at; nil for a model that only reads.
    ///   - feedForward: Shares of the group's members; alike unless given.
    public init(
        _ scope: WeightScope, backend: any Backend, head: ModelHead = .ofCheckpoint,
        imageBackend: (any Backend)? = nil, group: any Communicator = SingleCommunicator(),
        feedForward: FeedForwardShares? = nil
    ) {
        (self.scope, self.backend, self.head, self.group) = (scope, backend, head, group)
        self.imageBackend = imageBackend
        self.feedForward = feedForward ?? FeedForwardShares(members: group.size)
    }

    public subscript(_ name: String) -> Parameters {
        Parameters(
            scope[name], backend: backend, head: head, imageBackend: imageBackend, group: group,
            feedForward: feedForward)
    }

    /// The same for what looks at images, whose projections stay as the checkpoint has them, and which is not shared
    /// out; nil where none does.
    public var forImages: Parameters? {
        imageBackend.map { Parameters(scope.unconverted, backend: $0, head: head) }
    }

    /// How `leaf` is stored; nil when there is none.
    func encoding(_ leaf: String) -> Encoding? { try? scope.encoding(leaf) }

    /// Counts every tensor from here on as used.
    public func disregardAll() { scope.disregardAll() }

    /// Whether the checkpoint has `leaf` ("weight", "bias") here.
    public func contains(_ leaf: String) -> Bool { scope.contains(leaf) }

    /// Counts `leaf` as used, if there is one.
    func disregard(_ leaf: String) { scope.disregard(leaf) }

    /// The matrix `leaf`, `outputs` x `inputs`; throws when it is missing or shaped otherwise.
    func matrix(_ leaf: String, outputs: Int, inputs: Int) throws -> HostWeight {
        let tensor = try scope.tensor(leaf, shape: [outputs, inputs])
        return HostWeight(outputs: outputs, inputs: inputs, encoding: tensor.encoding, bytes: tensor.bytes)
    }

    /// `projection`, which is of here, as it is to be kept in memory.
    func stored(_ projection: HostWeight) -> HostWeight { scope.stored(projection, on: backend) }

    /// The matrices that `leaf` holds one after the other.
    func matrices(_ leaf: String, count: Int, outputs: Int, inputs: Int) throws -> [HostWeight] {
        let tensor = try scope.tensor(leaf, shape: [count, outputs, inputs])
        let all = HostWeight(
            outputs: count * outputs, inputs: inputs, encoding: tensor.encoding, bytes: tensor.bytes)
        return (0..<count).map { all.rows($0 * outputs..<($0 + 1) * outputs) }
    }

    /// The tensor `leaf` of more dimensions than two as a matrix of its first one: the kernels of a convolution whose
    /// patches lie side by side.
    func matrix(_ leaf: String, outputs: Int, kernel: [Int]) throws -> HostWeight {
        let tensor = try scope.tensor(leaf, shape: [outputs] + kernel)
        return HostWeight(
            outputs: outputs, inputs: kernel.reduce(1, *), encoding: tensor.encoding, bytes: tensor.bytes)
    }

    func vector(_ leaf: String, count: Int) throws -> HostWeight {
        let tensor = try scope.tensor(leaf, shape: [count])
        return HostWeight(outputs: 1, inputs: count, encoding: tensor.encoding, bytes: tensor.bytes)
    }

    /// The vector `leaf` as a matrix of one row, with `offset` added.
    func row(_ leaf: String, count: Int, offset: Float = 0) throws -> Matrix {
        guard offset != 0 else { return backend.makeVector([try vector(leaf, count: count)]) }
        let values = try values(leaf, count: count).map { $0 + offset }
        return backend.makeVector([HostWeight(values, outputs: 1, inputs: count)])
    }

    /// The values of the vector `leaf`, on the host; for the few that shape a model rather than run in it.
    public func values(_ leaf: String, count: Int) throws -> [Float] {
        try vector(leaf, count: count).values(backend)
    }

    /// The values of the tensor `leaf`, which must have this shape.
    public func values(_ leaf: String, shape: [Int]) throws -> [Float] {
        let tensor = try scope.tensor(leaf, shape: shape)
        return HostWeight(
            outputs: 1, inputs: shape.reduce(1, *), encoding: tensor.encoding, bytes: tensor.bytes
        ).values(backend)
    }
}

/// Parts of a model that is shared out.
extension Parameters {
    var shard: Shard { group.shard }

    /// Which inputs of the projection here, the last of a feed-forward network, belong to this shard.
    func ownInputs(of inner: Int) throws -> Range<Int> {
        guard !shard.isWhole else { return 0..<inner }
        return try feedForward.range(
            of: inner, grain: scope.grain("weight", inputs: inner), shard, "inputs of \(scope.path)")
    }

    /// Of how many runs of `width` inputs of the projection here a share must be a multiple.
    func grain(ofInputs inputs: Int, inRunsOf width: Int) throws -> Int {
        guard !shard.isWhole else { return 1 }
        let block = try scope.grain("weight", inputs: inputs)
        var grain = 1
        while !(grain * width).isMultiple(of: block), grain < block { grain *= 2 }
        return (inputs / width).isMultiple(of: grain) ? grain : 1
    }

    /// The rows of `ranges` of a weight of here, one after the other.
    func rows(_ ranges: [Range<Int>], of weight: HostWeight) -> HostWeight {
        weight.rows(ranges, copies: group.exchanges)
    }

    /// The columns of `ranges` of a weight of here, one after the other. Throws when one cuts a block.
    func columns(_ ranges: [Range<Int>], of weight: HostWeight) throws -> HostWeight {
        let block = weight.encoding.blockElements
        let cut = ranges.flatMap { [$0.lowerBound, $0.upperBound] }.first { !$0.isMultiple(of: block) }
        if let cut { throw SplitError.withinBlock(scope.path, at: cut, block: block) }
        return weight.columns(ranges, copies: group.exchanges)
    }
}
