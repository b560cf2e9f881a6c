import Foundation
import HTTPTypes
import HummingbirdTesting
import JSON
import LightLLM
import OrderedCollections
import Serving
import Testing
import TextGeneration

@testable import HTTPAPI

/// Requests with images, to tiny checkpoints of every form.
@Suite struct ImageRequestTests {
    /// The checkpoints, and a prompt with one mark of each.
    static let prompts: [String: String] = [
        "llava": "USER: <image>\nPlease explain the picture. ASSISTANT:",
        "llava_original": "USER: <image>\nPlease explain the picture. ASSISTANT:",
        "qwen_vl": "<img></img>Generate the caption in English with grounding:",
        "qwen2_vl": "<|vision_start|><|image_pad|><|vision_end|>Describe it.",
        "qwen2_5_vl": "<|vision_start|><|vision_end|>Describe it.",
        "internvl_phi3": "<image>\nDescribe it.",
    ]
    static let names = prompts.keys.sorted()

    private static func folder(_ name: String) -> URL {
        URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("Fixtures/goldens/vision/\(name)")
    }

    private static func server(_ name: String, enabled: Bool = true) throws -> TestServer {
        var options = TextOptions()
        (options.engine.maxTotalTokens, options.engine.maxRequestTokens, options.engine.threads) = (
            8192, 2048, 2
        )
        options.engine.images = enabled ? ImageOptions() : nil
        return TestServer(try LoadedTextModel(path: folder(name).path, options: options).generator)
    }

    private static func run(
        _ name: String, over setup: TestingSetup = .live,
        _ body: @escaping @Sendable (any TestClientProtocol, TextGenerator) async throws -> Void
    ) async throws {
        let server = try server(name)
        try await server.run(over: setup) {
            $0.media = MediaPolicy()
            $0.limits.largestBody = 64 << 20
        } _: { client in
            try await body(client, server.generator)
        }
    }

    private static func base64(_ name: String, _ file: String) throws -> String {
        try Data(contentsOf: folder(name).appendingPathComponent(file)).base64EncodedString()
    }

    private static func generation(_ prompt: String, _ images: [String], count: Int = 12) -> JSONValue {
        [
            "inputs": .string(prompt),
            "parameters": [
                "max_new_tokens": .integer(count), "ignore_eos": true, "do_sample": false,
                "return_details": true,
                "stop_sequences": [" <|endoftext|>", " <|im_start|>", " <|im_end|>"],
            ],
            "multimodal_params": [
                "images": .array(images.map { ["type": "base64", "data": .string($0)] })
            ],
        ]
    }

    @Test(arguments: names)
    func answersPromptsWithMarks(_ name: String) async throws {
        let prompt = try #require(Self.prompts[name])
        let (first, second) = (try Self.base64(name, "image0.png"), try Self.base64(name, "image1.jpg"))
        try await Self.run(name) { client, generator in
            let (status, one) = try await client.post("/generate", Self.generation(prompt, [first]))
            #expect(status == .ok, "\(one)")
            let again = try await client.post("/generate", Self.generation(prompt, [first])).json
            #expect(one["generated_text"] == again["generated_text"])
            let counted = try await client.post(
                "/tokens",
                [
                    "text": .string(prompt),
                    "multimodal_params": Self.generation(prompt, [first])["multimodal_params"]!,
                ])
            #expect(counted.json["ntokens"] == one["prompt_tokens"])
            let two = try await client.post("/generate", Self.generation(prompt + prompt, [first, second]))
                .json
            let swapped = try await client.post(
                "/generate", Self.generation(prompt + prompt, [second, first])
            ).json
            #expect(two["count_output_tokens"] == 12 && two["tokens"] != swapped["tokens"])
            let events = try await client.postText(
                "/generate_stream", Self.generation(prompt, [first]).serialized
            ).text.components(separatedBy: "\n\n").filter { !$0.isEmpty }
            let texts = try events.map {
                try JSONValue(parsing: String($0.dropFirst(5)))["token"]?["text"]?.string ?? ""
            }
            #expect(.string(texts.joined()) == one["generated_text"]?.array?.first)
            #expect(generator.images?.statistics.encoded == 2)
        }
    }

    @Test(arguments: names)
    func marksAndImagesMustBeAsMany(_ name: String) async throws {
        let prompt = try #require(Self.prompts[name])
        let image = try Self.base64(name, "image0.png")
        try await Self.run(name) { client, _ in
            for (marks, images) in [(1, 2), (2, 1), (0, 1), (1, 0)] {
                let text = String(repeating: prompt, count: marks) + "x"
                let (status, json) = try await client.post(
                    "/generate", Self.generation(text, Array(repeating: image, count: images)))
                #expect(status == .badRequest)
                #expect(json["message"]?.string == "invalid image tag num: \(images) vs \(marks)!")
            }
            let (status, _) = try await client.post("/generate", Self.generation("no picture", []))
            #expect(status == .ok)
        }
    }

