import ArgumentParser
import Tensors

/// How projections are stored once a model is loaded, by LightLLM's names or plain ones.
struct QuantizationArguments: ParsableArguments {
    @Option(
        name: .customLong("quant_type"),
        help: "Store weights with fewer bits: int8, int4, or a LightLLM name of such a type; none.")
    var quantType = "none"

    /// Nil: as the checkpoint has them.
    var format: WeightFormat? { Self.formats[quantType] ?? nil }

    func validate() throws {
        try require(
            Self.formats.keys.contains(quantType), "quant_type",
            "one of \(Self.formats.keys.sorted().joined(separator: ", "))"
                + (Self.unsupported.contains(quantType)
                    ? ", which store weights alone with 8 or 4 bits" : ""),
            quantType)
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
