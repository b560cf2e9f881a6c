import ArgumentParser
import Foundation
import LightLLM
import Tensors
import Testing

@testable import LightLLMCommand

@Suite struct FlagTableTests {
    /// Every flag that LightLLM has or had, from its sources.
    private static let lightLLM = """
        run_mode host port zmq_mode pd_master_ip pd_master_port pd_decode_rpyc_port model_name model_dir tokenizer_mode
        load_way max_total_token_num mem_fraction mem_faction batch_max_tokens eos_id running_max_req_size tp dp
        max_req_total_len nccl_port mode trust_remote_code disable_log_stats log_stats_interval router_token_ratio
        router_max_new_token_len router_max_wait_tokens use_dynamic_prompt_cache splitfuse_block_size splitfuse_mode
        beam_mode diverse_mode token_healing_mode simple_constraint_mode first_token_constraint_mode enable_multimodal
        cache_capacity cache_reserved_ratio data_type return_all_prompt_logprobs use_reward_model long_truncation_mode
        use_tgi_api health_monitor metric_gateway job_name grouping_key push_interval visual_infer_batch_size
        visual_gpu_ids visual_tp visual_dp visual_nccl_ports enable_monitor_auth disable_cudagraph graph_max_batch_size
        graph_max_len_in_batch quant_type quant_cfg static_quant max_req_input_len disable_dynamic_prompt_cache
        chunked_prefill_size disable_chunked_prefill httpserver_workers config_server_host config_server_port
        tool_call_parser nnodes node_rank multinode_httpmanager_port multinode_router_gloo_port nccl_host
        use_config_server_to_init_nccl disable_aggressive_schedule dp_prefill_wait_step output_constraint_mode
        enable_multimodal_audio enable_mps disable_custom_allreduce enable_custom_allgather enable_tpsp_mix_mode
        enable_prefill_microbatch_overlap enable_decode_microbatch_overlap enable_flashinfer_prefill
        enable_flashinfer_decode enable_fa3 graph_split_batch_size graph_grow_step_size vit_quant_type vit_quant_cfg
        sampling_backend ep_redundancy_expert_config_path auto_update_redundancy_expert mtp_mode mtp_draft_model_dir
        mtp_step
        """.split(whereSeparator: \.isWhitespace).map(String.init)

    private static let dictionary = FlagDictionary(declared: .serve)

