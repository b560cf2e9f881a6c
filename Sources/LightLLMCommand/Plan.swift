import ArgumentParser
import Foundation
import JSON
import LightLLM
import OrderedCollections
import Tensors
import Weights

/// Says what a model takes of the memory, without loading it.
struct Plan: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Print what a model would take of the memory, without loading it.",
        discussion: """
            Takes the flags of `serve`. Ends with code 1 when the model does not fit, and says what would. With --tp it \
            is the rank that takes the most.
            """)

    @OptionGroup var arguments: ServeArguments
    @OptionGroup var media: MediaArguments

    @Option(
        name: .customLong("available"),
        help:
            "Memory to plan for, as 16G, 800M or a number of bytes; by default what this machine has. With --tp what one rank may take."
    )
    var available: ByteCount?

    @Option(name: .customLong("length"), help: "Tokens of a request, to say how many run at the same time.")
    var length: Int?

    @Flag(name: .customLong("json"), help: "Print one JSON object.")
    var printsJSON = false

    func validate() throws {
        if let length { try require(length > 0, "length", "at least 1", length) }
    }

    func run() async throws {
        var options = try arguments.options()
        options.engine.images = try media.options(ProcessInfo.processInfo.environment).engine
        let checkpoint = try openCheckpoint(await localModel(arguments.modelDirectory))
        let tokenizer = try tokenizer(of: checkpoint)
        let plan = try withExtendedLifetime(tokenizer) {
            try MemoryPlan.largest(
                of: arguments.ranks.size, ranksOfHost: arguments.ranks.sizeOfNode, checkpoint, options.engine,
                available: available?.bytes)
        }
        let length = min(length ?? plan.requestTokens, plan.requestTokens)
        print(printsJSON ? json(plan, length).serialized : table(plan, length))
        do {
            try plan.requireFit()
        } catch {
            write("error: \(error)\n\(advice(plan))", to: .standardError)
            throw ExitCode(1)
        }
    }

    private func table(_ plan: MemoryPlan, _ length: Int) -> String {
        func row(_ name: String, _ bytes: Int, _ note: String = "") -> String {
            let figure = String(format: "%.1f", Double(bytes) / 1_048_576)
            let padding = String(repeating: " ", count: max(0, 12 - figure.count))
            return name.padding(toLength: 16, withPad: " ", startingAt: 0) + padding + figure + " MiB  "
                + note
        }
        return [
            plan.shard.isWhole
                ? nil : "rank \(plan.shard.index) of \(plan.shard.count), which takes the most",
            row("program", plan.program, "vocabulary included"),
            row("weights", plan.weights),
            row("activations", plan.activations, "the busiest step"),
            plan.images > 0
                ? row("images", plan.images, "what looks at them, the largest one, and features") : nil,
            row("cache", plan.cache, "\(plan.tokens) tokens of \(plan.bytesPerToken) bytes"),
            row("together", plan.total),
            plan.available.map {
                row("available", $0, "of which \(plan.fraction) may be taken beside the program")
            } ?? "available: the system does not say",
            "\(plan.requests(ofLength: length)) requests of \(length) tokens fit at the same time",
        ].compactMap(\.self).joined(separator: "\n")
    }

    private func json(_ plan: MemoryPlan, _ length: Int) -> JSONValue {
        [
            "rank": .integer(plan.shard.index), "ranks": .integer(plan.shard.count),
            "program_bytes": .integer(plan.program), "weight_bytes": .integer(plan.weights),
            "activation_bytes": .integer(plan.activations), "image_bytes": .integer(plan.images),
            "bytes_per_token": .integer(plan.bytesPerToken),
            "tokens": .integer(plan.tokens), "cache_bytes": .integer(plan.cache),
            "total_bytes": .integer(plan.total),
            "available_bytes": plan.available.map { .integer($0) } ?? .null,
            "request_length": .integer(length), "requests": .integer(plan.requests(ofLength: length)),
        ]
    }

    /// What would fit instead.
    private func advice(_ plan: MemoryPlan) -> String {
        let fitting = plan.fittingTokens
        if fitting >= 2 { return "--max_total_token_num \(fitting) would fit\n" }
        let least =
            plan.weights + plan.activations + plan.images + max(2, plan.requestTokens) * plan.bytesPerToken
        let needed = (Double(least) / plan.fraction / 1_048_576).rounded(.up)
        return """
            one request of \(plan.requestTokens) tokens needs \(Int(needed)) MiB available; fewer --batch_max_tokens or \
            --running_max_req_size lower the activations, --kv_cache_dtype int8 halves the cache

            """
    }
}

/// A number of bytes as people write it.
struct ByteCount: ExpressibleByArgument {
    let bytes: Int

    init?(argument: String) {
        let digits = argument.prefix { $0.isNumber || $0 == "." }
        let units = ["": 0, "k": 10, "m": 20, "g": 30, "t": 40]
        let unit = argument.dropFirst(digits.count).lowercased()
            .replacing("ib", with: "").replacing("b", with: "")
        guard let number = Double(digits), let shift = units[unit], number * Double(1 << shift) < 9e18 else {
            return nil
        }
        bytes = Int(number * Double(1 << shift))
    }
}
