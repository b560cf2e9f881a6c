public import ArgumentParser
import Foundation
public import LightLLM
import Tensors

/// Refuses a flag's value unless the condition holds.
func require(_ holds: Bool, _ flag: String, _ expected: String, _ found: some Any) throws {
    guard holds else { throw ValidationError("--\(flag) must be \(expected), found \(found)") }
}

/// What every command that runs a model wants to know.
struct ModelArguments: ParsableArguments {
    @Option(
        name: .customLong("model_dir"), help: "A Hugging Face folder, a GGUF file, or OWNER/NAME of a hub.")
    var modelDirectory: String

    @Option(name: .customLong("device"), help: "Where the model computes: auto, cpu or cuda.")
    var device = DeviceChoice.auto

    @Option(name: .customLong("threads"), help: "Threads that compute; by default one per processor.")
    var threads: Int?

    var options: TextOptions {
        var options = TextOptions()
        (options.engine.device, options.engine.threads) = (device, threads)
        return options
    }

    /// With `images` the model also looks at images, if it can.
    func load(images: ImageOptions? = nil) async throws -> LoadedTextModel {
        var options = options
        options.engine.images = images
        return try LoadedTextModel(path: await localModel(modelDirectory), options: options)
    }

    func validate() throws {
        if let threads, threads < 1 {
            throw ValidationError("--threads must be at least 1, found \(threads)")
        }
    }
}

extension DeviceChoice: ExpressibleByArgument {}

extension CacheElement {
    /// The spellings of floating-point types that LightLLM takes.
    static let floats: [String: CacheElement] = [
        "fp32": .float32, "float32": .float32, "fp16": .float16, "float16": .float16, "bf16": .bfloat16,
        "bfloat16": .bfloat16,
    ]

    init?(name: String) {
        guard let element = name == "int8" ? .int8 : Self.floats[name] else { return nil }
        self = element
    }
}
