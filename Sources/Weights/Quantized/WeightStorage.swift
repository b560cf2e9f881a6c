public import Tensors

/// How projections are kept once a model is built: with fewer bits than the checkpoint has. Products with them round activations to 8 bits as
/// with any quantised weights; everything else about the model stays.
public struct WeightStorage: Sendable {
    public enum Work: Sendable {
        case rounding
        /// Only sizes are right, for planning.
        case none
    }

    public let format: WeightFormat
    private let work: Work

    public init(_ format: WeightFormat, work: Work = .rounding) { (self.format, self.work) = (format, work) }

    /// Names of projections to the vocabulary, among them tables of tied ones; 4 bits cost them most.
    private static let heads: Set<Substring> = [
        "lm_head", "output", "output_layer", "embed_out", "embed_tokens", "wte", "word_embeddings",
        "tok_embeddings",
    ]
    /// Names of projections that choose experts: small, and an error there changes which are used.
    private static let routers: Set<Substring> = ["gate", "router", "shared_expert_gate"]

    /// The encoding for the projection at `path`, a dotted name; nil when it stays as it is.
    func encoding(_ weight: HostWeight, at path: String) -> Encoding? {
        let name = path.split(separator: ".").last ?? ""
        guard !Self.routers.contains(name) else { return nil }
        let encoding: Encoding = format == .int8 || Self.heads.contains(name) ? .q8_0 : .q4_1
        let fits = encoding.rowBytes(weight.inputs) != nil && weight.outputs > 0 && weight.inputs > 0
        return fits && weight.encoding != encoding ? encoding : nil
    }

    /// The projection at `path` as it is to be stored.
    func quantized(_ weight: HostWeight, at path: String, _ backend: any Backend) -> HostWeight {
        guard let encoding = encoding(weight, at: path), let rowBytes = encoding.rowBytes(weight.inputs)
        else { return weight }
        let bytes = HostBytes(count: weight.outputs * rowBytes) { (target) throws(Never) in
            switch work {
            case .none: break
            case .rounding: round(weight, to: encoding, rowBytes, target, backend)
            }
        }
        weight.bytes.evict()
        return HostWeight(
            outputs: weight.outputs, inputs: weight.inputs, encoding: encoding, bytes: bytes)
    }

    private func round(
        _ weight: HostWeight, to encoding: Encoding, _ rowBytes: Int, _ target: UnsafeMutableRawBufferPointer,
        _ backend: any Backend
    ) {
        // The backend decodes rows of any encoding when it looks them up.
        let table = backend.makeTable(weight)
        let inputs = weight.inputs
        let together = max(1, min(weight.outputs, (1 << 19) / inputs))
        var values: [Float] = []
        for first in stride(from: 0, to: weight.outputs, by: together) {
            let rows = first..<min(first + together, weight.outputs)
            let decoded = backend.makeMatrix(rows: rows.count, columns: inputs)
            backend.embed(rows.map { Int32($0) }, table, into: decoded)
            backend.read(
                Matrix(rows: 1, columns: rows.count * inputs, backend: backend, buffer: decoded.buffer),
                row: 0,
                into: &values)
            let part = UnsafeMutableRawBufferPointer(
                rebasing: target[first * rowBytes..<rows.upperBound * rowBytes])
            values.withUnsafeBufferPointer { BlockEncoder.encode($0, rows: rows.count, to: encoding, part) }
        }
    }
}
