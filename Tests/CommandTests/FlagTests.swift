import ArgumentParser
import Tensors
import LightLLM
import Testing

@testable import LightLLMCommand

@Suite struct FlagTests {
    private func parse(_ arguments: String...) throws -> ServeArguments {
        let command = try LightLLMCommand.parseAsRoot(try normalizedFlags(arguments))
        return try #require(command as? Serve).arguments
    }

    @Test func everySpellingIsUnderstood() throws {
        for arguments in [
            ["--max_total_token_num", "99"], ["--max-total-token-num", "99"], ["--max_total_token_num=99"],
            ["--max-total-token-num=99"], ["--max_total", "99"], ["--max_total_tok=99"],
        ] {
            let parsed = try LightLLMCommand.parseAsRoot(
                normalizedFlags(["serve", "--model_dir", "x"] + arguments))
            #expect((parsed as? Serve)?.arguments.maxTotalTokens == 99, "\(arguments)")
        }
        #expect(try parse("--model_dir=x", "--mem_faction", "0.5").memoryFraction == 0.5)
        #expect(try parse("--model-dir", "a-b_c", "--model_name=my-model").modelName == "my-model")
        #expect(try parse("--model_dir", "x", "--eos_id", "1", "2").endTokens == [1, 2])
        #expect(try parse("--model_dir", "x", "--profile", "trace.json").profile == "trace.json")
        #expect(try parse("--model_dir", "/m/name.gguf").servedName == "name")
        #expect(try parse("--model_dir", "x", "--trust_remote_code", "--tokenizer_mode", "auto").port == 8000)
    }

    @Test(arguments: [
        ["--tp", "0"], ["--port", "99999"], ["--mem_fraction", "1.5"], ["--data_type", "int8"],
        ["--max_total_token_num", "0"],
        ["--running_max_req_size", "0"], ["--tokenizer_mode", "odd"], ["--port"],
        ["--batch_max_tokens", "x"],
    ])
    func badValuesAreRefused(_ arguments: [String]) {
        #expect(throws: (any Error).self) {
            try LightLLMCommand.parseAsRoot(normalizedFlags(["serve", "--model_dir", "x"] + arguments))
        }
    }

    @Test func weightTypesHaveLightLLMsNames() throws {
        for (name, format) in [
            ("none", nil), ("int8", .int8), ("int4", .int4), ("w8a16", .int8), ("ao-w8a16", .int8),
            ("ppl-w4a16-128", .int4), ("ao-w4a16-64", .int4),
        ] as [(String, WeightFormat?)] {
            let parsed = try parse("--model_dir", "x", "--quant-type", name)
            #expect(try parsed.quantization.format() == format, "\(name)")
            #expect(try parsed.options().engine.weightFormat == format, "\(name)")
        }
        #expect(try parse("--model_dir", "x").quantization.format() == nil)
        for name in ["vllm-w8a8", "vllm-fp8w8a8", "flashllm-w6a16", "int3", ""] {
            #expect {
                try parse("--model_dir", "x", "--quant_type", name)
            } throws: {
                LightLLMCommand.message(for: $0).contains("--quant_type must be one of")
            }
        }
    }
}
