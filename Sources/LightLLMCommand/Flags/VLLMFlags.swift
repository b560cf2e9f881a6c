/// vLLM's flags; where other servers spell theirs the same and mean the same, theirs too.
let vLLMFlags: [FlagRow] =
    vLLMAliases + [
        .accepts(
            ["1"], because: "one rank computes everything", otherwise: "one rank computes a model",
            "pipeline_parallel_size", "-pp", "data_parallel_size", "-dp", "data_parallel_size_local"),
        .refused(
            "one rank computes a model",
            flags: ["enable_expert_parallel", "data_parallel_hybrid_lb", "headless", "enable_eplb"],
            values: [
                "data_parallel_rank", "data_parallel_address", "data_parallel_rpc_port",
                "data_parallel_backend",
                "kv_transfer_config", "kv_events_config",
            ]),
        .noted(
            "one process, on one device, does everything",
            flags: [
                "disable_custom_all_reduce", "disable_frontend_multiprocessing", "ray_workers_use_nsight",
            ],
            values: [
                "distributed_executor_backend", "api_server_count", "-asc", "max_parallel_loading_workers",
                "worker_cls", "worker_extension_cls",
            ]),
        .noted(
            "a graph is made for every number of rows that comes up, and nothing is compiled but kernels",
            values: ["compilation_config", "-O", "cuda_graph_sizes", "cudagraph_capture_sizes"]),
        .noted(
            "the cache is counted in tokens and never swapped",
            values: ["block_size", "swap_space", "preemption_mode", "prefix_caching_hash_algo"]),
        .refused(
            "give the cache's tokens with --max_total_token_num instead",
            values: ["num_gpu_blocks_override", "kv_cache_memory_bytes"]),
        .accepts(
            ["0"], because: "nothing is moved between memories",
            otherwise: "a model that does not fit its device is refused", "cpu_offload_gb"),
        .noted(
            "prompts are always computed in parts, in the same steps as answers",
            flags: [
                "enable_chunked_prefill", "no_enable_chunked_prefill", "async_scheduling",
                "no_async_scheduling",
            ],
            values: [
                "max_num_partial_prefills", "max_long_partial_prefills", "long_prefill_token_threshold",
                "num_scheduler_steps", "num_lookahead_slots", "scheduler_delay_factor", "stream_interval",
            ]),
        .accepts(
            ["fcfs", "priority"], because: "requests say their priority; those of the same one run in turn",
            otherwise: "expected fcfs or priority", "scheduling_policy"),
        .refused(
            "no code but this program's runs",
            values: [
                "scheduler_cls", "logits_processors", "tool_parser_plugin", "reasoning_parser_plugin",
                "middleware",
                "worker_multiproc_method",
            ]),
        .refused(
            "adapters are not supported",
            flags: ["enable_lora", "enable_prompt_adapter"],
            values: ["max_loras", "max_lora_rank", "max_cpu_loras", "lora_dtype", "lora_extra_vocab_size"],
            lists: ["lora_modules", "prompt_adapters"]),
        .noted(
            "tokens are computed one after the other; a draft would not change them",
            values: [
                "speculative_config", "speculative_model", "num_speculative_tokens",
                "speculative_draft_tensor_parallel_size", "spec_method",
            ]),
        .noted(
            "grammars are compiled by this program",
            values: ["guided_decoding_backend", "structured_outputs_config"]),
        .noted(
            "images are taken with --enable_multimodal, as many in a request as --cache_capacity says",
            flags: ["language_model_only", "disable_mm_preprocessor_cache"],
            values: [
                "limit_mm_per_prompt", "mm_processor_kwargs", "mm_processor_cache_gb", "media_io_kwargs",
                "interleave_mm_strings",
            ]),
        .accepts(
            ["auto"], because: "generation_config.json sets the defaults",
            otherwise: "defaults come from the checkpoint's generation_config.json", "generation_config"),
        .refused(
            "the checkpoint says what the model is",
            values: [
                "hf_overrides", "hf_config_path", "override_generation_config", "rope_scaling", "rope_theta",
                "override_neuron_config", "override_pooler_config", "config_format", "hf_token",
            ]),
        .refused(
            "the tokenizer is the checkpoint's", flags: ["skip_tokenizer_init"],
            values: ["tokenizer", "tokenizer_revision"]),
        .refused("name a revision as --model_dir REPO@REVISION", values: ["revision", "code_revision"]),
        .refused(
            "no such place is read; see the environment variables that `lightllm pull --help` names",
            values: ["download_dir"]),
        .accepts(
            ["auto", "safetensors", "pt", "gguf"], because: "files are recognised by what is in them",
            otherwise: "expected auto, safetensors, pt or gguf", "load_format"),
        .noted(
            "weights are mapped as they are", flags: ["use_tqdm_on_load"],
            values: ["model_loader_extra_config"]),
        .choices(
            [
                "auto": .nothing("the checkpoint says what the model does"),
                "generate": .nothing("the checkpoint says what the model does"),
                "draft": .nothing("the checkpoint says what the model does"),
                "pooling": .flag("embedding", nil), "embed": .flag("embedding", nil),
                "embedding": .flag("embedding", nil), "reward": .flag("use_reward_model", nil),
            ], others: .refused("expected auto, generate, embed or reward"), "task", "runner"),
        .noted("requests may ask for the 20 likeliest tokens", values: ["max_logprobs"]),
        .noted("a request's seed decides what is drawn, and an unseeded one draws anew", values: ["seed"]),
        .accepts(
            ["assistant"], because: "that is what answers are", otherwise: "expected assistant",
            "response_role"),
        .accepts(
            ["auto", "string"], because: "templates are given texts",
            otherwise: "templates are given texts", "chat_template_content_format"),
        .noted(
            "tool calls are found in answers whenever a request has tools",
            flags: ["enable_auto_tool_choice", "enable_reasoning"]),
        .refused("answers name tokens by their text", flags: ["return_tokens_as_token_ids"]),
        .noted("this is always so", flags: ["exclude_tools_when_tool_choice_none"]),
        .noted(
            "this is always so",
            flags: [
                "enable_prompt_tokens_details", "enable_request_id_headers", "enable_server_load_tracking",
                "enable_force_include_usage", "enable_tokenizer_info_endpoint",
            ]),
        .noted(
            "prompts are never logged",
            flags: [
                "disable_log_requests", "no_enable_log_requests", "enable_log_requests", "enable_log_outputs",
            ],
            values: ["max_log_len"]),
        .noted(
            "without --access_log there is none",
            flags: ["disable_uvicorn_access_log"], values: ["disable_access_log_for_endpoints"]),
        .noted("there is no such page", flags: ["disable_fastapi_docs"]),
        .noted(
            "metrics have all names",
            values: ["show_hidden_metrics_for_version", "collect_detailed_traces", "kv_cache_metrics"]),
        .noted(
            "headers are bounded as they are",
            values: ["h11_max_incomplete_event_size", "h11_max_header_count"]),
        .refused("the server listens on an address and a port", values: ["uds", "root_path"]),
        .refused(
            "clients are told apart by their keys", flags: ["enable_ssl_refresh"],
            values: ["ssl_ca_certs", "ssl_cert_reqs"]),
        .refused(
            "browsers are let in by --cors_allow_origins alone", flags: ["allow_credentials"],
            values: ["allowed_methods", "allowed_headers"]),
        .refused(
            "there is no such mode",
            flags: ["enable_sleep_mode", "calculate_kv_scales", "disable_sliding_window"]),
        .noted("layers of all kinds share one cache", flags: ["disable_hybrid_kv_cache_manager"]),
        .noted(
            "kernels are chosen for the device",
            flags: ["disable_cascade_attn"], values: ["attention_backend", "moe_backend", "all2all_backend"]),
    ]

