import Foundation
import JSON
import Layers
import Models
import OrderedCollections
import ReferenceBackend
import Tensors
import Testing
import Weights

/// A checkpoint with another config.json.
struct Altered: Checkpoint {
    let original: any Checkpoint
    let configuration: JSONValue

    var path: String { original.path }
    var generationConfiguration: JSONValue? { nil }
    var tensorNames: [String] { original.tensorNames }
    var byteCount: Int { original.byteCount }
    var metadata: GGUFMetadata? { nil }

    func tensor(_ name: String) throws(CheckpointError) -> HostTensor? { try original.tensor(name) }
}

/// What no model can be built from gets an error that names it, never a trap.
@Suite struct RefusalTests {
    private func build(_ name: String, changing changes: [String: JSONValue?]) throws -> any LanguageModel {
        let original = try openCheckpoint(Goldens.path("models", name))
        var members = original.configuration.object ?? [:]
        for (key, value) in changes { members[JSONKey(key)] = value }
        return try buildModel(
            Altered(original: original, configuration: .object(members)), on: ReferenceBackend())
    }

    /// Each number of each config.json becomes strange in turn.
    @Test(arguments: ModelGoldenTests.names)
    func strangeNumbersAreRefused(_ name: String) throws {
        let config = try Goldens.json("models", name, "config.json").object ?? [:]
        for (key, value) in config where value.int != nil {
            for strange in [-1, 0, 1, 3, 1 << 15, 1 << 30, 1 << 40, Int.max] {
                do {
                    _ = try build(name, changing: [key.string: .integer(strange)])
                } catch {
                    #expect(
                        error is ConfigError || error is CheckpointError || error is RotaryError,
                        "\(name), \(key.string) \(strange): \(error)")
                }
            }
            for strange in [JSONValue.null, .string("x"), .array([]), .number(0.5)] {
                _ = try? build(name, changing: [key.string: strange])
            }
        }
    }

    @Test(arguments: ModelGoldenTests.names)
    func noLayersAreRefused(_ name: String) throws {
        let keys = ["num_hidden_layers", "n_layer", "num_layers"]
        let config = try Goldens.json("models", name, "config.json")
        let key = try #require(keys.first { config[$0] != nil })
        #expect(throws: ConfigError.outOfRange(key, found: 0)) {
            try build(name, changing: [key: .integer(0)])
        }
    }

    @Test func namesWhatIsWrong() throws {
        let llama = try #require(ModelGoldenTests.names.first { $0.contains("llama") })
        func refusal(_ changes: [String: JSONValue?]) -> String {
            do {
                _ = try build(llama, changing: changes)
                return "accepted"
            } catch { return "\(error)" }
        }
        #expect(refusal(["hidden_act": .string("gulp")]).contains("unknown activation 'gulp'"))
        #expect(refusal(["model_type": .string("gpt9")]).contains("model_type 'gpt9' is not supported"))
        #expect(refusal(["model_type": nil]).contains("model_type is missing"))
        #expect(refusal(["num_attention_heads": .integer(5)]).contains("must be a multiple"))
        #expect(refusal(["intermediate_size": .integer(7)]).contains("expected shape [7, "))
        #expect(refusal(["hidden_size": nil]).contains("hiddenSize is missing"))
        #expect(refusal(["rope_scaling": .object(["rope_type": .string("twisty")])]).contains("twisty"))
        #expect(refusal(["layer_types": .array([.string("full_attention")])]).contains("layer_types has 1"))
    }
}
