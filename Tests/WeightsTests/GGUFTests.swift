import JSON
import Tensors
import Testing

@testable import Weights

@Suite struct GGUFTests {
    let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    @Test func readsMetadataAsConfiguration() throws {
        let path = try folder.write("model.gguf", GGUFBuilder.llama().bytes)
        let checkpoint = try openCheckpoint(path)
        let config = checkpoint.configuration
        #expect(config["model_type"]?.string == "llama" && config["num_hidden_layers"]?.int == 1)
        #expect(config["vocab_size"]?.int == 3 && config["tie_word_embeddings"]?.bool == true)
        #expect(config["rope_interleaved"]?.bool == true)
        #expect(abs((config["rms_norm_eps"]?.double ?? 0) - 1e-5) < 1e-9)
        let tensor = try #require(try checkpoint.tensor("model.embed_tokens.weight"))
        #expect(tensor.shape == [3, 4] && tensor.encoding == .float32)
        #expect(try checkpoint.tensor("token_embd.weight") == nil)
    }

    @Test func knowsTheNamesOfTensors() throws {
        let huggingFaceName = try #require(GGUFFamily.named("llama")).name
        #expect(huggingFaceName("blk.12.attn_q.weight") == "model.layers.12.self_attn.q_proj.weight")
        #expect(huggingFaceName("blk.0.attn_v.bias") == "model.layers.0.self_attn.v_proj.bias")
        #expect(huggingFaceName("output_norm.weight") == "model.norm.weight")
        #expect(huggingFaceName("rope_freqs.weight") == "rope_freqs.weight")
        #expect(huggingFaceName("blk.0.unknown.weight") == "blk.0.unknown.weight")
    }

    @Test func refusesTensorsThatDoNotFit() throws {
        for (dimensions, offset) in [
            ([4, 3], 1_000), ([5_000, 1], nil), ([4, .max], nil), ([4, 3], .max),
        ]
            as [([UInt64], UInt64?)]
        {
            var builder = GGUFBuilder.llama()
            builder.addTensor("x", dimensions: dimensions, type: 0, [], offset: offset)
            let path = try folder.write("bad.gguf", builder.bytes)
            #expect(throws: CheckpointError.self, "\(dimensions) \(offset ?? 0)") { try openCheckpoint(path) }
        }
        var builder = GGUFBuilder.llama()
        builder.addTensor("x", dimensions: [48, 1], type: 12, Array(repeating: 0, count: 144))
        let path = try folder.write("bad.gguf", builder.bytes)
        #expect(throws: CheckpointError.self, "48 is no multiple of 256") { try openCheckpoint(path) }
    }

    @Test func namesUnknownTensorTypesWhenUsed() throws {
        var builder = GGUFBuilder.llama()
        builder.addTensor("x", dimensions: [4], type: 99, [])
        let checkpoint = try openCheckpoint(folder.write("model.gguf", builder.bytes))
        #expect(throws: CheckpointError.unsupportedType(tensor: "x", "ggml 99")) {
            try checkpoint.tensor("x")
        }
    }

    @Test func refusesOtherVersionsAndFiles() throws {
        var builder = GGUFBuilder.llama()
        builder.version = 1
        let old = try folder.write("old.gguf", builder.bytes)
        #expect(throws: CheckpointError.self) { try openCheckpoint(old) }
        let other = try folder.write("other.gguf", Array("not a model".utf8))
        #expect(throws: CheckpointError.self) { try openCheckpoint(other) }
    }

    /// A file cut anywhere, or with any byte of its header changed, is refused or read, and nothing traps.
    @Test func survivesDamage() throws {
        let bytes = GGUFBuilder.llama().bytes
        for count in stride(from: 1, to: bytes.count, by: 3) {
            _ = try? openCheckpoint(folder.write("cut.gguf", Array(bytes[..<count])))
        }
        for index in bytes.indices {
            for value in [UInt8(0), 0x7F, 0xFF] {
                var damaged = bytes
                damaged[index] = value
                _ = try? openCheckpoint(folder.write("damaged.gguf", damaged))
            }
        }
    }
}