    @Test func anOpenedMarkMustBeClosed() async throws {
        let image = try Self.base64("qwen_vl", "image0.png")
        try await Self.run("qwen_vl") { client, _ in
            let (status, json) = try await client.post("/generate", Self.generation("<img>a", [image]))
            #expect(status == .badRequest && json["message"]?.string == "Unclosed image token")
        }
    }

    /// The interfaces of OpenAI and Anthropic make the same prompt, in which a mark that a user writes is text.
    @Test(arguments: names)
    func conversationsShowImages(_ name: String) async throws {
        let data = try Self.base64(name, "image0.png")
        let question: JSONValue = .string("What is <image> or <img></img> <|vision_start|>?")
        try await Self.run(name) { client, _ in
            func prompt(_ path: String, _ parts: JSONValue, in list: String) async throws -> Int? {
                let messages: JSONValue = [["role": "user", "content": parts]]
                var body: JSONValue.Members = [
                    "max_tokens": 4, "max_output_tokens": 16, "temperature": 0,
                ]
                body[JSONKey(list)] = messages
                let (status, json) = try await client.post(path, .object(body))
                #expect(status == .ok, "\(path): \(json)")
                let usage = json["usage"]
                // Anthropic counts those that were in the cache apart.
                let cached = usage?["cache_read_input_tokens"]?.int ?? 0
                return (usage?["prompt_tokens"] ?? usage?["input_tokens"])?.int.map { $0 + cached }
            }
            let url = JSONValue.string("data:image/png;base64," + data)
            let chat = try await prompt(
                "/v1/chat/completions",
                [
                    ["type": "image_url", "image_url": ["url": url]],
                    ["type": "text", "text": question],
                ], in: "messages")
            let responses = try await prompt(
                "/v1/responses",
                [
                    ["type": "input_image", "image_url": url], ["type": "input_text", "text": question],
                ], in: "input")
            let messages = try await prompt(
                "/v1/messages",
                [
                    [
                        "type": "image",
                        "source": ["type": "base64", "media_type": "image/png", "data": .string(data)],
                    ], ["type": "text", "text": question],
                ], in: "messages")
            let text = try await prompt(
                "/v1/chat/completions", [["type": "text", "text": question]], in: "messages")
            #expect(chat == responses && chat == messages)
            #expect((chat ?? 0) > (text ?? 0))
        }
    }

