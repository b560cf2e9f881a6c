import LightLLM
import Testing

@testable import LightLLMCommand

@Suite struct StaticTableTests {
    private let result: StaticResult

    init() {
        // 2 prompts of 100 tokens in 0.5 s, and 4 tokens each in steps of 10, 20, 30 and 40 ms.
        let run = BatchThroughput(
            prefill: Throughput(tokens: 200, duration: .milliseconds(500)),
            decode: Throughput(tokens: 8, duration: .milliseconds(100)), steps: [0.01, 0.02, 0.03, 0.04])
        let slow = BatchThroughput(
            prefill: Throughput(tokens: 200, duration: .seconds(9)),
            decode: Throughput(tokens: 8, duration: .seconds(9)), steps: [2, 2, 2, 3])
        result = StaticResult(StaticBatch(inputLength: 100, outputLength: 4, size: 2), [slow, run, run])
    }

    @Test func figuresAreThoseOfTheTypicalRun() {
        let table = StaticTable(mode: "int8", worldSize: 1)
        #expect(
            table.log(result) == """
                prefill time cost: 500.0
                0 step cost time: 10.0
                3 step cost time: 40.0
                time total cost(ms): 600.0
                """)
        #expect(
            table.markdown([result]) == """
                | mode | world_size | batch_size | input_len | output_len | prefill_cost | first_step_latency | \
                last_step_latency | mean_latency | prefill_throughput | decode_throughput | total_throughput | \
                card_num_per_qps |
                | ------ | ------ | ------ | ------ | ------ | ------ | ------ | ------ | ------ | ------ | \
                ------ | ------ | ------ |
                | int8 | 1 | 2 | 100 | 4 | 500.0000 | 10.0000 | 40.0000 | 25.0000 | 400.0000 | 80.0000 | \
                346.6667 | 0.3000 |
                """)
    }
}
