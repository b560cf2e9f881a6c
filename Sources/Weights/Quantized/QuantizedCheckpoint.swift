import JSON
import Tensors

/// A GPTQ or AWQ checkpoint whose packed projections are presented as the weights that they stand for: instead of
/// `x.qweight`, `x.qzeros`, `x.scales` and `x.g_idx` there is `x.weight`.
struct QuantizedCheckpoint: Checkpoint {
    let tensorNames: [String]
    private let plain: HuggingFaceCheckpoint
    private let quantization: QuantizationConfig
    /// What `x` of each packed projection is.
    private let stems: Set<String>
    private let onlyLayout: Bool

    var path: String { plain.path }
    var configuration: JSONValue { plain.configuration }
    var generationConfiguration: JSONValue? { plain.generationConfiguration }
    var byteCount: Int { plain.byteCount }
    var metadata: GGUFMetadata? { nil }

    init(_ plain: HuggingFaceCheckpoint, _ quantization: QuantizationConfig) throws(CheckpointError) {
        let names = plain.tensorNames
        let stems = Set(names.filter { $0.hasSuffix(".qweight") }.map { String($0.dropLast(8)) })
        let parts = Set(stems.flatMap { stem in Self.parts.map { stem + $0 } })
        let others = names.filter { !parts.contains($0) }
        for name in others where name.hasSuffix(".weight") && stems.contains(String(name.dropLast(7))) {
            throw .malformed(file: plain.path, "tensor \(name) is there both packed and not")
        }
        (self.plain, self.quantization, self.stems) = (plain, quantization, stems)
        (tensorNames, onlyLayout) = (others + stems.map { $0 + ".weight" }, false)
    }

    private init(layoutOf other: QuantizedCheckpoint) {
        (plain, quantization, stems) = (other.plain, other.quantization, other.stems)
        (tensorNames, onlyLayout) = (other.tensorNames, true)
    }

    private static let parts = [".qweight", ".qzeros", ".scales", ".g_idx"]

    var layout: any Checkpoint { QuantizedCheckpoint(layoutOf: self) }

    func tensor(_ name: String) throws(CheckpointError) -> HostTensor? {
        guard name.hasSuffix(".weight"), stems.contains(String(name.dropLast(7))) else {
            return try plain.tensor(name)
        }
        let matrix = try matrix(String(name.dropLast(7)))
        return onlyLayout ? matrix.layout() : matrix.tensor()
    }

    private func matrix(_ stem: String) throws(CheckpointError) -> QuantizedMatrix {
        let scales = try part(stem + ".scales") { (name) throws(CheckpointError) in try plain.tensor(name) }
        let words = try part(stem + ".qweight") { (name) throws(CheckpointError) in try plain.integers(name) }
        let zeroWords = try part(stem + ".qzeros") { (name) throws(CheckpointError) in
            try plain.integers(name)
        }
        for (name, shape) in [(".scales", scales.shape), (".qweight", words.shape)] {
            guard shape.count == 2, shape[0] > 0, shape[1] > 0 else {
                throw .malformed(
                    file: path, "tensor \(stem)\(name): expected a matrix, found shape \(shape)")
            }
        }
        let (perWord, outputs) = (32 / quantization.bits, scales.shape[1])
        // Both are shapes of what is in a file, so nothing overflows.
        let isAWQ = quantization.method == .awq
        let inputs = isAWQ ? words.shape[0] : words.shape[0] * perWord
        let groupSize = quantization.groupSize ?? max(inputs, 1)
        let groupCount = inputs / groupSize + (inputs.isMultiple(of: groupSize) ? 0 : 1)
        guard scales.shape[0] == groupCount else {
            throw .wrongShape(stem + ".scales", expected: [groupCount, outputs], found: scales.shape)
        }
        let order = isAWQ ? PackedNumbers.interleaved : nil
        guard
            let numbers = PackedNumbers(
                words, rows: inputs, columns: outputs, along: isAWQ ? .columns : .rows,
                bits: quantization.bits, order: order)
        else {
            let expected = isAWQ ? [inputs, outputs / perWord] : [inputs / perWord, outputs]
            throw .wrongShape(stem + ".qweight", expected: expected, found: words.shape)
        }
        guard
            let zeros = PackedNumbers(
                zeroWords, rows: groupCount, columns: outputs, along: .columns, bits: quantization.bits,
                order: order)
        else {
            throw .wrongShape(
                stem + ".qzeros", expected: [groupCount, outputs / perWord], found: zeroWords.shape)
        }
        let offset: Int32 =
            switch quantization.method {
            case .gptq(let zeroOffset): zeroOffset
            case .awq: 0
            }
        return QuantizedMatrix(
            outputs: outputs, inputs: inputs, bits: quantization.bits, numbers: numbers, zeros: zeros,
            zeroOffset: offset, scales: try floats(scales, stem + ".scales"),
            hasHalfScales: scales.encoding == .float16,
            groups: try groups(stem, inputs: inputs, groupSize: groupSize, count: groupCount))
    }

    private func part<T>(
        _ name: String, _ read: (String) throws(CheckpointError) -> T?
    ) throws(CheckpointError) -> T {
        guard let value = try read(name) else { throw .malformed(file: path, "tensor \(name) is missing") }
        return value
    }

    private func floats(_ tensor: HostTensor, _ name: String) throws(CheckpointError) -> [Float] {
        let bytes = tensor.bytes.bytes
        switch tensor.encoding {
        case .float16:
            return (0..<bytes.count / 2).map {
                Float(
                    Float16(bitPattern: bytes.loadUnaligned(fromByteOffset: 2 * $0, as: UInt16.self)))
            }
        case .bfloat16:
            return (0..<bytes.count / 2).map {
                Float(
                    bitPattern: UInt32(bytes.loadUnaligned(fromByteOffset: 2 * $0, as: UInt16.self)) << 16)
            }
        case .float32:
            return (0..<bytes.count / 4).map { bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
        default:
            throw .unsupportedType(tensor: name, tensor.encoding.rawValue)
        }
    }

    /// The group of every input: what `g_idx` says, or one group after the other.
    private func groups(
        _ stem: String, inputs: Int, groupSize: Int, count: Int
    ) throws(CheckpointError) -> [Int32] {
        guard quantization.method != .awq, let words = try plain.integers(stem + ".g_idx") else {
            return (0..<inputs).map { Int32($0 / groupSize) }
        }
        guard words.shape == [inputs] else {
            throw .wrongShape(stem + ".g_idx", expected: [inputs], found: words.shape)
        }
        let groups = (0..<inputs).map { words[$0] }
        for group in groups where group < 0 || group >= count {
            throw .malformed(
                file: path, "tensor \(stem).g_idx: expected groups within 0..<\(count), found \(group)")
        }
        return groups
    }
}
