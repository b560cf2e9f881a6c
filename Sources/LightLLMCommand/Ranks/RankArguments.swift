import ArgumentParser

/// LightLLM's flags of tensor parallelism.
struct RankArguments: ParsableArguments {
    @Option(
        name: [.customLong("tp"), .customLong("world_size")],
        help:
            "Ranks that share out the model; more than 1 are processes that mpirun starts, here or elsewhere."
    )
    var size = 1

    @Option(
        name: .customLong("nccl_host"),
        help: "The address of rank 0's machine at which it listens for the other ranks.")
    var host = "127.0.0.1"

    @Option(
        name: .customLong("nccl_port"), help: "The port that it listens on; by default any that is free.")
    var port = 0

    func validate() throws {
        try require((1...512).contains(size), "tp", "between 1 and 512", size)
        try require((0...65_535).contains(port), "nccl_port", "between 0 and 65535", port)
    }
}
