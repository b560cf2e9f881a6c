import CCUDA
import CCUDAHost
import CPUBackend
import CUDABackend
import CUDARuntime
import Foundation
import GPUCheck
import JSON
import LightLLM
import Serving
import Tensors
import Testing
import Weights

/// What runs on a machine with a GPU, on the host.
@Suite(.serialized) struct GoldenTests {
    private static var folder: String {
        URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("Fixtures/goldens/models").path
    }

    /// The findings of a run of the section over some models.
    private func findings(_ names: [String], of root: String = folder) async throws -> (
        failures: Int, lines: [JSONValue]
    ) {
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("\(UUID()).jsonl")
        defer { try? FileManager.default.removeItem(at: file) }
        let recorder = try Recorder(section: "goldens", path: file.path)
        try await GPUCheck.checkGoldens(makeHostBackend(), root, names: names, recorder)
        let text = try String(decoding: Data(contentsOf: file), as: UTF8.self)
        let lines = try text.split(separator: "\n").map { try JSONValue(parsing: Array($0.utf8)) }
        return (recorder.failureCount, lines)
    }

    @Test func expertsAndHeadsHold() throws {
        let recorder = try Recorder(section: "experts", path: nil)
        try GPUCheck.checkExperts(makeHostBackend(), rows: 12, recorder)
        #expect(recorder.failureCount == 0)
    }

    @Test(arguments: [
        // With a head of 16 columns the cache of float16 is attended to by tensor cores.
        "tiny_qwen3", "tiny_mistral", "tiny_internlm2_reward",
    ])
    func recordedModelsHold(_ name: String) async throws {
        let found = try await findings([name])
        #expect(found.failures == 0)
        let compared = found.lines.compactMap { $0["compared"]?.int }.reduce(0, +)
        #expect(compared > 0 || name.hasSuffix("reward"))
        #expect(found.lines.contains { $0["name"]?.string?.contains("cache float16") == true })
    }

    /// A model that is not what was recorded, and one that cannot be loaded, are found out.
    @Test func differencesAreFound() async throws {
        let root = FileManager.default.temporaryDirectory.appendingPathComponent("\(UUID())")
        defer { try? FileManager.default.removeItem(at: root) }
        for name in ["changed", "broken"] {
            try FileManager.default.createDirectory(at: root, withIntermediateDirectories: true)
            try FileManager.default.copyItem(
                atPath: Self.folder + "/tiny_qwen3", toPath: root.path + "/" + name)
        }
        func edit(_ file: String, _ change: (String) -> String) throws {
            let url = root.appendingPathComponent(file)
            let text = try String(decoding: Data(contentsOf: url), as: UTF8.self)
            let changed = change(text)
            #expect(changed != text)
            try Data(changed.utf8).write(to: url)
        }
        try edit("changed/config.json") {
            $0.replacing("\"model_type\"", with: "\"rope_theta\": 50, \"model_type\"")
        }
        try edit("broken/config.json") { $0.replacing("qwen3", with: "unknown") }
        #expect(try await findings(["changed"], of: root.path).failures > 0)
        let broken = try await findings(["broken"], of: root.path)
        #expect(broken.failures == 1 && broken.lines.contains { $0["name"]?.string == "runs, broken" })
    }

    /// Every gap between steps is seen, and only those.
    @Test func idleTimeIsSeen() throws {
        // Between any two events lie two milliseconds.
        let backend = try makeHostBackend { table in
            cuda_host_driver(table)
            table.pointee.eventElapsedTime = { milliseconds, _, _ in
                milliseconds?.pointee = 2
                return 0
            }
        }
        let x = backend.matrix([[1, 2, 3]])
        #expect(backend.stream.endWatching().gaps == 0)
        try backend.stream.synchronize()
        try backend.stream.startWatching()
        for _ in 0..<5 {
            backend.scale(x, by: 2)
            backend.scale(x, by: 0.5)
            try backend.stream.synchronize()
            // Nothing was enqueued in between.
            try backend.stream.synchronize()
        }
        let idle = backend.stream.endWatching()
        #expect(idle.gaps == 4)
        #expect(abs(idle.idle - 0.008) < 1e-6 && abs(idle.total - 0.002) < 1e-6)
        #expect(backend.rows(x) == [[1, 2, 3]])
    }

