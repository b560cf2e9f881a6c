/// One device and the kernels that run on it. As coarse as a transformer needs and no finer.
///
/// Results of a row never depend on the other rows of a call: that is what lets the engine batch, chunk and
/// cache without changing an answer. The requirements of the last group have default implementations and
/// exist to be fused.
public protocol Backend: AnyObject, Sendable {
    var name: String { get }
    /// Bytes that are free of the memory that weights and caches take; nil when it is that of the machine.
    var freeMemory: Int? { get }
    /// Why nothing is computed any more; nil while all is well. Once it is not nil operations do nothing, and what they
    /// leave behind means nothing.
    var failure: BackendFailure? { get }
    /// Whether operations return before they are done, so that there is time for other things until something is read.
    var worksBehind: Bool { get }

    /// A matrix of undefined values.
    func makeMatrix(rows: Int, columns: Int) -> Matrix
    /// A one-row matrix of the tensors' values, one after the other, as float32.
    func makeVector(_ parts: [HostWeight]) -> Matrix
    /// The parts stacked along the outputs. All have the same number of inputs.
    func makeWeight(_ parts: [HostWeight]) -> WeightMatrix
    /// The rows of `weight`, for `embed`.
    func makeTable(_ weight: HostWeight) -> EmbeddingTable
    func makeCache(
        _ layout: CacheLayout, slots: Int, element: CacheElement
    ) throws(CacheMemoryError) -> any KeyValueCache
    /// Cosines and sines for one row per entry of `lengths`, which are the sequences' lengths. `positions` are those of
    /// all rows on the rotation's first axis, then those on the next.
    func makeRotationTable(_ rotation: Rotation, positions: [Int32], lengths: [Int32]) -> RotationTable

    /// `y = x Wᵀ + bias`; `bias` has one row.
    func linear(_ x: Matrix, _ weight: WeightMatrix, bias: Matrix?, into y: Matrix)
    /// What `linear` with all `heads` wants to know of weights that were made here; nil if nothing.
    func prepare(heads: [WeightMatrix]) -> (any Sendable)?
    /// Row `r` of `y` is row `tokens[r]` of `table`.
    func embed(_ tokens: [Int32], _ table: EmbeddingTable, into y: Matrix)
    func gatherRows(_ rows: [Int32], of x: Matrix, into y: Matrix)
    /// Copies from the host, row by row.
    func write(_ values: ArraySlice<Float>, into y: Matrix)
    func add(_ a: Matrix, _ b: Matrix, into y: Matrix)
    /// `y = x / sqrt(mean(x²) + epsilon) * weight`, row by row (arXiv 1910.07467).
    func rmsNorm(_ x: Matrix, weight: Matrix, epsilon: Float, into y: Matrix)
    /// `y = (x - mean(x)) / sqrt(variance(x) + epsilon) * weight + bias`, row by row (arXiv 1607.06450).
    func layerNorm(_ x: Matrix, weight: Matrix, bias: Matrix?, epsilon: Float, into y: Matrix)
    /// Normalises each of `heads` heads of every row in place. `weight` has as many columns as one head, or as
    /// all together when each has its own.
    func normalizeHeads(_ x: Matrix, heads: Int, by statistic: HeadStatistic, weight: Matrix, epsilon: Float)
    /// Multiplies each row in place by its factor.
    func scale(_ x: Matrix, by factors: [Float])
    /// Multiplies each row in place by the sigmoid of its one column of `gate`.
    func scale(_ x: Matrix, bySigmoidOf gate: Matrix)
    /// Multiplies each column in place by its number in the one row of `factors`.
    func scaleColumns(_ x: Matrix, by factors: Matrix)
    /// Bounds every element in place.
    func clamp(_ x: Matrix, to range: ClosedRange<Float>)
    /// `x` becomes `cap * tanh(x / cap)`.
    func softcap(_ x: Matrix, at cap: Float)
    /// Rotates `heads` heads of `x` in place.
    func rotate(_ x: Matrix, heads: Int, by table: RotationTable)
    /// Stores `k` and `v` at the pass's new slots, then `y = softmax(scale q kᵀ) v` over each sequence. `q` and
    /// `k` may be overwritten.
    func attend(
        _ q: Matrix, _ k: Matrix, _ v: Matrix, _ shape: AttentionShape, in pass: ForwardPass, layer: Int,
        into y: Matrix)
    /// `y = function(gate) * up`.
    func gated(_ gate: Matrix, _ up: Matrix, _ function: Activation, into y: Matrix)
    /// `y = function(x)`; `y` may be `x`.
    func activate(_ x: Matrix, _ function: Activation, into y: Matrix)
    /// What `mixExperts` wants to know of weights that were made here; nil if nothing.
    func prepare(_ experts: [ExpertWeights.Expert]) -> (any Sendable)?
    /// `y = Σ weight_e * expert_e(x)`, row by row, over the experts that `rule` chooses by the row's `scores`, in
    /// the order of their numbers. `scores` are rows x experts, before any function.
    func mixExperts(
        _ x: Matrix, scores: Matrix, _ rule: RoutingRule, _ experts: ExpertWeights, into y: Matrix)

