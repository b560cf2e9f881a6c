import JSON

/// What config.json's `quantization_config` says about how the projections of a checkpoint are packed.
struct QuantizationConfig: Sendable, Equatable {
    enum Method: Sendable, Equatable {
        /// GPTQ (arXiv 2210.17323): numbers packed along the inputs; zero points are stored less `zeroOffset`.
        case gptq(zeroOffset: Int32)
        /// AWQ (arXiv 2306.00978): numbers packed along the outputs, interleaved.
        case awq
    }

    let method: Method
    /// Bits of a number: 4 or 8.
    let bits: Int
    /// Inputs that share a scale; nil when all do.
    let groupSize: Int?

    init(method: Method, bits: Int, groupSize: Int?) {
        (self.method, self.bits, self.groupSize) = (method, bits, groupSize)
    }

    /// Nil when the checkpoint is not quantised. Throws for what this build cannot read.
    init?(_ configuration: JSONValue, file: String) throws(CheckpointError) {
        guard let json = configuration["quantization_config"], json != .null else { return nil }
        func refusal(_ key: String, _ expected: String, _ found: JSONValue?) -> CheckpointError {
            .malformed(
                file: file,
                "quantization_config.\(key): expected \(expected), found \(found?.serialized ?? "nothing")")
        }
        let bits = json["bits"] ?? json["w_bit"]
        let group = json["group_size"] ?? json["q_group_size"]
        let methodName = json["quant_method"]
        switch methodName?.string {
        case "gptq":
            let format = json["checkpoint_format"]?.string ?? "gptq"
            guard ["gptq", "gptq_v2"].contains(format) else {
                throw refusal("checkpoint_format", "gptq or gptq_v2", json["checkpoint_format"])
            }
            guard bits?.int == 4 || bits?.int == 8 else { throw refusal("bits", "4 or 8", bits) }
            method = .gptq(zeroOffset: format == "gptq" ? 1 : 0)
        case "awq":
            let version = json["version"]?.string?.lowercased() ?? "gemm"
            guard version == "gemm" else { throw refusal("version", "gemm", json["version"]) }
            guard bits?.int == 4 else { throw refusal("bits", "4", bits) }
            method = .awq
        default:
            throw refusal("quant_method", "gptq or awq", methodName)
        }
        guard let size = group?.int, size == -1 || size > 0 else {
            throw refusal("group_size", "-1 or a positive number", group)
        }
        self.bits = bits?.int ?? 4
        groupSize = size == -1 ? nil : size
    }
}
