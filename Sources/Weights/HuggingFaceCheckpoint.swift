import Foundation
import JSON
import OrderedCollections
import Tensors

/// A folder as `save_pretrained` writes it: config.json and safetensors or torch shards.
struct HuggingFaceCheckpoint: Checkpoint {
    let path: String
    let configuration: JSONValue
    let generationConfiguration: JSONValue?
    let metadata: GGUFMetadata? = nil
    private let files: [any TensorFile]
    private let fileOfTensor: [String: Int]

    init(folder: String, names: [String]) throws(CheckpointError) {
        path = folder
        configuration = try Self.json(folder + "/config.json")
        generationConfiguration =
            names.contains("generation_config.json") ? try Self.json(folder + "/generation_config.json") : nil
        var files: [any TensorFile] = []
        for name in try Self.shards(in: folder, names: names) {
            let shard = folder + "/" + name
            files.append(
                name.hasSuffix(".safetensors")
                    ? try SafetensorsFile(path: shard) : try TorchArchive(path: shard))
        }
        var fileOfTensor: [String: Int] = [:]
        for (index, file) in files.enumerated() {
            for name in file.entries.keys where fileOfTensor.updateValue(index, forKey: name) != nil {
                throw .malformed(file: folder, "tensor \(name) is in more than one shard")
            }
        }
        (self.files, self.fileOfTensor) = (files, fileOfTensor)
    }

    var byteCount: Int { files.reduce(0) { $0 + $1.bytes.count } }

    var tensorNames: [String] { Array(fileOfTensor.keys) }

    func tensor(_ name: String) throws(CheckpointError) -> HostTensor? {
        guard let index = fileOfTensor[name] else { return nil }
        return try files[index].tensor(name)
    }

    /// A tensor of 32-bit integers, which only stand for weights.
    func integers(_ name: String) throws(CheckpointError) -> PackedWords? {
        guard let index = fileOfTensor[name], let entry = files[index].entries[name] else { return nil }
        guard entry.type == "I32" else { throw .unsupportedType(tensor: name, entry.type) }
        let bytes = files[index].bytes[entry.range]
        guard let count = elementCount(entry.shape), count <= Int.max / 4, 4 * count == bytes.count else {
            throw .malformed(
                file: path, "tensor \(name): I32 of shape \(entry.shape) does not fill \(bytes.count) bytes")
        }
        return PackedWords(shape: entry.shape, bytes: bytes)
    }

    /// The names of the weight files: those an index lists, or else the one file there is.
    private static func shards(in folder: String, names: [String]) throws(CheckpointError) -> [String] {
        for stem in ["model.safetensors", "pytorch_model.bin"] {
            if names.contains(stem + ".index.json") {
                return try indexed(folder + "/" + stem + ".index.json", names: names)
            }
            if names.contains(stem) { return [stem] }
        }
        let shards = names.filter { $0.hasSuffix(".safetensors") }
        guard !shards.isEmpty else {
            throw .malformed(
                file: folder, "no weights: expected model.safetensors or pytorch_model.bin, or an index")
        }
        return shards
    }

    private static func indexed(_ path: String, names: [String]) throws(CheckpointError) -> [String] {
        guard let map = try json(path)["weight_map"]?.object else {
            throw .malformed(file: path, "weight_map is missing")
        }
        let shards = Set(map.values.compactMap(\.string)).sorted()
        for shard in shards where !names.contains(shard) {
            throw .malformed(file: path, "names the shard \(shard), which is not in the folder")
        }
        return shards
    }

    static func json(_ path: String) throws(CheckpointError) -> JSONValue {
        guard let data = FileManager.default.contents(atPath: path) else { throw .notFound(path) }
        do { return try JSONValue(parsing: Array(data)) } catch { throw .malformed(file: path, "\(error)") }
    }
}
