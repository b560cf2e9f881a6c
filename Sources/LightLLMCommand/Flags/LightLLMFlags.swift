/// LightLLM's flags that the parser does not know, or may not yet: where it does, it has the say.
let lightLLMFlags: [FlagRow] = [
    // As its README spells it.
    .alias("mem_fraction", "mem_faction"),
    .accepts(
        ["normal"], because: "one process does everything",
        otherwise: "prompts and answers are computed by the same process, in steps that mix both", "run_mode"),
    .noted(
        "the server is one process, whose parts need no ports or sockets",
        values: [
            "zmq_mode", "multinode_httpmanager_port", "multinode_router_gloo_port",
        ]),
    .noted(
        "only servers that compute prompts and answers apart need it",
        values: ["pd_master_ip", "pd_master_port", "pd_decode_rpyc_port"]),
    .refused(
        "there is no configuration server: one process serves a model",
        flags: ["use_config_server_to_init_nccl"],
        values: ["config_server_host", "config_server_port"]),
    .noted("requests are read by as many threads as are needed", values: ["httpserver_workers"]),
    .accepts(
        ["HF"], because: "folders and files are recognised by what is in them",
        otherwise: "layer files of DeepSpeed are not read; expected HF", "load_way"),
    .accepts(
        ["1"], because: "ranks share out every request",
        otherwise: "several data-parallel ranks are not supported",
        "dp"),
    .noted(
        "prompts are always computed in parts, in the same steps as answers",
        flags: ["splitfuse_mode"]),
    .noted(
        "prompts are computed in parts whatever their length; answers are the same to the bit",
        flags: ["disable_chunked_prefill"]),
    .alias("batch_max_tokens", rank: 2, "splitfuse_block_size"),
    .alias("batch_max_tokens", rank: 1, "chunked_prefill_size"),
    .sets("router_policy", "guaranteed", "disable_aggressive_schedule"),
    .noted("ranks that wait for each other do not exist", values: ["dp_prefill_wait_step"]),
    .noted("sounds in requests are refused", flags: ["enable_multimodal_audio"]),
    .noted(
        "one process, on one device, computes everything", values: ["visual_tp", "visual_dp"],
        lists: ["visual_gpu_ids", "visual_nccl_ports"]),
    .noted(
        "the weights of a vision model are stored as they are", values: ["vit_quant_type", "vit_quant_cfg"]),
    .noted(
        "a graph is made for every number of rows that comes up, without padding",
        values: ["graph_split_batch_size", "graph_grow_step_size"]),
    .noted(
        "kernels are chosen for the device",
        flags: [
            "enable_flashinfer_prefill", "enable_flashinfer_decode", "enable_fa3", "enable_mps",
            "disable_custom_allreduce", "enable_custom_allgather", "enable_tpsp_mix_mode",
            "enable_prefill_microbatch_overlap", "enable_decode_microbatch_overlap",
            "auto_update_redundancy_expert",
        ],
        values: ["sampling_backend", "ep_redundancy_expert_config_path"]),
    .noted(
        "tokens are computed one after the other; a draft would not change them",
        values: ["mtp_mode", "mtp_draft_model_dir", "mtp_step"]),
    .refused(
        "it stores activations with 8 bits (vllm-w8a8), and weights alone are stored with fewer bits here",
        flags: ["static_quant"]),
    .noted(
        "an answer may always be held to a form that its request asks for",
        flags: ["simple_constraint_mode"], values: ["output_constraint_mode"]),
]
