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
        name: .customLong("nccl_port"),
        help:
            "The port that it listens on; by default any that is free, or 28765 for ranks on several machines without mpirun."
    )
    var port = 0

    @Option(
        name: .customLong("nnodes"),
        help: "Machines that the ranks are on, each of which starts its own without mpirun.")
    var nodes = 1

    @Option(name: .customLong("node_rank"), help: "Which of these machines this one is; rank 0 is on 0.")
    var node = 0

    /// Ranks of one machine, if each has as many.
    var sizeOfNode: Int { size / nodes }

    func validate() throws {
        try require((1...512).contains(size), "tp", "between 1 and 512", size)
        try require((1...512).contains(nodes), "nnodes", "between 1 and 512", nodes)
        try require(
            size.isMultiple(of: nodes), "tp", "a multiple of --nnodes \(nodes)", size)
        try require((0..<nodes).contains(node), "node_rank", "at least 0 and below --nnodes", node)
        guard nodes == 1 || host != "127.0.0.1" else {
            throw ValidationError("--nnodes is \(nodes): --nccl_host must be the address of machine 0")
        }
        try require((0...65_535).contains(port), "nccl_port", "between 0 and 65535", port)
    }
}
