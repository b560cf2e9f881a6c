import ArgumentParser
import Foundation
import LightLLM

/// Brings flags to the one spelling that the options declare: `--max-req-total-len` means
/// `--max_req_total_len`, and `--mem_faction`, an old misspelling, `--mem_fraction`.
func normalizedFlags(_ arguments: [String]) -> [String] {
    arguments.map { argument in
        guard argument.hasPrefix("--"), argument.count > 2 else { return argument }
        let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        var name = "--" + parts[0].dropFirst(2).replacing("-", with: "_")
        if name == "--mem_faction" { name = "--mem_fraction" }
        return parts.count > 1 ? "\(name)=\(parts[1])" : name
    }
}

/// What every command that runs a model wants to know.
struct ModelArguments: ParsableArguments {
    @Option(name: .customLong("model_dir"), help: "A Hugging Face folder or a GGUF file.")
    var modelDirectory: String

    @Option(name: .customLong("threads"), help: "Threads that compute; by default one per processor.")
    var threads: Int?

    var options: TextOptions {
        var options = TextOptions()
        options.engine.threads = threads
        return options
    }

    func validate() throws {
        if let threads, threads < 1 {
            throw ValidationError("--threads must be at least 1, found \(threads)")
        }
    }
}
