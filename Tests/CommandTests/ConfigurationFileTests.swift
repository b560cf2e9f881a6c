import ArgumentParser
import Foundation
import Testing

@testable import LightLLMCommand

@Suite struct ConfigurationFileTests {
    private let dictionary = FlagDictionary(declared: .serve)

    private func uses(_ text: String) throws -> [FlagUse] {
        try ConfigurationFile.uses(text, "f", dictionary)
    }

    /// The server's flags with a file of this text.
    private func serve(
        _ text: String, _ arguments: [String] = [], environment: [String: String] = [:]
    ) throws -> Serve {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("\(UUID().uuidString).yaml")
            .path
        try Data(text.utf8).write(to: URL(fileURLWithPath: path))
        defer { try? FileManager.default.removeItem(atPath: path) }
        let line = try NormalizedArguments(["serve", "--config", path] + arguments, environment: environment)
        return try #require(try LightLLMCommand.parseAsRoot(line.arguments) as? Serve)
    }

    @Test func fileHasAllKindsOfFlags() throws {
        let serve = try serve(
            """
            # A comment with *stars* and &s.
            model: /models/x        # vLLM's spelling
            max-total-token-num: 4096
            mem_fraction: 0.50
            eos_id: [1, 2]
            api_key:
              - "a&b"
              - '*'
            trust_remote_code: true
            enable_prefix_caching: false
            log_level: ~
            nccl_port: 28765
            """)
        #expect(serve.arguments.modelDirectory == "/models/x" && serve.arguments.maxTotalTokens == 4096)
        #expect(serve.arguments.memoryFraction == 0.5 && serve.arguments.endTokens == [1, 2])
        #expect(serve.operation.access.keys == ["a&b", "*"] && serve.arguments.trustsRemoteCode)
        #expect(serve.arguments.disablesPromptCache && serve.startup.logLevel == "info")
    }

    @Test func commandLineBeatsFileBeatsEnvironment() throws {
        let environment = [
            "LIGHTLLM_PORT": "1", "LIGHTLLM_HOST": "env", "LIGHTLLM_MODEL_NAME": "env",
            "LIGHTLLM_EOS_ID": "7,8",
            "LIGHTLLM_TRUST_REMOTE_CODE": "1", "LIGHTLLM_API_KEY": "secret", "LIGHTLLM_NO_SUCH_FLAG": "1",
        ]
        let serve = try serve(
            "port: 2\nhost: file\nmax_model_len: 10\nuse_dynamic_prompt_cache: true",
            ["x", "--port", "3", "--max_req_total_len", "11", "--disable_dynamic_prompt_cache"],
            environment: environment)
        #expect(
            serve.arguments.port == 3 && serve.arguments.host == "file" && serve.arguments.modelName == "env")
        #expect(serve.arguments.endTokens == [7, 8] && serve.arguments.trustsRemoteCode)
        #expect(serve.arguments.maxRequestTokens == 11 && serve.operation.access.keys.isEmpty)
        #expect(serve.arguments.disablesPromptCache && !serve.arguments.usesPromptCache)
    }

    @Test(arguments: [
        ("port: 1\nno_such_flag: 2", "f:2: there is no flag 'no_such_flag'"),
        ("config: other", "f:1: there is no flag 'config'"),
        ("port: {a: 1}", "f:1: port must be a value or a list of values"),
        ("- port", "expected lines of 'flag: value'"), ("port: [1", "f"), ("port: 1\nport: 2", "port"),
        ("host: &a x\nmodel: *a", "f:1: anchors and aliases"),
        ("[a]: 1", "f:1: a flag's name must be a text"),
        (String(repeating: "[", count: 5000), "f"),
    ])
    func badFilesAreRefused(_ text: String, _ message: String) {
        #expect {
            _ = try uses(text)
        } throws: {
            LightLLMCommand.message(for: $0).contains(message)
        }
    }

    @Test func refusalsNameTheLine() {
        #expect {
            var resolver = FlagResolver(dictionary, isLenient: false)
            try resolver.add(try uses("port: 1\n\nenable-expert-parallel: true"))
        } throws: {
            LightLLMCommand.message(for: $0).contains("f:3: enable-expert-parallel is a flag of vLLM")
        }
    }

    @Test func switchedOffIsNotRefused() throws {
        var resolver = FlagResolver(dictionary, isLenient: false)
        try resolver.add(try uses("enable-expert-parallel: false\ntrust_remote_code: false"))
        #expect(resolver.flags.isEmpty && resolver.notes.isEmpty)
    }

    @Test func quantisationFilesCount() throws {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("\(UUID().uuidString).yaml")
            .path
        defer { try? FileManager.default.removeItem(atPath: path) }
        func format(_ text: String) throws -> String {
            try Data(text.utf8).write(to: URL(fileURLWithPath: path))
            return
                "\(try QuantizationArguments.parse(["--quant_type", "int8", "--quant_cfg", path]).format(), default: "none")"
        }
        #expect(try format("quant_type: w4a16") == "int4")
        #expect(try format("quant_type: none\nmix_bits: []") == "none")
        #expect(throws: (any Error).self) { try format("quant_type: vllm-w8a8") }
        #expect(throws: (any Error).self) {
            try format("quant_type: w4a16\nmix_bits:\n  - {layer_name: qkv_proj, quant_type: none}")
        }
        #expect(throws: (any Error).self) { try format("a: [") }
    }

    @Test func environmentThatWouldChangeAnswersIsRefused() {
        #expect(throws: Never.self) { try ServerEnvironment(["LIGHTLLM_NTK_ALPHA": "1"]) }
        #expect(throws: (any Error).self) { try ServerEnvironment(["LIGHTLLM_NTK_ALPHA": "2"]) }
    }
}