    /// A service that comes to its end, and one whose time is over before.
    @Test func servicesAreCounted() async throws {
        let model = try LoadedModel(
            checkpoint: openCheckpoint(Self.folder + "/tiny_llama"), backend: CPUBackend(threads: 1))
        var options = EngineOptions()
        (options.cacheElement, options.maxTotalTokens, options.maxRequestTokens) = (.float32, 9000, 8192)
        options.sharesPrefixes = false
        let requests = (1...4).map { index in
            var request = GenerationRequest(prompt: [1, 2, 3], maxNewTokens: index)
            request.ignoresEndTokens = true
            return request
        }
        let whole = try await ServiceRun(requests, on: model.makeEngine(options), within: .seconds(60))
        #expect(
            whole.isWhole && whole.statistics.generatedTokens == 10 && whole.statistics.promptTokens == 12)
        #expect(abs(whole.requestsPerSecond - 4 / whole.seconds) < 1e-6)
        let long = (0..<4).map { _ in
            var request = GenerationRequest(prompt: [1, 2, 3], maxNewTokens: 2000)
            request.ignoresEndTokens = true
            return request
        }
        let cut = try await ServiceRun(long, on: model.makeEngine(options), within: .milliseconds(20))
        #expect(!cut.isWhole && cut.statistics.finishedRequests < 4)
        let tokens = cut.statistics.promptTokens + cut.statistics.generatedTokens
        let expected = 4 * Double(tokens) / 8012
        #expect(abs(cut.requestsPerSecond * cut.seconds - expected) < 1e-6)
    }

    /// What was found decides which bars are met, here and as on an H200.
    @Test func barsAreHeldAgainstWhatWasFound() async throws {
        let lines = [
            #"{"section":"device","name":"copy","TB/s":1.99}"#,
            #"{"section":"operations","name":"a","ok":true}"#,
            #"{"section":"goldens","name":"a","ok":true}"#, #"{"section":"graphs","name":"a","ok":true}"#,
            #"{"section":"attention","name":"bfloat16 batch 128 context 472 heads 32/32","GB/s":2000}"#,
            #"{"section":"step","name":"bfloat16 batch 128","ms":14.0,"idle":0.01,"GB":43.0}"#,
            #"{"section":"service","name":"service bfloat16","requests/s":20.0,"idle":0.02}"#,
            #"{"section":"service","name":"int8 over bfloat16","ratio":1.3}"#,
            #"{"section":"peers","name":"service","requests/s":9.0}"#,
            #"{"section":"peers","name":"service","requests/s":13.0}"#,
        ]
        func bars(_ lines: [String]) async throws -> (all: Bool, met: [String: (Bool?, Bool?)]) {
            let file = FileManager.default.temporaryDirectory.appendingPathComponent("\(UUID()).jsonl")
            defer { try? FileManager.default.removeItem(at: file) }
            try Data((lines.joined(separator: "\n") + "\n").utf8).write(to: file)
            let recorder = try Recorder(section: "bars", path: file.path)
            let all = try await GPUCheck.run(
                .bars, products: nil, goldens: nil, seconds: 1, findings: file.path, recorder)
            let text = try String(decoding: Data(contentsOf: file), as: UTF8.self)
            var met: [String: (Bool?, Bool?)] = [:]
            for line in text.split(separator: "\n").dropFirst(lines.count) {
                let value = try JSONValue(parsing: Array(line.utf8))
                met[value["name"]?.string ?? ""] = (value["met"]?.bool, value["met here"]?.bool)
            }
            return (all, met)
        }
        var found = try await bars(lines)
        // 13 · 1.5 = 19.5 of 20; half an H200's memory.
        #expect(found.all)
        #expect(found.met["service of LLaMA-7B, bfloat16"].map { $0 == (false, true) } == true)
        #expect(found.met["step of 128 sequences of 472"].map { $0 == (false, true) } == true)
        #expect(found.met["service over the better peer"].map { $0 == (true, true) } == true)
        // One that was not measured is not met, nor is one with a check that does not hold.
        for missing in 0..<8 {
            found = try await bars(Array(lines[..<missing] + lines[(missing + 1)...]))
            #expect(!found.all, "\(lines[missing])")
        }
        found = try await bars(lines + [#"{"section":"goldens","name":"b","ok":false}"#])
        #expect(!found.all && found.met["recorded models that differ"].map { $0 == (false, false) } == true)
    }

    /// The lengths that the peers' script draws.
    @Test func lengthsAreThePeersToo() throws {
        var lengths = RequestLengths(seed: 0)
        let ours = (0..<2000).map { _ in lengths.next() }
        let script = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appendingPathComponent("Scripts/gpu-peers.py").path
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["python3", script, "--lengths", "2000"]
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)
        let theirs = text.split(separator: "\n").map { $0.split(separator: " ").compactMap { Int($0) } }
        #expect(theirs == ours.map { [$0.prompt, $0.answer] })
        let sums = ours.reduce(into: (0, 0)) { $0 = ($0.0 + $1.prompt, $0.1 + $1.answer) }
        #expect(abs(Double(sums.0) / 2000 - 225) < 0.5 && abs(Double(sums.1) / 2000 - 227) < 0.5)
    }
}
