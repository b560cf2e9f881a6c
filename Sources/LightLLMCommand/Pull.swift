import ArgumentParser
import Foundation
import Hub

/// Fetches a model ahead.
struct Pull: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Fetch a model from a Hugging Face hub into the cache, and print where it lies.",
        discussion: """
            Takes safetensors, or else torch archives, with configuration and vocabulary; or else a GGUF file. The \
            cache is that of Hugging Face's own tools. Reads HF_ENDPOINT, HF_TOKEN, HF_HOME, HF_HUB_CACHE and \
            HF_HUB_OFFLINE. --model_dir of other commands takes the same names.
            """)

    @Argument(
        help: "OWNER/NAME, with @REVISION for another than main, and :Q4_K_M for one of several GGUF files.")
    var model: String

    @Option(
        name: [.customLong("include"), .customLong("file")],
        help: "Instead: files whose path matches a pattern, such as '*.gguf', or is this; may be repeated.")
    var patterns: [String] = []

    func validate() throws {
        guard let reference = ModelReference(model) else {
            throw ValidationError("expected OWNER/NAME[@REVISION][:VARIANT], found '\(model)'")
        }
        guard reference.variant == nil || patterns.isEmpty else {
            throw ValidationError("expected :VARIANT or --include, found both")
        }
    }

    func run() async throws {
        guard let reference = ModelReference(model) else { return }
        let selection: FileSelection =
            patterns.isEmpty ? reference.variant.map { .variant($0) } ?? .model : .matching(patterns)
        print(try await pullModel(reference.repository, selection).path)
    }
}