    /// Answers questions about rows of logits, each as if it were the only one. A row may be asked about
    /// several times in a call where no question edits it.
    func answer(_ queries: [LogitQuery], on logits: Matrix, into answers: inout [LogitAnswer])
    /// The same for whoever has other things to do until the answers are there. Nothing may be asked of the backend in
    /// between.
    func ask(_ queries: [LogitQuery], on logits: Matrix) -> PendingAnswers
    /// Copies one row to the host.
    func read(_ x: Matrix, row: Int, into host: inout [Float])

    // Fusable.

    /// Multiplies the columns of every head with its own weight. Heads share the columns of `x` and `y` evenly; of its
    /// columns a head multiplies the first `inputs`, and writes the first `outputs`.
    func linear(_ x: Matrix, heads: HeadWeights, into y: Matrix)
    func copy(_ x: Matrix, into y: Matrix)

    /// The result of `operations`, which are a model's on a step. A backend may put them off until all are known, or one
    /// of them hands numbers to the host; nothing of it shows in results.
    func perform(_ pass: ForwardPass, _ operations: () -> Matrix) -> Matrix

    /// Rotates the heads of `q` and `k` in place, then does what `attend` does.
    func attend(
        _ q: Matrix, _ k: Matrix, _ v: Matrix, rotatedBy table: RotationTable, _ shape: AttentionShape,
        in pass: ForwardPass, layer: Int, into y: Matrix)

    /// `sum = x + delta`, `normed = rmsNorm(sum)`.
    func addThenRMSNorm(
        _ x: Matrix, _ delta: Matrix, weight: Matrix, epsilon: Float
    ) -> (sum: Matrix, normed: Matrix)
}

extension Backend {
    public var freeMemory: Int? { nil }

    public func prepare(_ experts: [ExpertWeights.Expert]) -> (any Sendable)? { nil }

    public func prepare(heads: [WeightMatrix]) -> (any Sendable)? { nil }

    public func linear(_ x: Matrix, heads: HeadWeights, into y: Matrix) {
        let steps = heads.steps(from: x, to: y)
        for (head, weight) in heads.weights.enumerated() {
            let (from, to) = (head * steps.x, head * steps.y)
            linear(
                x.columns(from..<from + heads.inputs), weight, bias: nil,
                into: y.columns(to..<to + heads.outputs))
        }
    }

    public func copy(_ x: Matrix, into y: Matrix) {
        gatherRows((0..<Int32(x.rows)).map { $0 }, of: x, into: y)
    }

    public var failure: BackendFailure? { nil }

    public var worksBehind: Bool { false }

    public func ask(_ queries: [LogitQuery], on logits: Matrix) -> PendingAnswers {
        PendingAnswers { [self] answers in answer(queries, on: logits, into: &answers) }
    }

    public func perform(_ pass: ForwardPass, _ operations: () -> Matrix) -> Matrix { operations() }

    public func attend(
        _ q: Matrix, _ k: Matrix, _ v: Matrix, rotatedBy table: RotationTable, _ shape: AttentionShape,
        in pass: ForwardPass, layer: Int, into y: Matrix
    ) {
        rotate(q, heads: shape.queryHeads, by: table)
        rotate(k, heads: shape.keyValueHeads, by: table)
        attend(q, k, v, shape, in: pass, layer: layer, into: y)
    }

    public func addThenRMSNorm(
        _ x: Matrix, _ delta: Matrix, weight: Matrix, epsilon: Float
    ) -> (sum: Matrix, normed: Matrix) {
        let sum = x + delta
        let normed = makeMatrix(rows: x.rows, columns: x.columns)
        rmsNorm(sum, weight: weight, epsilon: epsilon, into: normed)
        return (sum, normed)
    }
}

/// What a device that computes no more has died of.
public struct BackendFailure: Error, Sendable, Equatable, CustomStringConvertible {
    public let description: String

    public init(_ description: String) { self.description = description }
}

/// What the heads of a row are divided by.
public enum HeadStatistic: Sendable {
    /// The root of the mean square (RMSNorm).
    case rootMeanSquare
    /// The standard deviation, after the mean was taken away (LayerNorm).
    case deviation
}

extension Backend {
    /// Multiplies every element in place.
    public func scale(_ x: Matrix, by factor: Float) {
        scale(x, by: [Float](repeating: factor, count: x.rows))
    }
}
