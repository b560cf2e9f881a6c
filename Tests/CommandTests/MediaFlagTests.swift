import ArgumentParser
import Foundation
import HTTPAPI
import Testing

@testable import LightLLMCommand

/// The flags of images.
@Suite struct MediaFlagTests {
    private static func options(
        _ flags: [String], environment: [String: String] = [:]
    ) throws -> MediaOptions {
        let line = try ServingCommandLine(["serve", "--model_dir", "x"] + flags, environment: [:])
        let serve = try #require(try LightLLMCommand.parseAsRoot(line.arguments) as? Serve)
        return try serve.media.options(environment)
    }

    @Test func lightLLMsFlagsAndVLLMs() throws {
        let standard = try Self.options([])
        #expect(!standard.isEnabled && standard.cacheCapacity == 200 && standard.batchSize == 1)
        #expect(standard.cacheReservedRatio == 0.5)
        #expect(standard.policy.domains.isEmpty && standard.policy.folder == nil)
        #expect(standard.policy.timeout == .seconds(3) && standard.policy.mostImages == 200)
        let options = try Self.options(
            [
                "--enable_multimodal", "--cache_capacity", "1000", "--cache-reserved-ratio", "0.25",
                "--visual_infer_batch_size=4", "--allowed-media-domains", "a.com, *.b.com", "c.com",
                "--allowed-local-media-path", FileManager.default.temporaryDirectory.path,
                "--media_timeout", "1.5", "--max_media_bytes", "1000",
            ], environment: ["REQUEST_TIMEOUT": "9"])
        #expect(options.isEnabled && options.cacheCapacity == 1000 && options.batchSize == 4)
        #expect(options.cacheReservedRatio == 0.25 && options.policy.mostImages == 1000)
        #expect(options.policy.domains.count == 3 && options.policy.folder != nil)
        #expect(options.policy.timeout == .milliseconds(1500) && options.policy.largestImage == 1000)
        #expect(try Self.options([], environment: ["REQUEST_TIMEOUT": "9"]).policy.timeout == .seconds(9))
    }

    @Test(arguments: [
        ["--cache_capacity", "0"], ["--cache_reserved_ratio", "2"], ["--visual_infer_batch_size", "0"],
        ["--allowed_media_domains", "http://a.com"], ["--allowed_media_domains", "a.com,127.0.0.1"],
        ["--allowed_media_domains", "*"], ["--allowed_local_media_path", "/no/such/folder"],
        ["--media_timeout", "0"], ["--media_timeout", "nan"], ["--max_media_bytes", "0"],
    ])
    func wrongValuesAreNamed(_ flags: [String]) throws {
        do {
            _ = try Self.options(flags)
            Issue.record("\(flags) was taken")
        } catch {
            let message = LightLLMCommand.message(for: error)
            #expect(message.contains(flags[0]), "\(message)")
        }
    }

    @Test func theEnvironmentIsChecked() {
        #expect(throws: ValidationError.self) {
            try Self.options([], environment: ["REQUEST_TIMEOUT": "soon"])
        }
    }
}
