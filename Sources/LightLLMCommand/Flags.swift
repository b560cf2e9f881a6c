public import ArgumentParser
import Foundation
public import LightLLM
import Tensors

/// Brings the flags of a command line to the one spelling that the options declare: `--max-req-total-len` means
/// `--max_req_total_len`; `--mem_faction`, an old misspelling, `--mem_fraction`; and `serve` takes the
/// beginning of a flag for the flag, where no other begins so. Throws for LightLLM's flags whose feature does
/// not exist here yet.
func normalizedFlags(_ arguments: [String]) throws -> [String] {
    let isServing = arguments.first.map { $0 == "serve" || $0.hasPrefix("-") } ?? false
    return try arguments.map { argument in
        guard argument.hasPrefix("--"), argument.count > 2 else { return argument }
        let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        var name = String(parts[0].dropFirst(2).replacing("-", with: "_"))
        if name == "mem_faction" { name = "mem_fraction" }
        if isServing { name = try servingFlag(name) }
        return parts.count > 1 ? "--\(name)=\(parts[1])" : "--\(name)"
    }
}

private func servingFlag(_ name: String) throws -> String {
    if servingFlags.contains(name) { return name }
    if unsupportedFlags.contains(name) {
        throw ValidationError("--\(name) is a flag of LightLLM whose feature is not supported yet")
    }
    let matches = servingFlags.filter { $0.hasPrefix(name) }
    return matches.count == 1 ? matches[0] : name
}

private let servingFlags = [
    "model_dir", "host", "port", "tp", "max_total_token_num", "mem_fraction", "max_req_total_len", "eos_id",
    "trust_remote_code", "data_type", "tokenizer_mode", "running_max_req_size", "batch_max_tokens",
    "model_name",
    "router_policy", "future_past_scheduler", "router_token_ratio", "router_max_new_token_len",
    "router_max_wait_tokens", "max_waiting_requests", "use_dynamic_prompt_cache",
    "disable_dynamic_prompt_cache", "no_enable_prefix_caching",
    "default_max_tokens", "chat_template", "threads", "device", "profile", "kv_cache_dtype", "mode",
    "quant_type",
    "use_reward_model",
    "api_key",
    "api_key_file", "queue_timeout", "stall_timeout", "help", "version",
]

private let unsupportedFlags: Set<String> = [
    "run_mode", "zmq_mode", "pd_master_ip", "pd_master_port", "pd_decode_rpyc_port", "load_way", "dp",
    "nccl_port",
    "disable_log_stats", "log_stats_interval",
    "chunked_prefill_size",
    "disable_chunked_prefill", "splitfuse_block_size", "splitfuse_mode", "beam_mode", "diverse_mode",
    "token_healing_mode", "simple_constraint_mode", "output_constraint_mode", "first_token_constraint_mode",
    "enable_multimodal", "cache_capacity", "cache_reserved_ratio", "return_all_prompt_logprobs",
    "long_truncation_mode", "use_tgi_api", "health_monitor", "metric_gateway", "job_name",
    "grouping_key", "push_interval", "visual_infer_batch_size", "visual_gpu_ids", "visual_tp", "visual_dp",
    "visual_nccl_ports", "enable_monitor_auth", "disable_cudagraph", "graph_max_batch_size",
    "graph_max_len_in_batch", "quant_cfg", "static_quant", "max_req_input_len",
    "httpserver_workers",
    "tool_call_parser", "nnodes", "node_rank",
]

/// Refuses a flag's value unless the condition holds.
func require(_ holds: Bool, _ flag: String, _ expected: String, _ found: some Any) throws {
    guard holds else { throw ValidationError("--\(flag) must be \(expected), found \(found)") }
}

/// What every command that runs a model wants to know.
struct ModelArguments: ParsableArguments {
    @Option(
        name: .customLong("model_dir"), help: "A Hugging Face folder, a GGUF file, or OWNER/NAME of a hub.")
    var modelDirectory: String

    @Option(name: .customLong("device"), help: "Where the model computes: auto, cpu or cuda.")
    var device = DeviceChoice.auto

    @Option(name: .customLong("threads"), help: "Threads that compute; by default one per processor.")
    var threads: Int?

    var options: TextOptions {
        var options = TextOptions()
        (options.engine.device, options.engine.threads) = (device, threads)
        return options
    }

    func load() async throws -> LoadedTextModel {
        try LoadedTextModel(path: await localModel(modelDirectory), options: options)
    }

    func validate() throws {
        if let threads, threads < 1 {
            throw ValidationError("--threads must be at least 1, found \(threads)")
        }
    }
}

extension DeviceChoice: ExpressibleByArgument {}

extension CacheElement {
    /// The spellings of floating-point types that LightLLM takes.
    static let floats: [String: CacheElement] = [
        "fp32": .float32, "float32": .float32, "fp16": .float16, "float16": .float16, "bf16": .bfloat16,
        "bfloat16": .bfloat16,
    ]

    init?(name: String) {
        guard let element = name == "int8" ? .int8 : Self.floats[name] else { return nil }
        self = element
    }
}
