/// The flags of llama.cpp's server. Its context is what all its parallel requests share.
let llamaFlags: [FlagRow] = [
    .alias("model_dir", "-m", "-hf", "-hfr", "hf_repo"),
    .alias("model_name", "-a", "alias"),
    .sharedContext("-c", "ctx_size"),
    .parallel("-np", "parallel"),
    .alias("batch_max_tokens", "-ub", "ubatch_size"),
    .alias("batch_max_tokens", rank: 1, "-b", "batch_size"),
    .alias("threads", renamed: ["-1": ""], "-t"),
    .alias("threads", rank: 1, renamed: ["-1": ""], "-tb", "threads_batch"),
    .alias("default_max_tokens", renamed: ["-1": "", "-2": ""], "-n", "n_predict", "predict"),
    .alias(
        "kv_cache_dtype", renamed: ["f32": "float32", "f16": "float16", "bf16": "bfloat16", "q8_0": "int8"],
        "-ctk", "cache_type_k", "-ctv", "cache_type_v"),
    .alias("disable_dynamic_prompt_cache", takes: .none, "no_cache_prompt"),
    .alias("use_dynamic_prompt_cache", takes: .none, "cache_prompt"),
    .alias("chat_template", "chat_template_file"),
    .alias("ssl_keyfile", "ssl_key_file"),
    .alias("ssl_certfile", "ssl_cert_file"),
    .alias("sse_keep_alive_interval", "sse_ping_interval"),
    .alias("embedding", takes: .none, "embeddings"),
    .alias(
        "log_level", renamed: ["0": "critical", "1": "error", "2": "warning", "3": "info", "4": "debug"],
        "-lv", "verbosity", "log_verbosity"),
    .sets("log_level", "debug", "-v", "verbose", "log_verbose"),
    .choices(
        ["0": .flag("device", "cpu")],
        others: .noted("a model is computed on one device, whole; see --device"),
        "-ngl", "gpu_layers", "n_gpu_layers"),
    .accepts(
        ["none", "layer", "row"], because: "one device computes everything", otherwise: "expected none",
        "-sm", "split_mode"),
    .noted(
        "a model is computed on one device, whole", flags: ["-cmoe", "cpu_moe"],
        values: ["-ts", "tensor_split", "-mg", "main_gpu", "-ncmoe", "n_cpu_moe", "-ot", "override_tensor"]),
    .noted("kernels are chosen for the device", optional: ["-fa", "flash_attn"]),
    .noted(
        "requests join and leave the batch at every step",
        flags: ["-cb", "cont_batching", "-nocb", "no_cont_batching"]),
    .noted(
        "each request may take what the others leave",
        flags: ["-kvu", "kv_unified", "-no_kvu", "no_kv_unified", "swa_full"]),
    .noted(
        "the system keeps weights in memory as it sees fit",
        flags: ["mlock", "mmap", "no_mmap", "check_tensors", "-nr", "no_repack"],
        values: ["numa", "-fit", "fit"]),
    .noted("the model is always warmed up before the server listens", flags: ["warmup", "no_warmup"]),
    .noted(
        "threads run where the system puts them",
        values: [
            "threads_http", "-C", "cpu_mask", "-Cr", "cpu_range", "cpu_strict", "prio", "poll", "prio_batch",
        ]),
    .noted("chats are always rendered by their templates", flags: ["jinja"]),
    .choices(
        [
            "auto": .nothing(reasoning), "deepseek": .nothing(reasoning),
            "deepseek-legacy": .nothing(reasoning),
        ],
        others: .refused("expected auto or deepseek"), "reasoning_format"),
    .accepts(
        ["-1"], because: "reasoning ends when the model ends it",
        otherwise: "reasoning ends when the model ends it",
        "reasoning_budget"),
    .noted(
        "a model's part that sees is in its own files; see --enable_multimodal",
        flags: ["no_mmproj", "mmproj_offload", "no_mmproj_offload"], values: ["-mm", "mmproj", "mmproj_url"]),
    .noted(
        "these routes are always or never there",
        flags: ["metrics", "slots", "no_slots", "props", "webui", "no_webui", "log_timestamps", "log_prefix"]),
    .noted(
        "the log is written to standard output",
        flags: ["log_disable", "log_colors"]),
    .noted("a request's seed decides what is drawn, and an unseeded one draws anew", values: ["-s"]),
    .noted(
        "prompts that begin alike share what was computed of them",
        values: ["cache_reuse", "-sps", "slot_prompt_similarity", "-cram", "cache_ram", "swa_checkpoints"]),
    .noted(
        "tokens are computed one after the other; a draft would not change them",
        values: [
            "-md", "model_draft", "draft", "draft_max", "draft_min", "draft_p_min", "-cd", "ctx_size_draft",
            "-ngld",
            "gpu_layers_draft", "-td", "threads_draft",
        ]),
    .noted("a request that is longer than it may be is refused", flags: ["no_context_shift"]),
    .noted("a connection stays open as long as its client wants", values: ["-to", "timeout"]),
    .refused(
        "answers never outlive their context; see --long_truncation_mode for prompts",
        flags: ["context_shift"]),
    .refused("name the file itself as the model", values: ["-hff", "hf_file", "-mu", "model_url"]),
    .refused("set HF_TOKEN instead", values: ["-hft"]),
    .refused(
        "requests say how they are sampled, and generation_config.json what holds when they do not",
        flags: ["ignore_eos"],
        values: [
            "temp", "top_k", "top_p", "min_p", "repeat_penalty", "repeat_last_n", "presence_penalty",
            "frequency_penalty", "samplers", "sampling_seq", "typical", "mirostat", "dry_multiplier",
            "xtc_probability", "logit_bias", "grammar", "grammar_file", "-j", "json_schema",
        ]),
    .refused(
        "the checkpoint says what the model is",
        flags: ["no_jinja"],
        values: [
            "rope_scale", "rope_freq_base", "rope_freq_scale", "yarn_orig_ctx", "yarn_ext_factor",
            "yarn_attn_factor", "yarn_beta_slow", "yarn_beta_fast", "override_kv", "chat_template_kwargs",
        ]),
    .refused(
        "adapters are not supported",
        values: ["lora", "lora_scaled", "control_vector", "control_vector_scaled"]),
    .refused(
        "there is no such thing here", flags: ["reranking", "rerank", "special", "spm_infill"],
        values: ["slot_save_path", "path", "api_prefix", "log_file", "media_path"]),
]

private let reasoning = "the model's template says how its reasoning is told apart"
