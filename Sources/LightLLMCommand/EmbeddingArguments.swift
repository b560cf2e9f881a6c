import ArgumentParser
import Layers
import LightLLM
import Serving
import TextGeneration

/// Whether the server turns texts into vectors instead of going on with them.
struct EmbeddingArguments: ParsableArguments {
    @Flag(
        name: .customLong("embedding"),
        help:
            "Serve embeddings (/v1/embeddings) and nothing that generates; the model is loaded without its head."
    )
    var isOn = false

    @Option(
        name: .customLong("pooling"),
        help:
            "How the states of a text become one vector: last, mean or cls; by default as the model's modules.json says, or last."
    )
    var pooling: String?

    func validate() throws {
        guard let pooling else { return }
        let names = Pooling.allCases.map(\.rawValue)
        try require(names.contains(pooling), "pooling", names.joined(separator: ", "), pooling)
        guard isOn else { throw ValidationError("--pooling is for --embedding") }
    }

    func apply(to options: inout TextOptions) {
        guard isOn else { return }
        options.engine.head = .none
        options.pooling = pooling.flatMap { Pooling(rawValue: $0) }
    }
}
