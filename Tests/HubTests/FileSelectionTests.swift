import Testing

@testable import Hub

@Suite struct FileSelectionTests {
    private func choose(_ selection: FileSelection, _ paths: [String]) throws -> ChosenFiles {
        try selection.choose(from: paths, of: "o/m")
    }

    private let companions = [
        "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "tokenizer.model",
        "chat_template.jinja", "merges.txt", "vocab.json", "qwen.tiktoken",
    ]

    @Test func safetensorsComeBeforeArchives() throws {
        let others = [
            "README.md", ".gitattributes", "modeling_odd.py", "pytorch_model.bin", "tf_model.h5",
            "flax_model.msgpack", "onnx/model.onnx", "original/consolidated.00.pth",
            "pytorch_model.bin.index.json.bak", "consolidated.safetensors", "model.fp16.safetensors",
            "model-q4.gguf", "flax_model.msgpack.index.json", "sub/config.json", "training_args.bin",
        ]
        let weights = [
            "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
            "model.safetensors.index.json",
        ]
        let chosen = try choose(.model, (others + weights + companions).shuffled())
        #expect(chosen.paths == (weights + companions).sorted() && chosen.main == nil)
        let archives = ["pytorch_model-00001-of-00001.bin", "pytorch_model.bin.index.json"]
        let old = try choose(.model, archives + companions + ["training_args.bin", "x.gguf"])
        #expect(old.paths == (archives + companions).sorted())
        let odd = try choose(.model, ["gptq_model-4bit-128g.safetensors", "config.json"])
        #expect(odd.paths == ["config.json", "gptq_model-4bit-128g.safetensors"])
    }

    @Test func variantsAreWords() throws {
        let paths = [
            "m-Q4_0.gguf", "m-IQ4_0.gguf", "m.Q4_K_M.gguf", "m-Q4_K_S.gguf", "mmproj-m-F16.gguf",
            "big/m-Q8_0-00001-of-00002.gguf", "big/m-Q8_0-00002-of-00002.gguf", "imatrix-Q6_K.gguf",
            "README.md",
        ]
        #expect(try choose(.variant("q4_0"), paths).main == "m-Q4_0.gguf")
        #expect(try choose(.variant("Q4_K_S"), paths).paths == ["m-Q4_K_S.gguf"])
        #expect(try choose(.variant("m-IQ4_0.gguf"), paths).main == "m-IQ4_0.gguf")
        let split = try choose(.variant("Q8_0"), paths)
        #expect(split.main == "big/m-Q8_0-00001-of-00002.gguf" && split.paths.count == 2)
        #expect(try choose(.model, paths).main == "m.Q4_K_M.gguf")
        #expect(try choose(.model, ["only-Q2_K.gguf", "README.md"]).main == "only-Q2_K.gguf")
        for variant in ["Q4_K", "F16", "Q6_K", "Q4", ""] {
            #expect(throws: HubError.self) { try choose(.variant(variant), paths) }
        }
        #expect(throws: HubError.ambiguous("o/m", choices: ["a-Q4_0", "b-Q4_0"])) {
            try choose(.variant("Q4_0"), ["b-Q4_0.gguf", "a-Q4_0.gguf"])
        }
        #expect(throws: HubError.ambiguous("o/m", choices: ["a-Q4_0", "a-Q8_0"])) {
            try choose(.model, ["a-Q8_0.gguf", "a-Q4_0.gguf"])
        }
    }

    @Test func patternsChooseAlone() throws {
        let paths = ["config.json", "a.safetensors", "sub/b.safetensors", "x-Q4_0.gguf", "code.py"]
        #expect(
            try choose(.matching(["*.safetensors"]), paths).paths == ["a.safetensors", "sub/b.safetensors"])
        #expect(try choose(.matching(["x-*.gguf"]), paths).main == "x-Q4_0.gguf")
        #expect(
            try choose(.matching(["code.py", "config.json"]), paths).paths == ["config.json", "code.py"])
        #expect(throws: HubError.noFiles("o/m", wanted: "a file that matches '*.bin'", found: paths)) {
            try choose(.matching(["config.json", "*.bin"]), paths)
        }
        #expect(throws: HubError.self) { try choose(.model, ["config.json", "tf_model.h5"]) }
    }
}

@Suite struct RemotePathTests {
    @Test(arguments: [
        "", "/etc/passwd", "../x", "a/../../x", "a/..", "..", ".", "a//b", "a/./b", "a\\..\\b", "a\0b",
        "a\nb", "a/",
        String(repeating: "a", count: 300), Array(repeating: "a", count: 17).joined(separator: "/"),
    ])
    func refusesWhatLeadsElsewhere(_ text: String) { #expect(RemotePath(text) == nil) }

    @Test(arguments: ["a", "a/b.c", "..a", "a..b", "é/ü", "a b"])
    func takesNames(_ text: String) { #expect(RemotePath(text)?.description == text) }
}
