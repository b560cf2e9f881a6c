import Tensors

/// A tensor as a pickle describes it: a view of a storage, which several may share.
struct PickledTensor {
    struct Storage: Equatable {
        /// The name of the class, such as `FloatStorage`.
        let type: String
        let key: String
        /// Elements.
        let count: Int

        var encoding: Encoding? {
            switch type {
            case "FloatStorage": .float32
            case "HalfStorage": .float16
            case "BFloat16Storage": .bfloat16
            default: nil
            }
        }

        /// nil for a type that is not known.
        var elementBytes: Int? {
            switch type {
            case "ComplexDoubleStorage": 16
            case "DoubleStorage", "LongStorage", "ComplexFloatStorage": 8
            case "FloatStorage", "IntStorage": 4
            case "HalfStorage", "BFloat16Storage", "ShortStorage": 2
            case "ByteStorage", "CharStorage", "BoolStorage": 1
            default: nil
            }
        }
    }

    let storage: Storage
    /// In elements, as the strides are.
    let offset: Int
    let shape: [Int]
    let strides: [Int]

    /// Whether the elements lie one after the other, last dimension fastest.
    var isContiguous: Bool {
        guard shape.count == strides.count else { return false }
        var expected = 1
        for (dimension, stride) in zip(shape, strides).reversed() {
            if dimension != 1, stride != expected { return false }
            expected = expected.multipliedReportingOverflow(by: dimension).partialValue
        }
        return true
    }

    /// Where its elements lie in the file, `range` being its storage's bytes. Types that no model has weights
    /// in are entered without an encoding: they are refused by name when they are asked for.
    func entry(_ name: String, in range: Range<Int>, file: String) throws(CheckpointError) -> TensorEntry {
        guard let encoding = storage.encoding else {
            return TensorEntry(type: storage.type, encoding: nil, shape: shape, range: 0..<0)
        }
        guard let count = elementCount(shape), isContiguous else {
            throw .malformed(
                file: file, "tensor \(name): shape \(shape) with strides \(strides) is not contiguous")
        }
        let capacity = range.count / encoding.blockBytes
        guard offset >= 0, offset <= capacity, count <= capacity - offset else {
            throw .malformed(
                file: file, "tensor \(name): \(count) elements at \(offset) exceed the storage's \(capacity)")
        }
        let start = range.lowerBound + offset * encoding.blockBytes
        return TensorEntry(
            type: storage.type, encoding: encoding, shape: shape,
            range: start..<start + count * encoding.blockBytes)
    }
}
