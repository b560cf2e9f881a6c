import ArgumentParser
import Foundation
import Tensors
import Yams

/// How projections are stored once a model is loaded, by LightLLM's names or plain ones.
struct QuantizationArguments: ParsableArguments {
    @Option(
        name: .customLong("quant_type"),
        help: "Store weights with fewer bits: int8, int4, or a LightLLM name of such a type; none.")
    var quantType = "none"

    @Option(
        name: .customLong("quant_cfg"),
        help: "LightLLM's YAML file with a quant_type, which counts instead; all projections have the same.")
    var file: String?

    /// Nil: as the checkpoint has them.
    func format() throws -> WeightFormat? {
        guard let file else { return Self.formats[quantType] ?? nil }
        let type = try Self.type(inFile: file)
        try Self.check(type, "quant_cfg: quant_type")
        return Self.formats[type] ?? nil
    }

    func validate() throws { try Self.check(quantType, "quant_type") }

    private static func check(_ type: String, _ flag: String) throws {
        try require(
            formats.keys.contains(type), flag,
            "one of \(formats.keys.sorted().joined(separator: ", "))"
                + (unsupported.contains(type) ? ", which store weights alone with 8 or 4 bits" : ""), type)
    }

    private static func type(inFile path: String) throws -> String {
        guard let data = FileManager.default.contents(atPath: path), data.count <= 64 << 10 else {
            throw ValidationError("--quant_cfg: \(path): no such file, or more than 64 KiB")
        }
        do {
            let root = try compose(yaml: String(decoding: data, as: UTF8.self))
            guard root?.mapping?["mix_bits"]?.sequence?.isEmpty ?? true else {
                throw ValidationError(
                    "--quant_cfg: \(path): mix_bits: layers of different types are not supported")
            }
            return root?.mapping?["quant_type"]?.string ?? "none"
        } catch let error as YamlError {
            throw ValidationError("--quant_cfg: \(path): \(error)")
        }
    }

    /// Groups are of 32 inputs whatever size a name asks for: at least as exact.
    private static let formats: [String: WeightFormat?] = [
        "none": nil, "no_quant": nil, "int8": .int8, "int4": .int4, "w8a16": .int8, "w4a16": .int4,
        "ao-w8a16": .int8, "ao-int8wo": .int8, "ao-int8": .int8, "ao-int4wo": .int4,
        "ppl-w4a16-128": .int4, "ao-w4a16-32": .int4, "ao-w4a16-64": .int4, "ao-w4a16-128": .int4,
        "ao-w4a16-256": .int4, "ao-int4wo-32": .int4, "ao-int4wo-64": .int4, "ao-int4wo-128": .int4,
        "ao-int4wo-256": .int4,
    ]
    /// LightLLM's other types: they also quantise activations, or use other numbers than whole ones.
    private static let unsupported: Set<String> = [
        "ao-w8a8", "vllm-w8a8", "vllm-fp8w8a8", "ao-fp8w8a16", "ao-fp6w6a16", "flashllm-w6a16",
    ]
}
