import ArgumentParser
import LightLLM

/// Measures speed: of a model on this machine, of a server, or of a tokenizer.
struct Bench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Measure how fast a model, or a server, is.",
        subcommands: [BenchStatic.self, BenchServe.self, BenchPromptCache.self, BenchTokenizer.self])
}
