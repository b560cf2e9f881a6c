/// SGLang's flags beside those that vLLM spells the same.
let sgLangFlags: [FlagRow] = [
    .alias("model_dir", "model_path"),
    .alias("tp", "tp_size"),
    // TGI has a flag of this name too: see `FlagResolver`.
    .alias("max_total_token_num", "max_total_tokens"),
    .alias("mem_fraction", "mem_fraction_static"),
    .alias("max_req_total_len", "context_length"),
    .alias("running_max_req_size", "max_running_requests"),
    .alias("max_waiting_requests", "max_queued_requests"),
    .alias("batch_max_tokens", rank: 3, "max_prefill_tokens"),
    .alias("disable_dynamic_prompt_cache", takes: .none, "disable_radix_cache"),
    .alias("disable_cudagraph", takes: .none, "disable_cuda_graph"),
    .alias("graph_max_batch_size", "cuda_graph_max_bs"),
    .noted(
        "a graph is made for every number of rows that comes up, without padding",
        flags: ["disable_cuda_graph_padding"], lists: ["cuda_graph_bs"]),
    .alias("stall_timeout", "watchdog_timeout"),
    .alias("embedding", takes: .none, "is_embedding"),
    .noted(
        "metrics are always there",
        flags: ["enable_metrics", "enable_cache_report", "enable_metrics_for_all_schedulers"]),
    .noted("see --log_stats_interval, which counts seconds", values: ["decode_log_interval"]),
    .noted(
        "prompts are never logged", flags: ["log_requests", "show_time_cost"], values: ["log_requests_level"]),
    .noted("a request's seed decides what is drawn, and an unseeded one draws anew", values: ["random_seed"]),
    .noted(
        "requests run in the order of their priority, and of their arrival",
        values: ["schedule_policy", "schedule_conservativeness"]),
    .noted("the cache is counted in tokens", values: ["page_size", "radix_eviction_policy"]),
    .noted(
        "kernels are chosen for the device",
        flags: [
            "enable_torch_compile", "disable_overlap_schedule", "enable_mixed_chunk",
            "enable_p2p_check", "enable_nccl_nvls", "enable_flashinfer_allreduce_fusion",
            "triton_attention_reduce_in_fp32",
            "enable_two_batch_overlap", "sleep_on_idle",
        ],
        values: [
            "torch_compile_max_bs", "prefill_attention_backend",
            "decode_attention_backend",
            "mm_attention_backend", "moe_runner_backend", "moe_a2a_backend", "triton_attention_num_kv_splits",
            "num_continuous_decode_steps",
        ]),
    .noted(
        "grammars are compiled by this program",
        flags: ["constrained_json_disable_any_whitespace"], values: ["grammar_backend"]),
    .noted(
        "tokens are computed one after the other; a draft would not change them",
        values: [
            "speculative_algorithm", "speculative_draft_model_path", "speculative_num_steps",
            "speculative_eagle_topk", "speculative_num_draft_tokens",
        ]),
    .noted("the server is one process", values: ["tokenizer_worker_num", "dist_timeout"]),
    .accepts(
        ["1"], because: "one rank computes everything", otherwise: "one rank computes a model",
        "dp_size", "ep_size", "expert_parallel_size", "pp_size"),
    .refused(
        "one rank computes a model", flags: ["enable_dp_attention", "enable_ep_moe", "enable_deepep_moe"],
        values: ["dist_init_addr", "load_balance_method"]),
    .refused("choose a device with CUDA_VISIBLE_DEVICES", values: ["base_gpu_id", "gpu_id_step"]),
    .accepts(
        ["null"], because: "one process does everything",
        otherwise: "prompts and answers are computed by the same process, in steps that mix both",
        "disaggregation_mode"),
    .refused(
        "it keeps the beginning of a prompt; --long_truncation_mode head keeps the end, center both",
        flags: ["allow_auto_truncate"]),
    .refused("there is one kind of keys: see --api_key_file", values: ["admin_api_key"]),
    .refused("the tokenizer is the checkpoint's", values: ["tokenizer_path"]),
    .refused(
        "the checkpoint says what the model is",
        values: ["json_model_override_args", "quantization_param_path", "completion_template"]),
    .refused("adapters are not supported", lists: ["lora_paths", "lora_target_modules"]),
    .refused(
        "nothing is moved between memories",
        flags: ["enable_hierarchical_cache", "enable_memory_saver"],
        values: ["hicache_ratio", "hicache_size"]),
    .refused("traces go where --otlp_traces_endpoint says", flags: ["enable_trace"]),
    .refused("no code but this program's runs", flags: ["enable_custom_logit_processor"]),
]