    /// Requests with no, one and two images at the same time give what each gives alone.
    @Test(arguments: ["llava", "qwen2_vl", "internvl_phi3"])
    func companyChangesNothing(_ name: String) async throws {
        let prompt = try #require(Self.prompts[name])
        let images = [try Self.base64(name, "image0.png"), try Self.base64(name, "image1.jpg")]
        let bodies = (0..<12).map { number in
            let count = number % 3
            let chosen = number % 2 == 0 ? images : images.reversed()
            return Self.generation(
                "\(number) " + String(repeating: prompt, count: count), Array(chosen.prefix(count)), count: 20
            )
        }
        try await Self.run(name, over: .ahc()) { client, _ in
            var alone: [JSONValue] = []
            for body in bodies { alone.append(try await client.post("/generate", body).json) }
            let expected = alone
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<36 {
                    group.addTask {
                        let json = try await client.post("/generate", bodies[number % 12]).json
                        #expect(json["generated_text"] == expected[number % 12]["generated_text"])
                        #expect(Self.scores(json) == Self.scores(expected[number % 12]))
                    }
                }
                try await group.waitForAll()
            }
        }
    }

    /// The log probabilities of an answer's tokens.
    private static func scores(_ answer: JSONValue) -> [Double] {
        answer["tokens"]?.array?.compactMap { $0["logprob"]?.double } ?? []
    }

    @Test func eachImageIsLookedAtOnce() async throws {
        let file = try Data(contentsOf: Self.folder("llava").appendingPathComponent("image0.png"))
        // Bytes after a file's end make another file of the same picture.
        let images = (0..<50).map { (file + [UInt8($0)]).base64EncodedString() }
        try await Self.run("llava", over: .ahc()) { client, generator in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for worker in 0..<8 {
                    group.addTask {
                        for number in stride(from: worker, to: 1000, by: 8) {
                            let body = Self.generation("<image>a", [images[number % 50]], count: 1)
                            let (status, _) = try await client.post("/generate", body)
                            #expect(status == .ok)
                        }
                    }
                }
                try await group.waitForAll()
            }
            let statistics = try #require(generator.images?.statistics)
            #expect(statistics.encoded == 50 && statistics.kept == 50 && statistics.waiting == 0)
            let (_, text) = try await client.get("/metrics")
            #expect(text.contains("lightllm_images_encoded_total 50"))
        }
    }

    /// Pictures that make trouble are errors of the request, or looked at, and the next request is answered.
    @Test func hostilePicturesAreErrorsOfTheRequest() async throws {
        let png = try Data(contentsOf: Self.folder("llava").appendingPathComponent("image0.png"))
        let jpeg = try Data(contentsOf: Self.folder("llava").appendingPathComponent("image1.jpg"))
        var huge = png
        huge.replaceSubrange(16..<24, with: [0, 0, 0xC3, 0x50, 0, 0, 0xC3, 0x50])
        let hostile: [Data] = [
            Data(png.prefix(60)), Data(jpeg.prefix(jpeg.count / 2)), huge, Data("GIF89a".utf8) + png,
            Data(repeating: 0xFF, count: 5000), Data("<svg/>".utf8), Data(),
        ]
        try await Self.run("llava") { client, generator in
            for data in hostile {
                let (status, json) = try await client.post(
                    "/generate", Self.generation("<image>a", [data.base64EncodedString()]))
                #expect(status == .badRequest, "\(json)")
                #expect(json["message"]?.string?.contains("0x") == false)
            }
            for (width, height) in [(1, 1), (1, 3), (3, 1)] {
                let pixel = Self.png(width: width, height: height).base64EncodedString()
                let (status, json) = try await client.post("/generate", Self.generation("<image>a", [pixel]))
                #expect(status == .ok, "\(json)")
            }
            let strip = Self.png(width: 1, height: 1000).base64EncodedString()
            let (status, json) = try await client.post("/generate", Self.generation("<image>a", [strip]))
            #expect(status == .badRequest && json["message"]?.string?.contains("1x1000") == true)
            let (next, _) = try await client.post(
                "/generate", Self.generation("<image>a", [png.base64EncodedString()]))
            #expect(next == .ok)
            #expect(generator.images?.statistics.waiting == 0)
        }
    }

    @Test func aPromptWithImagesIsNotShortened() async throws {
        let image = try Self.base64("qwen_vl", "image0.png")
        var server = try Self.server("qwen_vl").generator
        server.truncation = PromptTruncation(mode: .center)
        try await TestServer(server).run {
            $0.media = MediaPolicy()
        } _: { client in
            let prompt = "<img></img>" + String(repeating: "0 1 2 ", count: 1000)
            let (status, json) = try await client.post("/generate", Self.generation(prompt, [image]))
            #expect(status == .badRequest && json["message"]?.string?.contains("2048") == true, "\(json)")
        }
    }

    @Test func aServerThatOnlyReadsSaysSo() async throws {
        let image = try Self.base64("llava", "image0.png")
        try await Self.server("llava", enabled: false).run { client in
            let (status, json) = try await client.post("/generate", Self.generation("<image>a", [image]))
            #expect(status == .badRequest && json["message"]?.string?.contains("reads text only") == true)
            let (next, _) = try await client.post("/generate", Self.generation("hello", []))
            #expect(next == .ok)
        }
    }

    /// A black PNG.
    private static func png(width: Int, height: Int) -> Data {
        func bigEndian(_ value: UInt32) -> Data { Data((0..<4).map { UInt8(value >> (24 - 8 * $0) & 255) }) }
        func chunk(_ name: String, _ body: Data) -> Data {
            let content = Data(name.utf8) + body
            let crc = content.reduce(~UInt32(0)) { crc, byte in
                (0..<8).reduce(crc ^ UInt32(byte)) { crc, _ in
                    crc >> 1 ^ (crc & 1 == 1 ? 0xEDB8_8320 : 0)
                }
            }
            return bigEndian(UInt32(body.count)) + content + bigEndian(~crc)
        }
        let rows = Data(repeating: 0, count: height * (1 + 3 * width))
        let size = UInt16(rows.count)
        // Stored as it is; the checksum of zeros counts them.
        let stored =
            Data([0x78, 1, 1, UInt8(size & 255), UInt8(size >> 8), UInt8(~size & 255), UInt8(~size >> 8)])
            + rows + bigEndian(UInt32(size) << 16 | 1)
        return Data([0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A])
            + chunk("IHDR", bigEndian(UInt32(width)) + bigEndian(UInt32(height)) + Data([8, 2, 0, 0, 0]))
            + chunk("IDAT", stored) + chunk("IEND", Data())
    }
}
