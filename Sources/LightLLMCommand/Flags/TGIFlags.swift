/// The flags of Hugging Face's text-generation-inference. Its `--max-total-tokens` counts a request's tokens and
/// SGLang's the cache's: beside `--model-id` it is TGI's.
let tgiFlags: [FlagRow] = [
    .alias("model_dir", "model_id"),
    .alias("host", "hostname"),
    .alias("tp", "num_shard"),
    .alias("max_req_input_len", "max_input_tokens", "max_input_length"),
    .alias("max_total_token_num", "max_batch_total_tokens"),
    .alias("batch_max_tokens", "max_batch_prefill_tokens"),
    .alias("running_max_req_size", "max_batch_size"),
    .alias("max_waiting_requests", "max_concurrent_requests"),
    .alias("mem_fraction", "cuda_memory_fraction"),
    .alias(
        "quant_type", renamed: ["awq": "", "gptq": "", "marlin": "", "compressed-tensors": ""], "quantize"),
    .alias("cors_allow_origins", takes: .several, "cors_allow_origin"),
    .alias("otlp_traces_endpoint", "otlp_endpoint"),
    .alias("max_body_bytes", "payload_limit"),
    .noted("metrics are on the server's own port", values: ["prometheus_port"]),
    .accepts(
        ["false"], because: "one rank computes everything", otherwise: "one rank computes a model", "sharded"),
    .noted("the server is one process", values: ["shard_uds_path", "master_addr", "master_port"]),
    .choices(
        ["0": .flag("disable_cudagraph", nil)],
        others: .noted("a graph is made for every number of rows that comes up"), "cuda_graphs"),
    .noted("kernels are chosen for the device", flags: ["disable_custom_kernels"]),
    .noted(
        "a waiting request runs as soon as its tokens have a place",
        values: ["waiting_served_ratio", "max_waiting_tokens"]),
    .noted(
        "requests are bounded as they are",
        values: ["max_best_of", "max_stop_sequences", "max_top_n_tokens", "max_client_batch_size"]),
    .noted("tokens are computed one after the other; a draft would not change them", values: ["speculate"]),
    .noted("traces are named lightllm", values: ["otlp_service_name"]),
    .noted("nothing is reported to anybody", values: ["usage_stats"]),
    .noted("prompts are scored when a request asks for it", flags: ["enable_prefill_logprobs"]),
    .noted("the log has one format", flags: ["json_output"]),
    .noted("grammars cost nothing until a request has one", flags: ["disable_grammar_support"]),
    .refused(
        "no such place is read; see the environment variables that `lightllm pull --help` names",
        values: ["huggingface_hub_cache", "weights_cache_override"]),
    .refused("the checkpoint says what the model is", values: ["rope_factor", "tokenizer_config_path"]),
    .refused("answers are not watermarked", values: ["watermark_gamma", "watermark_delta"]),
    .refused(
        "the server is reached at its own address", flags: ["ngrok"],
        values: ["ngrok_authtoken", "ngrok_edge"]),
    .refused("adapters are not supported", values: ["lora_adapters"]),
]
