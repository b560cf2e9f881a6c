import JSON
import OrderedCollections
import Tensors

/// One .safetensors file: eight bytes of header length, the header as JSON, the tensors.
struct SafetensorsFile: TensorFile {
    let entries: [String: TensorEntry]
    let bytes: HostBytes

    init(path: String) throws(CheckpointError) {
        let file = try MappedFile(path)
        var reader = ByteReader(file.bytes, file: path)
        let headerCount = try reader.count()
        let header = try reader.take(headerCount)
        let parsed: JSONValue
        do { parsed = try JSONValue(parsing: header.bytes) } catch {
            throw .malformed(file: path, "header: \(error)")
        }
        guard let members = parsed.object else {
            throw .malformed(file: path, "the header is no JSON object")
        }
        let start = reader.position
        var entries: [String: TensorEntry] = [:]
        for (key, value) in members where key != "__metadata__" {
            let name = key.string
            entries[name] = try Self.entry(name, value, dataStart: start, fileCount: file.count, path: path)
        }
        (self.entries, bytes) = (entries, file.bytes)
    }

    private static func entry(
        _ name: String, _ value: JSONValue, dataStart: Int, fileCount: Int, path: String
    ) throws(CheckpointError) -> TensorEntry {
        let shape = value["shape"]?.array?.compactMap(\.int)
        let offsets = value["data_offsets"]?.array?.compactMap(\.int)
        guard let type = value["dtype"]?.string, let shape, shape.count == value["shape"]?.array?.count,
            let offsets, offsets.count == 2, let count = elementCount(shape)
        else {
            throw .malformed(
                file: path, "tensor \(name): the header's dtype, shape or data_offsets is malformed")
        }
        let (start, end) = (offsets[0], offsets[1])
        guard start >= 0, end >= start, end <= fileCount - dataStart else {
            throw .malformed(
                file: path,
                "tensor \(name) lies at \(start)..<\(end), expected within the \(fileCount - dataStart) bytes of data"
            )
        }
        let encoding = encoding(type)
        if let encoding, encoding.rowBytes(count) != end - start {
            throw .malformed(
                file: path, "tensor \(name): \(type) of shape \(shape) does not fill \(end - start) bytes")
        }
        return TensorEntry(
            type: type, encoding: encoding, shape: shape, range: dataStart + start..<dataStart + end)
    }

    private static func encoding(_ type: String) -> Encoding? {
        switch type {
        case "F32": .float32
        case "F16": .float16
        case "BF16": .bfloat16
        default: nil
        }
    }
}
