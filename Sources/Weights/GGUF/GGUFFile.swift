import Tensors

/// A GGUF file of version 2 or 3: metadata, the list of tensors, their data.
struct GGUFFile: TensorFile {
    let metadata: GGUFMetadata
    let entries: [String: TensorEntry]
    let bytes: HostBytes

    init(path: String) throws(CheckpointError) {
        let file = try MappedFile(path)
        var reader = ByteReader(file.bytes, file: path)
        guard try reader.string(min(4, file.count)) == "GGUF" else {
            throw .malformed(file: path, "expected a GGUF file, which begins with 'GGUF'")
        }
        let version: UInt32 = try reader.integer()
        guard version == 2 || version == 3 else {
            throw .malformed(file: path, "GGUF version \(version); expected 2 or 3")
        }
        let (tensors, pairs) = (try reader.count(), try reader.count())
        // A pair takes at least 13 bytes and a tensor 24, which bounds the loops below.
        guard pairs <= reader.remaining / 13, tensors <= reader.remaining / 24 else {
            throw .malformed(file: path, "\(tensors) tensors and \(pairs) keys do not fit the file")
        }
        let metadata = try GGUFMetadata(&reader, count: pairs, file: path)
        entries = try Self.entries(&reader, count: tensors, metadata, path)
        (self.metadata, bytes) = (metadata, file.bytes)
    }

    private static func entries(
        _ reader: inout ByteReader, count: Int, _ metadata: GGUFMetadata, _ path: String
    ) throws(CheckpointError) -> [String: TensorEntry] {
        var listed: [(name: String, shape: [Int], type: UInt32, offset: Int)] = []
        for _ in 0..<count {
            let name = try reader.string(try reader.count())
            let dimensions: UInt32 = try reader.integer()
            guard dimensions <= 4 else {
                throw .malformed(file: path, "tensor \(name) has \(dimensions) dimensions")
            }
            var shape: [Int] = []
            for _ in 0..<dimensions { shape.append(try reader.count()) }
            listed.append((name, shape.reversed(), try reader.integer(), try reader.count()))
        }
        let alignment = metadata.integer("general.alignment") ?? 32
        guard alignment > 0, alignment <= 1 << 20 else {
            throw .malformed(file: path, "general.alignment is \(alignment)")
        }
        let start = (reader.position + alignment - 1) / alignment * alignment
        var entries: [String: TensorEntry] = [:]
        for (name, shape, type, offset) in listed {
            let entry = try entry(
                name, shape, type, offset, start: start, available: reader.source.count, path)
            guard entries.updateValue(entry, forKey: name) == nil else {
                throw .malformed(file: path, "tensor \(name) occurs twice")
            }
        }
        return entries
    }

    private static func entry(
        _ name: String, _ shape: [Int], _ type: UInt32, _ offset: Int, start: Int, available: Int,
        _ path: String
    ) throws(CheckpointError) -> TensorEntry {
        guard let encoding = encoding(type) else {
            return TensorEntry(type: "ggml \(type)", encoding: nil, shape: shape, range: 0..<0)
        }
        guard let inputs = shape.last, let row = encoding.rowBytes(inputs),
            let rows = elementCount(shape.dropLast())
        else {
            throw .malformed(
                file: path, "tensor \(name): rows of shape \(shape) do not fill \(encoding) blocks")
        }
        let (count, overflow) = rows.multipliedReportingOverflow(by: row)
        guard !overflow, start <= available, offset <= available - start, count <= available - start - offset
        else {
            throw .malformed(
                file: path,
                "tensor \(name) of shape \(shape) ends beyond the file; expected \(count) bytes at \(offset), "
                    + "found a file of \(available)")
        }
        return TensorEntry(
            type: encoding.rawValue, encoding: encoding, shape: shape,
            range: start + offset..<start + offset + count)
    }

    private static func encoding(_ type: UInt32) -> Encoding? {
        switch type {
        case 0: .float32
        case 1: .float16
        case 2: .q4_0
        case 3: .q4_1
        case 6: .q5_0
        case 7: .q5_1
        case 8: .q8_0
        case 10: .q2_K
        case 11: .q3_K
        case 12: .q4_K
        case 13: .q5_K
        case 14: .q6_K
        case 30: .bfloat16
        default: nil
        }
    }
}
