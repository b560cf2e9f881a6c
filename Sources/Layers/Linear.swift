public import Tensors
import Weights

/// Which part of a projection is computed here when several share out the model.
public enum Split: Sendable {
    /// All of it, by everybody.
    case none
    /// Some of the outputs: those of these ranges, one after the other.
    case outputs([Range<Int>])
    /// What some of the inputs add to all outputs; the results of all are summed.
    case inputs([Range<Int>])
}

/// `y = x Wᵀ + b`. The bias is used exactly when the checkpoint has one.
public struct Linear: Sendable {
    let weight: WeightMatrix
    let bias: Matrix?
    /// Those whose results are summed.
    let group: (any Communicator)?

    /// One of several projections of the same input.
    public struct Part {
        let parameters: Parameters
        let outputs: Int
        /// Not worked out before the checkpoint's shape is known to fit.
        let kept: () -> [Range<Int>]

        /// `kept` are the wanted ones of the `outputs` that the checkpoint has, in the order in which they are wanted.
        public init(
            _ parameters: Parameters, outputs: Int, kept: @escaping @autoclosure () -> [Range<Int>]
        ) {
            (self.parameters, self.outputs, self.kept) = (parameters, outputs, kept)
        }
    }

    public init(_ parameters: Parameters, inputs: Int, outputs: Int, split: Split = .none) throws {
        switch split {
        case .none: try self.init([Part(parameters, outputs: outputs, kept: [0..<outputs])], inputs: inputs)
        case .outputs(let kept):
            try self.init([Part(parameters, outputs: outputs, kept: kept)], inputs: inputs)
        case .inputs(let kept): try self.init(parameters, inputs: inputs, outputs: outputs, summing: kept)
        }
    }

    private init(_ parameters: Parameters, inputs: Int, outputs: Int, summing kept: [Range<Int>]) throws {
        let all = try parameters.matrix("weight", outputs: outputs, inputs: inputs)
        let part = try parameters.columns(kept, of: all)
        weight = parameters.backend.makeWeight([parameters.stored(part)])
        // One adds it for all.
        bias =
            try parameters.contains("bias")
            ? parameters.backend.makeVector([parameters.vector("bias", count: outputs)]) : nil
        group = parameters.shard.isWhole ? nil : parameters.group
    }

    /// Several projections of the same input that cost one pass over `x`. Those without a bias have one of zeros when
    /// others have one.
    public init(_ parts: [Part], inputs: Int) throws {
        precondition(!parts.isEmpty, "nothing to stack")
        let backend = parts[0].parameters.backend
        weight = try backend.makeWeight(
            parts.map { part in
                let all = try part.parameters.matrix("weight", outputs: part.outputs, inputs: inputs)
                return part.parameters.stored(part.parameters.rows(part.kept(), of: all))
            })
        let hasBias = parts.contains { $0.parameters.contains("bias") }
        bias =
            hasBias
            ? backend.makeVector(
                try parts.map { part in
                    let kept = part.kept()
                    guard part.parameters.contains("bias") else {
                        let zeros = [Float](repeating: 0, count: kept.reduce(0) { $0 + $1.count })
                        return HostWeight(zeros, outputs: 1, inputs: zeros.count)
                    }
                    return try part.parameters.vector("bias", count: part.outputs).elements(kept)
                })
            : nil
        group = nil
    }

    /// One of the outputs in `kept`, with `bias` instead of what the checkpoint has, one number for each output.
    init(_ parameters: Parameters, inputs: Int, bias values: [Float], kept: Range<Int>) throws {
        let all = try parameters.matrix("weight", outputs: values.count, inputs: inputs)
        weight = parameters.backend.makeWeight([parameters.stored(all.rows(kept))])
        bias = parameters.backend.makeVector(
            [HostWeight(Array(values[kept]), outputs: 1, inputs: kept.count)])
        group = nil
    }

    /// A convolution of patches that do not overlap: `kernel` is how many channels, rows and columns they have.
    public init(_ parameters: Parameters, kernel: [Int], outputs: Int) throws {
        weight = try parameters.backend.makeWeight([
            parameters.matrix("weight", outputs: outputs, kernel: kernel)
        ])
        bias = parameters.contains("bias") ? try parameters.row("bias", count: outputs) : nil
        group = nil
    }

    var outputs: Int { weight.outputs }

    public func callAsFunction(_ x: Matrix) -> Matrix {
        guard let group else {
            let y = x.backend.makeMatrix(rows: x.rows, columns: weight.outputs)
            x.backend.linear(x, weight, bias: bias, into: y)
            return y
        }
        return group.sum(rows: x.rows, columns: weight.outputs, on: x.backend) {
            x.backend.linear(x, weight, bias: group.shard.index == 0 ? bias : nil, into: $0)
        }
    }

    func apply(to x: Matrix, into y: Matrix) {
        x.backend.linear(x, weight, bias: bias, into: y)
    }
}
