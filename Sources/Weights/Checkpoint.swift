public import JSON
public import Tensors

/// A tensor as a checkpoint has it.
public struct HostTensor: Sendable {
    public let encoding: Encoding
    /// Outermost dimension first.
    public let shape: [Int]
    public let bytes: HostBytes

    public init(encoding: Encoding, shape: [Int], bytes: HostBytes) {
        (self.encoding, self.shape, self.bytes) = (encoding, shape, bytes)
    }
}

/// A model on disk: what it is, and its tensors under Hugging Face's names.
public protocol Checkpoint: Sendable {
    var path: String { get }
    /// config.json, or what corresponds to it.
    var configuration: JSONValue { get }
    /// generation_config.json, if there is one.
    var generationConfiguration: JSONValue? { get }
    var tensorNames: [String] { get }
    /// Bytes of the files that hold the tensors; they share the memory with the rest once they are read.
    var byteCount: Int { get }
    /// Nil when there is no tensor of that name; throws when its data cannot be used.
    func tensor(_ name: String) throws(CheckpointError) -> HostTensor?
    /// The header of a GGUF file, which also carries the tokenizer; nil for other formats.
    var metadata: GGUFMetadata? { get }
    /// The same tensors by name, shape and encoding, whose bytes may be anything: for planning, where computing
    /// them would be a waste.
    var layout: any Checkpoint { get }
}

extension Checkpoint {
    public var layout: any Checkpoint { self }

    /// What the file `name` beside the tensors says; nil when there is none.
    public func json(_ name: String) throws(CheckpointError) -> JSONValue? {
        let file = path + "/" + name
        guard case .file = FileKind(at: file) else { return nil }
        return try HuggingFaceCheckpoint.json(file)
    }
}

/// Opens a Hugging Face folder, a GGUF file, or a folder that holds exactly one GGUF file.
public func openCheckpoint(_ path: String) throws(CheckpointError) -> any Checkpoint {
    switch FileKind(at: path) {
    case .missing:
        throw .notFound(path)
    case .file:
        return try GGUFCheckpoint(path: path)
    case .folder(let names):
        if names.contains("config.json") {
            let plain = try HuggingFaceCheckpoint(folder: path, names: names)
            guard let quantization = try QuantizationConfig(plain.configuration, file: path) else {
                return plain
            }
            return try QuantizedCheckpoint(plain, quantization)
        }
        let candidates = names.filter { $0.hasSuffix(".gguf") }
        guard candidates.count == 1 else {
            throw .malformed(
                file: path, "expected config.json or one .gguf file, found \(candidates.count) .gguf files")
        }
        return try GGUFCheckpoint(path: path + "/" + candidates[0])
    }
}
