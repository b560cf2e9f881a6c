import Tensors

/// A file as `torch.save` writes a state dict: a ZIP archive with a pickle that describes the tensors and
/// one member of raw bytes for each storage. The pickle is read as data; nothing it names is ever run.
struct TorchArchive: TensorFile {
    let entries: [String: TensorEntry]
    let bytes: HostBytes

    init(path: String) throws(CheckpointError) {
        let file = try MappedFile(path)
        let directory = try ZipDirectory(file.bytes, file: path)
        guard let pickle = directory.members.first(where: { $0.key.hasSuffix("/data.pkl") }) else {
            throw .malformed(file: path, "the archive has no data.pkl")
        }
        let prefix = String(pickle.key.dropLast("data.pkl".count))
        if let order = directory.members[prefix + "byteorder"] {
            guard String(decoding: file.bytes[order].bytes, as: UTF8.self) == "little" else {
                throw .malformed(file: path, "the tensors are not little-endian")
            }
        }
        var reader = PickleReader(file.bytes[pickle.value], file: path)
        var entries: [String: TensorEntry] = [:]
        for (name, tensor) in try reader.tensors() {
            guard let storage = directory.members[prefix + "data/" + tensor.storage.key] else {
                throw .malformed(file: path, "tensor \(name): storage \(tensor.storage.key) is missing")
            }
            entries[name] = try Self.entry(name, tensor, storage, path)
        }
        (self.entries, bytes) = (entries, file.bytes)
    }

    private static func entry(
        _ name: String, _ tensor: PickledTensor, _ storage: Range<Int>, _ path: String
    ) throws(CheckpointError) -> TensorEntry {
        guard let encoding = encoding(tensor.storage.type) else {
            return TensorEntry(type: tensor.storage.type, encoding: nil, shape: tensor.shape, range: 0..<0)
        }
        guard let count = elementCount(tensor.shape), tensor.isContiguous else {
            throw .malformed(
                file: path,
                "tensor \(name): shape \(tensor.shape) with strides \(tensor.strides) is not contiguous")
        }
        let capacity = storage.count / encoding.blockBytes
        guard tensor.offset >= 0, tensor.offset <= capacity, count <= capacity - tensor.offset else {
            throw .malformed(
                file: path,
                "tensor \(name): \(count) elements at \(tensor.offset) exceed the storage's \(capacity)")
        }
        let start = storage.lowerBound + tensor.offset * encoding.blockBytes
        return TensorEntry(
            type: tensor.storage.type, encoding: encoding, shape: tensor.shape,
            range: start..<start + count * encoding.blockBytes)
    }

    private static func encoding(_ type: String) -> Encoding? {
        switch type {
        case "FloatStorage": .float32
        case "HalfStorage": .float16
        case "BFloat16Storage": .bfloat16
        default: nil
        }
    }
}

/// A tensor as a pickle describes it.
struct PickledTensor {
    struct Storage {
        let type: String
        let key: String
    }

    let storage: Storage
    let offset: Int
    let shape: [Int]
    let strides: [Int]

    /// Whether the elements lie one after the other, last dimension fastest.
    var isContiguous: Bool {
        var expected = 1
        for (dimension, stride) in zip(shape, strides).reversed() {
            if dimension != 1, stride != expected { return false }
            expected = expected.multipliedReportingOverflow(by: dimension).partialValue
        }
        return shape.count == strides.count
    }
}