/// Spellings of flags that exist here.
private let vLLMAliases: [FlagRow] = [
    .alias("model_dir", "model"),
    .alias("model_name", takes: .several, "served_model_name"),
    .alias("tp", "tensor_parallel_size", "-tp"),
    .alias("mem_fraction", "gpu_memory_utilization"),
    .alias("max_req_total_len", renamed: ["auto": "", "-1": ""], "max_model_len"),
    .alias("running_max_req_size", "max_num_seqs"),
    .alias("batch_max_tokens", "max_num_batched_tokens"),
    .alias("use_dynamic_prompt_cache", takes: .none, "enable_prefix_caching"),
    .alias("disable_cudagraph", takes: .none, "enforce_eager"),
    .alias("graph_max_len_in_batch", "max_seq_len_to_capture"),
    .alias(
        "data_type", renamed: ["auto": "", "half": "float16", "float": "float32"], "dtype"),
    .alias(
        "quant_type",
        renamed: [
            "awq": "", "awq_marlin": "", "gptq": "", "gptq_marlin": "", "gguf": "", "compressed-tensors": "",
            "None": "none",
        ], "quantization", "-q"),
    .alias("cors_allow_origins", takes: .several, "allowed_origins"),
    .alias("log_level", "uvicorn_log_level"),
]
