import Tensors

/// A file as `torch.save` writes a state dict: pickles that describe the tensors, and raw bytes for each
/// storage. Since PyTorch 1.6 they are members of a ZIP archive; before, they followed one another. The
/// pickles are read as data; nothing they name is ever run.
struct TorchArchive: TensorFile {
    let entries: [String: TensorEntry]
    let bytes: HostBytes

    init(path: String) throws(CheckpointError) {
        let file = try MappedFile(path)
        let start = Array(file.bytes[0..<min(file.bytes.count, 265)].bytes)
        if start.starts(with: LegacyTorchFile.magic) {
            (entries, bytes) = (try LegacyTorchFile(file.bytes, path: path).entries, file.bytes)
        } else if start.count == 265, start[257..<262].elementsEqual("ustar".utf8) {
            throw .malformed(
                file: path, "a tar file as PyTorch wrote before 0.1.10; save it anew with torch.save")
        } else {
            (entries, bytes) = (try Self.zipEntries(file.bytes, path), file.bytes)
        }
    }

    private static func zipEntries(_ bytes: HostBytes, _ path: String) throws(CheckpointError) -> [String:
        TensorEntry]
    {
        let directory = try ZipDirectory(bytes, file: path)
        guard let pickle = directory.members.first(where: { $0.key.hasSuffix("/data.pkl") }) else {
            throw .malformed(file: path, "the archive has no data.pkl")
        }
        let prefix = String(pickle.key.dropLast("data.pkl".count))
        if let order = directory.members[prefix + "byteorder"] {
            guard String(decoding: bytes[order].bytes, as: UTF8.self) == "little" else {
                throw .malformed(file: path, "the tensors are not little-endian")
            }
        }
        var reader = PickleReader(bytes[pickle.value], file: path)
        var entries: [String: TensorEntry] = [:]
        for (name, tensor) in try reader.tensors() {
            guard let storage = directory.members[prefix + "data/" + tensor.storage.key] else {
                throw .malformed(file: path, "tensor \(name): storage \(tensor.storage.key) is missing")
            }
            entries[name] = try tensor.entry(name, in: storage, file: path)
        }
        return entries
    }
}

/// The form before PyTorch 1.6: a magic number, a version, a description of the machine, the state dict, the
/// storages' keys, and for each of these its number of elements and its bytes.
private struct LegacyTorchFile {
    /// The pickle of 0x1950A86A20F9469CFC6C.
    static let magic: [UInt8] = [
        0x80, 0x02, 0x8A, 0x0A, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19, 0x2E,
    ]

    let entries: [String: TensorEntry]

    init(_ bytes: HostBytes, path: String) throws(CheckpointError) {
        var reader = PickleReader(bytes, at: Self.magic.count, file: path)
        let version = try reader.integer()
        guard version == 1001 else { throw .malformed(file: path, "expected version 1001, found \(version)") }
        guard try reader.flags()["little_endian"] == true else {
            throw .malformed(file: path, "the tensors are not little-endian")
        }
        let tensors = try reader.tensors()
        let described = reader.storages
        let keys = try reader.strings()
        let ranges = try Self.ranges(
            keys, described, ByteReader(bytes, at: reader.position, file: path), path)
        var entries: [String: TensorEntry] = [:]
        for (name, tensor) in tensors {
            guard let range = ranges[tensor.storage.key] else {
                throw .malformed(file: path, "tensor \(name): storage \(tensor.storage.key) is missing")
            }
            entries[name] = try tensor.entry(name, in: range, file: path)
        }
        self.entries = entries
    }

    private static func ranges(
        _ keys: [String], _ described: [String: PickledTensor.Storage], _ start: ByteReader, _ path: String
    ) throws(CheckpointError) -> [String: Range<Int>] {
        var reader = start
        var ranges: [String: Range<Int>] = [:]
        for key in keys {
            guard let storage = described[key], let size = storage.elementBytes else {
                throw .malformed(
                    file: path,
                    "storage \(key): element type \(described[key]?.type ?? "unknown") is not supported")
            }
            let count = try reader.count()
            let (length, overflow) = count.multipliedReportingOverflow(by: size)
            guard !overflow, count == storage.count else {
                throw .malformed(
                    file: path, "storage \(key): expected \(storage.count) elements, found \(count)")
            }
            let first = reader.position
            try reader.skip(length)
            ranges[key] = first..<first + length
        }
        return ranges
    }
}
