import ArgumentParser
import Foundation
import Testing

@testable import LightLLMCommand

@Suite struct ModelSourceTests {
    @Test func whatExistsIsAPath() throws {
        let folder = NSTemporaryDirectory() + "source-" + UUID().uuidString
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try FileManager.default.createDirectory(atPath: folder + "/a", withIntermediateDirectories: true)
        #expect(ModelSource(folder + "/a") == .path(folder + "/a"))
        #expect(ModelSource(folder + "/none") == .path(folder + "/none"))
        for path in ["none", "./a/b", "../a", "a/b/c", "/a/b", "a b/c", "x.gguf"] {
            #expect(ModelSource(path) == .path(path), "\(path)")
        }
        #expect(ModelSource("/m/name.gguf").modelName == "name")
    }

    @Test func ownersAndNamesAreAHubs() throws {
        guard case .hub(let reference) = ModelSource("Qwen/Qwen2.5-0.5B-GGUF@v1:Q4_0") else {
            Issue.record("expected a model of a hub")
            return
        }
        #expect("\(reference)" == "Qwen/Qwen2.5-0.5B-GGUF@v1:Q4_0")
        #expect(ModelSource("Qwen/Qwen2.5-0.5B").modelName == "Qwen/Qwen2.5-0.5B")
        let arguments = try ServeArguments.parse(["--model_dir", "Qwen/Qwen2.5-0.5B"])
        #expect(arguments.servedName == "Qwen/Qwen2.5-0.5B")
    }

    @Test(arguments: [
        ["a/b/c"], [], ["a/b:Q4", "--include", "x"], ["../x"],
    ])
    func badPullsAreRefused(_ arguments: [String]) {
        #expect(throws: (any Error).self) {
            try LightLLMCommand.parseAsRoot(normalizedFlags(["pull"] + arguments))
        }
    }

    @Test func pullTakesPatterns() throws {
        let command = try LightLLMCommand.parseAsRoot(
            normalizedFlags(["pull", "gpt2@v1", "--include", "*.json", "--file", "a.bin"]))
        let pull = try #require(command as? Pull)
        #expect(pull.model == "gpt2@v1" && pull.patterns == ["*.json", "a.bin"])
    }
}
