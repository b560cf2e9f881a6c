import Foundation

/// A folder that goes away with the test.
final class TemporaryFolder {
    let path: String

    init() throws {
        path = NSTemporaryDirectory() + "lightllm-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func write(_ name: String, _ bytes: [UInt8]) throws -> String {
        try Data(bytes).write(to: URL(fileURLWithPath: path + "/" + name))
        return path + "/" + name
    }
}

func littleEndian<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
    withUnsafeBytes(of: value.littleEndian, Array.init)
}

/// A safetensors file with this header and data.
func safetensors(_ header: String, data: [UInt8]) -> [UInt8] {
    littleEndian(UInt64(header.utf8.count)) + Array(header.utf8) + data
}

/// The parts of a GGUF file.
struct GGUFBuilder {
    var version: UInt32 = 3
    private(set) var pairs: [UInt8] = []
    private var pairCount: UInt64 = 0
    private var infos: [UInt8] = []
    private var tensorCount: UInt64 = 0
    private var data: [UInt8] = []

    static func string(_ text: String) -> [UInt8] { littleEndian(UInt64(text.utf8.count)) + Array(text.utf8) }

    mutating func add(_ key: String, type: UInt32, _ value: [UInt8]) {
        pairs += Self.string(key) + littleEndian(type) + value
        pairCount += 1
    }

    mutating func add(_ key: String, _ value: UInt32) { add(key, type: 4, littleEndian(value)) }
    mutating func add(_ key: String, _ value: Float) { add(key, type: 6, littleEndian(value.bitPattern)) }
    mutating func add(_ key: String, _ value: String) { add(key, type: 8, Self.string(value)) }

    mutating func addTensor(
        _ name: String, dimensions: [UInt64], type: UInt32, _ bytes: [UInt8], offset: UInt64? = nil
    ) {
        infos += Self.string(name) + littleEndian(UInt32(dimensions.count))
        for dimension in dimensions { infos += littleEndian(dimension) }
        infos += littleEndian(type) + littleEndian(offset ?? UInt64(data.count))
        data += bytes + Array(repeating: 0, count: (32 - bytes.count % 32) % 32)
        tensorCount += 1
    }

    var bytes: [UInt8] {
        var file =
            Array("GGUF".utf8) + littleEndian(version) + littleEndian(tensorCount) + littleEndian(pairCount)
        file += pairs + infos
        file += Array(repeating: 0, count: (32 - file.count % 32) % 32)
        return file + data
    }

    /// The header of a LLaMA of one layer, and its embedding.
    static func llama() -> GGUFBuilder {
        var builder = GGUFBuilder()
        builder.add("general.architecture", "llama")
        for (key, value) in [
            ("block_count", 1), ("embedding_length", 4), ("feed_forward_length", 6),
            ("attention.head_count", 2),
            ("attention.head_count_kv", 1), ("context_length", 64), ("rope.dimension_count", 2),
        ] as [(String, UInt32)] {
            builder.add("llama." + key, value)
        }
        builder.add("llama.attention.layer_norm_rms_epsilon", Float(1e-5))
        let rows: [Float] = (0..<12).map { Float($0) }
        builder.addTensor(
            "token_embd.weight", dimensions: [4, 3], type: 0, rows.flatMap { littleEndian($0.bitPattern) })
        return builder
    }
}
