import Serving

extension ServerMetrics {
    /// The names of LightLLM, which has no labels but `method`.
    func writeLightLLM(_ state: State, _ engine: EngineStatistics, to text: inout MetricsText) {
        let finished = state.finished.values.reduce(0, +)
        text.counter("lightllm_request_count", "The total number of requests", state.requests)
        text.counter("lightllm_request_success", "The number of successful requests", finished)
        text.counter("lightllm_request_failure", "The number of failed requests", state.failures)
        text.counter(
            "lightllm_request_cancelled", "The number of requests whose client went away",
            engine.cancelledRequests)
        text.counter(
            "lightllm_request_expired", "The number of requests whose turn did not come in time",
            engine.expiredRequests)
        text.counter("lightllm_prompt_tokens", "The number of prompt tokens computed", engine.promptTokens)
        text.counter("lightllm_generation_tokens", "The number of tokens generated", engine.generatedTokens)
        text.counter(
            "lightllm_prefix_cache_hit_tokens", "The number of prompt tokens found in the cache",
            engine.cachedTokens)
        text.counter("lightllm_request_pauses", "How often a running request was paused", engine.pauses)
        text.counter("lightllm_engine_steps", "The number of steps the engine has run", engine.steps)
        for (method, steps) in [("prefill", engine.prefillSteps), ("decode", engine.decodeSteps)] {
            text.counter(
                "lightllm_batch_inference_count", "The number of steps", labels: "method=\"\(method)\"",
                steps.count)
        }
        for (method, steps) in [("prefill", engine.prefillSteps), ("decode", engine.decodeSteps)] {
            Histogram(steps).write(
                "lightllm_batch_inference_duration_bucket", "Seconds of a step",
                labels: "method=\"\(method)\"",
                to: &text)
        }
        Histogram(engine.promptsPerStep).write(
            "lightllm_batch_next_size", "Requests whose prompts a step computes", to: &text)
        text.gauge("lightllm_queue_size", "The number of waiting requests", Double(engine.waiting))
        text.gauge("lightllm_batch_current_size", "The number of running requests", Double(engine.running))
        text.gauge("lightllm_batch_pause_size", "The number of paused requests", Double(engine.paused))
        text.gauge(
            "lightllm_batch_current_max_tokens", "Token slots that running requests may come to use",
            Double(engine.peakSlots))
        text.gauge("lightllm_kv_slots", "Token slots of the key-value cache", Double(engine.totalSlots))
        text.gauge(
            "lightllm_kv_slots_free", "Free token slots of the key-value cache", Double(engine.freeSlots))
        let requests = state.lightLLM
        state.validation.write(
            "lightllm_request_validation_duration", "Seconds to check a request", to: &text)
        for (histogram, name, help) in [
            (requests.total, "request_duration", "Seconds of a request"),
            (requests.total, "request_inference_duration", "Seconds of a request"),
            (
                requests.queue, "request_queue_duration_bucket",
                "Seconds before a request begins to be computed"
            ),
            (requests.firstToken, "request_first_token_duration", "Seconds to the first token"),
            (
                requests.perToken, "request_mean_time_per_token_duration",
                "Seconds per token after the first"
            ),
            (requests.promptTokens, "request_input_length", "Prompt tokens of a request"),
            (requests.maxNewTokens, "request_max_new_tokens", "The most tokens that an answer may have"),
            (requests.generatedTokens, "request_generated_tokens", "Tokens of an answer"),
            (requests.cachedTokens, "cache_length", "Prompt tokens of a request found in the cache"),
            (state.cacheRatio, "cache_ratio", "The part of a prompt found in the cache"),
        ] {
            histogram.write("lightllm_" + name, help, to: &text)
        }
    }

    /// What the part of a model that sees did and keeps.
    func writeImages(_ images: ImageStatistics, to text: inout MetricsText) {
        text.counter("lightllm_images_encoded", "The number of images looked at", images.encoded)
        text.counter(
            "lightllm_images_found", "The number of images whose features were there", images.found)
        text.gauge("lightllm_image_cache_images", "Images whose features are kept", Double(images.kept))
        text.gauge("lightllm_image_cache_tokens", "Tokens of these images", Double(images.keptTokens))
        text.gauge(
            "lightllm_image_queue_size", "Requests that wait for room for their images",
            Double(images.waiting))
    }

    /// The names of vLLM, old spellings beside the new, for dashboards and autoscalers.
    func writeVLLM(_ state: State, _ engine: EngineStatistics, to text: inout MetricsText) {
        let labels = "model_name=\"\(MetricsText.escaped(modelName))\",engine=\"0\""
        let use = Double(engine.usedSlots) / Double(max(engine.totalSlots, 1))
        text.gauge("vllm:num_requests_running", "Requests that run", labels: labels, Double(engine.running))
        text.gauge("vllm:num_requests_waiting", "Requests that wait", labels: labels, Double(engine.waiting))
        for name in ["vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"] {
            text.gauge(name, "The part of the cache in use, 1 for all", labels: labels, use)
        }
        for name in ["vllm:prefix_cache", "vllm:gpu_prefix_cache"] {
            text.counter(
                name + "_queries", "Prompt tokens looked up in the cache", labels: labels,
                engine.promptTokens + engine.cachedTokens)
            text.counter(
                name + "_hits", "Prompt tokens found in the cache", labels: labels, engine.cachedTokens)
        }
        text.counter("vllm:num_preemptions", "Requests interrupted", labels: labels, engine.pauses)
        text.counter(
            "vllm:prompt_tokens", "Prompt tokens", labels: labels, engine.promptTokens + engine.cachedTokens)
        text.counter("vllm:generation_tokens", "Tokens generated", labels: labels, engine.generatedTokens)
        for reason in FinishReason.allCases {
            text.counter(
                "vllm:request_success", "Requests answered",
                labels: labels + ",finished_reason=\"\(reason.rawValue)\"", state.finished[reason] ?? 0)
        }
        let requests = state.vLLM
        for (histogram, name, help) in [
            (requests.firstToken, "time_to_first_token_seconds", "Seconds to the first token"),
            (requests.betweenTokens, "inter_token_latency_seconds", "Seconds between tokens"),
            (requests.betweenTokens, "time_per_output_token_seconds", "Seconds between tokens"),
            (requests.perToken, "request_time_per_output_token_seconds", "Mean seconds of a token"),
            (requests.total, "e2e_request_latency_seconds", "Seconds of a request"),
            (requests.queue, "request_queue_time_seconds", "Seconds before a request begins"),
            (requests.prefill, "request_prefill_time_seconds", "Seconds from there to the first token"),
            (requests.decode, "request_decode_time_seconds", "Seconds from there to the last"),
            (requests.promptTokens, "request_prompt_tokens", "Prompt tokens of a request"),
            (requests.generatedTokens, "request_generation_tokens", "Tokens of an answer"),
            (requests.maxNewTokens, "request_max_num_generation_tokens", "The most tokens of an answer"),
            (requests.maxNewTokens, "request_params_max_tokens", "max_tokens of a request"),
            (state.answersPerRequest, "request_params_n", "n of a request"),
        ] {
            histogram.write("vllm:" + name, help, labels: labels, to: &text)
        }
        Histogram(engine.stepTokens).write(
            "vllm:iteration_tokens_total", "Tokens of a step", labels: labels, to: &text)
        text.gauge(
            "vllm:cache_config_info", "How the cache is laid out",
            labels: labels + ",block_size=\"1\",num_gpu_blocks=\"\(engine.totalSlots)\"", 1)
    }
}
