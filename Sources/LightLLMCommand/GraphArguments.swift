import ArgumentParser
import CUDABackend

/// LightLLM's flags for graphs, which GPUs alone have.
struct GraphArguments: ParsableArguments {
    @Flag(
        name: .customLong("disable_cudagraph"),
        help:
            "Launch kernels one by one; by default a GPU replays steps that only go on with answers as graphs."
    )
    var disablesGraphs = false

    @Option(
        name: .customLong("graph_max_batch_size"),
        help: "The most sequences of a step that is replayed as a graph.")
    var rows = GraphLimits().rows

    @Option(
        name: .customLong("graph_max_len_in_batch"),
        help: "The most tokens of a sequence in such a step; 0 for any number.")
    var length = 0

    /// Nil: no graphs.
    var limits: GraphLimits? {
        guard !disablesGraphs else { return nil }
        var limits = GraphLimits()
        (limits.rows, limits.length) = (rows, length == 0 ? nil : length)
        return limits
    }

    func validate() throws {
        try require(rows > 0, "graph_max_batch_size", "at least 1", rows)
        try require(length >= 0, "graph_max_len_in_batch", "at least 0", length)
    }
}
