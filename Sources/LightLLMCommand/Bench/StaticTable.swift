/// The lines and the Markdown table of LightLLM's `test_llama.py` and `test_settings.py`.
struct StaticTable {
    /// How the model computes.
    let mode: String
    /// Devices that share it.
    let worldSize: Int

    /// The times of the typical run, in milliseconds.
    func log(_ result: StaticResult) -> String {
        let run = result.typical
        let steps = run.steps.enumerated().filter { $0.offset % 100 == 0 || $0.offset == run.steps.count - 1 }
        return
            (["prefill time cost: \(1000 * run.prefill.seconds)"]
            + steps.map { "\($0.offset) step cost time: \(1000 * $0.element)" }
            + ["time total cost(ms): \(1000 * run.seconds)"]).joined(separator: "\n")
    }

    func markdown(_ results: [StaticResult]) -> String {
        let shape = ["mode", "world_size", "batch_size", "input_len", "output_len"]
        let rows = results.map { result in
            [mode, "\(worldSize)", "\(result.batch.size)", "\(result.batch.inputLength)"]
                + ["\(result.batch.outputLength)"] + figures(result).map { formatted($0.value, 4) }
        }
        let heading = shape + (results.first.map(figures) ?? []).map(\.name)
        return ([heading, heading.map { _ in "------" }] + rows)
            .map { "| " + $0.joined(separator: " | ") + " |" }.joined(separator: "\n")
    }

    /// Milliseconds, tokens a second, and devices for one request a second, of the typical run. Nil where nothing was
    /// decoded.
    func figures(_ result: StaticResult) -> [(name: String, value: Double?)] {
        let (batch, run) = (result.batch, result.typical)
        let steps = run.steps.map { 1000 * $0 }
        let tokens = Double(batch.size * (batch.inputLength + batch.outputLength))
        return [
            ("prefill_cost", 1000 * run.prefill.seconds),
            ("first_step_latency", steps.first), ("last_step_latency", steps.last),
            ("mean_latency", run.decode.map { 1000 * $0.seconds / Double(batch.outputLength) }),
            ("prefill_throughput", run.prefill.perSecond), ("decode_throughput", run.decode?.perSecond),
            ("total_throughput", tokens / run.seconds),
            ("card_num_per_qps", Double(worldSize) * run.seconds / Double(batch.size)),
        ]
    }
}