    private func serve(_ arguments: [String], environment: [String: String] = [:]) throws -> (Serve, [String])
    {
        let line = try NormalizedArguments(["serve"] + arguments, environment: environment)
        return (try #require(try LightLLMCommand.parseAsRoot(line.arguments) as? Serve), line.notes)
    }

    @Test(arguments: lightLLM) func everyFlagOfLightLLMIsKnown(_ name: String) throws {
        let entry = try #require(Self.dictionary[name], "--\(name) is unknown")
        guard case .rule(let rule) = entry else { return }
        #expect(rule.origin == .lightLLM)
        #expect(FlagListing.page.contains("`--\(name)`"))
    }

    @Test func tablesSayEverythingOnce() {
        let names = FlagTable.rules.map(\.name)
        let twice = Dictionary(grouping: names) { $0 }.filter { $1.count > 1 }.keys.sorted()
        #expect(twice.isEmpty, "spelled in two rows")
        #expect(names.allSatisfy { $0 == ($0.hasPrefix("-") ? "-" + flagName($0) : flagName($0)) })
    }

    /// A feature that lands makes its row superfluous, and the row goes.
    @Test func pageIsWhatTheCommandPrints() throws {
        let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appendingPathComponent("docs/flags.md")
        let page = try String(contentsOf: path, encoding: .utf8)
        #expect(page == FlagListing.page, "run `lightllm flags > docs/flags.md`")
    }

    @Test func lazyLLMsCommandLineStarts() throws {
        // The shell has taken the quotation marks away.
        let (serve, notes) = try serve([
            "--model_dir", "/models/internlm2-chat-7b", "--tp=1", "--max_total_token_num=64000", "--eos_id=2",
            "--port=31234", "--host=0.0.0.0", "--nccl_port=23456", "--tokenizer_mode=auto",
            "--running_max_req_size=256", "--data_type=float16", "--max_req_total_len=64000",
            "--max_req_input_len=4096", "--long_truncation_mode=head", "--trust_remote_code",
        ])
        let options = try serve.arguments.options()
        #expect(serve.arguments.modelDirectory == "/models/internlm2-chat-7b")
        #expect(options.engine.maxTotalTokens == 64000 && options.engine.maxRequestTokens == 64000)
        #expect(options.endTokens == [2] && serve.arguments.runningRequests == 256)
        #expect(options.engine.cacheElement == .float16)
        #expect((serve.arguments.host, serve.arguments.port) == ("0.0.0.0", 31234))
        #expect(serve.startup.truncation == PromptTruncation(mode: .head, maxInputTokens: 4096))
        #expect(notes.isEmpty)
    }

    @Test func readmesCommandLineStarts() throws {
        let (serve, _) = try serve([
            "--model_dir", "x", "--mem_faction", "0.8", "--max_total", "120000", "--enable_multimodal",
            "--cache_capacity", "1000", "--visual_gpu_ids", "0", "1", "--disable_cudagraph",
            "--graph_max_batch_size",
            "16", "--zmq_mode", "tcp://", "--load_way", "HF", "--run_mode", "normal", "--tokenizer_mode",
            "slow",
        ])
        #expect(serve.arguments.memoryFraction == 0.8 && serve.arguments.maxTotalTokens == 120000)
    }

    @Test func otherServersCommandLinesStart() throws {
        let (vLLM, _) = try serve([
            "meta/model", "--served-model-name", "a", "b", "-tp", "1", "--gpu-memory-utilization", "0.7",
            "--max-model-len", "4096", "--max-num-seqs=8", "--max-num-batched-tokens", "2048",
            "--no-enable-prefix-caching", "--dtype", "half", "--enforce-eager", "--disable-log-requests",
            "--uvicorn-log-level", "warning", "--limit-mm-per-prompt", "{\"image\": 1}",
        ])
        #expect(vLLM.arguments.modelDirectory == "meta/model" && vLLM.arguments.modelName == "a")
        #expect(vLLM.arguments.memoryFraction == 0.7 && vLLM.arguments.maxRequestTokens == 4096)
        #expect(vLLM.arguments.runningRequests == 8 && vLLM.arguments.tokensPerStep == 2048)
        #expect(vLLM.arguments.disablesPromptCache && vLLM.arguments.dataType == "float16")
        #expect(vLLM.startup.logLevel == "warning")

        let (sgLang, notes) = try serve([
            "--model-path", "x", "--context-length", "8192", "--max-total-tokens", "50000",
            "--mem-fraction-static",
            "0.6", "--max-running-requests", "4", "--max-prefill-tokens", "16384", "--chunked-prefill-size",
            "1024",
            "--disable-radix-cache",
        ])
        #expect(sgLang.arguments.maxRequestTokens == 8192 && sgLang.arguments.maxTotalTokens == 50000)
        #expect(sgLang.arguments.tokensPerStep == 1024 && sgLang.arguments.disablesPromptCache)
        #expect(notes == ["--max-prefill-tokens: --chunked-prefill-size has the say"])

        let (tgi, _) = try serve([
            "--model-id", "x", "--hostname", "::", "--max-total-tokens", "4096", "--max-input-tokens", "1024",
            "--max-batch-total-tokens", "60000", "--num-shard", "1", "--max-concurrent-requests", "128",
        ])
        #expect(tgi.arguments.maxRequestTokens == 4096 && tgi.arguments.maxTotalTokens == 60000)
        #expect(tgi.startup.maxInputTokens == 1024 && tgi.arguments.waitingRequests == 128)
        #expect(tgi.arguments.host == "::")

        let (llama, _) = try serve([
            "-m", "x.gguf", "-c", "8192", "-np", "4", "-ngl", "0", "-t", "3", "-a", "name", "-fa", "on",
            "-ctk", "q8_0",
            "-ctv", "q8_0", "-b", "2048", "-ub", "512", "--jinja", "--no-cache-prompt", "-n", "-1",
        ])
        #expect(llama.arguments.maxTotalTokens == 8192 && llama.arguments.maxRequestTokens == 2048)
        #expect(llama.arguments.runningRequests == 4 && llama.arguments.device == .cpu)
        #expect(llama.arguments.threads == 3 && llama.arguments.modelName == "name")
        #expect(llama.arguments.cacheType == "int8" && llama.arguments.tokensPerStep == 512)
        #expect(llama.arguments.disablesPromptCache && llama.arguments.modelDirectory == "x.gguf")
    }

    @Test func sharedContextIsWholeWhereItIsUnified() throws {
        let (unified, _) = try serve(["-m", "x", "-c", "8192", "-np", "4", "-kvu"])
        #expect(unified.arguments.maxRequestTokens == 8192)
        let (ofModel, _) = try serve(["-m", "x", "-c", "0"])
        #expect(ofModel.arguments.maxTotalTokens == nil && ofModel.arguments.maxRequestTokens == nil)
    }

    @Test(arguments: [
        (["--enable-expert-parallel"], "--enable-expert-parallel is a flag of vLLM"),
        (["--run_mode", "prefill"], "--run_mode is a flag of LightLLM"),
        (["--load_way", "DS"], "DeepSpeed"), (["--dp", "2"], "ranks"), (["--nnodes", "2"], "--nnodes"),
        (["--tp", "2", "--nnodes", "2"], "nccl_host"), (["--node_rank", "1"], "node_rank"),
        (["--static_quant"], "vllm-w8a8"), (["--context-shift"], "llama.cpp"),
        (["-ctk", "q8_0", "-ctv", "f16"], "-ctv and -ctk both set --kv_cache_dtype"),
        (["--tp", "1", "--tensor-parallel-size", "2"], "both set --tp"),
        (["--max", "5"], "may mean"), (["--lora-modules", "a=b"], "adapters"),
        (["-c", "many"], "must be a number"), (["--trust-remote-code=perhaps"], "true or false"),
        (
            [
                "--use_reward_model", "--use_reward_model", "--max_req_input_len", "9", "--max_req_total_len",
                "9",
            ], "less than"
        ),
    ])
    func whatIsNotSupportedIsNamed(_ flags: [String], _ message: String) {
        #expect {
            _ = try serve(["--model_dir", "x"] + flags)
        } throws: {
            LightLLMCommand.message(for: $0).contains(message)
        }
    }

    @Test func lenientFlagsAreNoted() throws {
        let (_, notes) = try serve(["x", "--lenient-flags", "--enable-expert-parallel", "--dp", "4"])
        #expect(notes.count == 2 && notes[0].hasPrefix("--enable-expert-parallel: not supported"))
    }

    @Test func unknownFlagsAreTheParsers() {
        #expect {
            _ = try serve(["x", "--no-such-flag"])
        } throws: {
            LightLLMCommand.message(for: $0).contains("Unknown option '--no-such-flag'")
        }
    }

    @Test func planTakesTheFlagsOfServe() throws {
        let line = try NormalizedArguments(
            ["plan", "x", "--api_key", "k", "--max-model-len", "64", "--available", "1G", "--json"],
            environment: [:])
        let plan = try #require(try LightLLMCommand.parseAsRoot(line.arguments) as? Plan)
        #expect(plan.arguments.maxRequestTokens == 64 && plan.printsJSON && plan.available?.bytes == 1 << 30)
    }
}
