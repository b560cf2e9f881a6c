import HTTPTypes
import HummingbirdTesting
import JSON
import OrderedCollections
import Testing
import TextGeneration

@testable import HTTPAPI

/// Images in the forms of every interface.
@Suite struct MediaFormTests {
    private static let generator = Result { try TestServer().generator }
    private static let data = "iVBORw0KGgo="
    private static let url = "data:image/png;base64," + data
    private static let text: JSONValue = ["type": "text", "text": "a"]
    private static let image: JSONValue = ["type": "image_url", "image_url": ["url": .string(url)]]

    private static func chat(_ messages: JSONValue, acceptsImages: Bool = true) throws -> Conversation {
        var fields = try RequestFields(["messages": messages])
        return try Messages.read(&fields, for: generator.get(), acceptsImages: acceptsImages)
    }

    /// What `body` throws.
    private static func error(_ body: () throws -> Any) -> APIError? {
        do {
            _ = try body()
            return nil
        } catch { return error as? APIError }
    }

    @Test func chatKeepsTheOrderOfParts() throws {
        let conversation = try Self.chat([
            ["role": "system", "content": [["type": "text", "text": "s"]]],
            [
                "role": "user",
                "content": [Self.image, Self.text, ["type": "image_url", "image_url": "https://a.com/b"]],
            ],
            ["role": "user", "content": [Self.text, Self.text]],
            [
                "role": "tool", "tool_call_id": "1",
                "content": [["type": "input_image", "image_url": "http://c.d", "detail": "low"]],
            ],
        ])
        #expect(
            conversation.messages.map { $0["content"] } == [
                "s", [["type": "image"], Self.text, ["type": "image"]], "a\na", [["type": "image"]],
            ])
        #expect(
            conversation.images.map(\.source) == [
                .base64(Substring(Self.data)), .web(try WebAddress("https://a.com/b")),
                .web(try WebAddress("http://c.d/")),
            ])
        #expect(
            conversation.images.map(\.field) == [
                "messages[1].content[0].image_url.url", "messages[1].content[2].image_url",
                "messages[3].content[0].image_url",
            ])
    }

    @Test func responsesAndMessagesDoToo() throws {
        var responses = try RequestFields([
            "instructions": "i",
            "input": [
                [
                    "role": "user",
                    "content": [
                        ["type": "input_image", "image_url": .string(Self.url)],
                        ["type": "input_text", "text": "a"],
                    ],
                ],
                ["type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"],
                [
                    "type": "function_call_output", "call_id": "c",
                    "output": [["type": "input_image", "image_url": "http://a.b"]],
                ],
            ],
        ])
        let read = try ResponsesInput.read(&responses, for: Self.generator.get(), acceptsImages: true)
        #expect(
            read.messages.map { $0["content"] } == [
                "i", [["type": "image"], Self.text], .null, [["type": "image"]],
            ])
        #expect(
            read.images.map(\.field) == ["input[0].content[0].image_url", "input[2].output[0].image_url"])
        var anthropic = try RequestFields([
            "system": [["type": "text", "text": "s"]],
            "messages": [
                [
                    "role": "user",
                    "content": [
                        Self.text,
                        [
                            "type": "image",
                            "source": [
                                "type": "base64", "media_type": "image/png", "data": .string(Self.data),
                            ],
                        ],
                        [
                            "type": "tool_result", "tool_use_id": "t",
                            "content": [
                                ["type": "image", "source": ["type": "url", "url": "http://a.b/c"]]
                            ],
                        ],
                    ],
                ], ["role": "assistant", "content": [["type": "text", "text": "y"]]],
            ],
        ])
        let messages = try AnthropicMessages.read(&anthropic, acceptsImages: true)
        // What tools said comes first, and so do its images.
        #expect(
            messages.messages.map { $0["content"] } == [
                "s", [["type": "image"]], [Self.text, ["type": "image"]], "y",
            ])
        #expect(
            messages.images.map(\.field) == [
                "messages[0].content[2].content[0].source.url", "messages[0].content[1].source.data",
            ])
        #expect(messages.images.last?.source == .base64(Substring(Self.data)))
    }

    @Test func nativeImagesHaveBothKeys() throws {
        func read(_ images: JSONValue) throws -> [MediaReference] {
            var fields = try RequestFields(["multimodal_params": ["images": images]])
            return try fields.images(acceptsImages: true)
        }
        let images = try read([
            ["type": "base64", "data": .string(Self.data)], ["type": "url", "data": "http://a.b/c"],
            ["type": "url", "data": .string(Self.url)], ["type": "url", "data": "file:///a/b%20c"],
            ["type": "base64", "data": .string(Self.url)],
        ])
        let inline = MediaSource.base64(Substring(Self.data))
        #expect(
            images.map(\.source) == [
                inline, .web(try WebAddress("http://a.b/c")), inline, .file(path: "/a/b c"), inline,
            ])
        #expect(images[1].field == "multimodal_params.images[1].data")
        for (images, message) in [
            ([["type": "url"]], "images[0].data must be a string, found none"),
            ([["data": "x"]], "images[0].type must be url or base64, found none"),
            ([["type": "path", "data": "x"]], "found 'path'"),
            (["x"], "images[0] must be an object, found string"),
            ("x", "multimodal_params.images must be a list, found string"),
            ([["type": "base64", "data": ""]], "images[0].data is empty"),
            (
                [["type": "url", "data": "/local/path"]],
                "must be a data, http, https or file URL, found '/local/path'"
            ),
            ([["type": "image_size", "data": [1, 2]]], "images[0].data must be a string, found array"),
        ] as [(JSONValue, String)] {
            let error = Self.error { try read(images) }
            #expect(error?.message.contains(message) == true, "\(error?.message ?? "none")")
            #expect(error?.status == .badRequest && error?.parameter == "multimodal_params")
        }
        for body: JSONValue in [
            ["multimodal_params": ["audios": [["type": "url", "data": "http://a.b"]]]],
            ["multimodal_params": 5],
        ] {
            #expect(
                Self.error {
                    var fields = try RequestFields(body)
                    return try fields.images(acceptsImages: true)
                }?.status == .badRequest)
        }
        for nothing: JSONValue in [nil, [:], ["images": []], ["images": nil, "audios": []]] {
            var fields = try RequestFields(["multimodal_params": nothing])
            #expect(try fields.images(acceptsImages: false).isEmpty)
        }
    }

    /// Parts that are wrong, and what is said of them.
    private static let wrongParts: [(JSONValue, String)] = [
        (["type": "image_url"], "content[0].image_url is missing"),
        (["type": "image_url", "image_url": 5], "image_url must be a URL or an object, found integer"),
        (["type": "image_url", "image_url": [:]], "image_url.url must be a string, found none"),
        (["type": "image_url", "image_url": ["url": "http://a.b", "detail": "huge"]], "found 'huge'"),
        (
            ["type": "image_url", "image_url": "gopher://a.b/"],
            "must be a data, http, https or file URL, found 'gopher"
        ),
        (["type": "image_url", "image_url": "http://a\\@b/"], "no backslashes"),
        (
            ["type": "image_url", "image_url": "data:video/jpeg;base64,AAAA"],
            "found 'data:video/jpeg;base64…'"
        ),
        (["type": "image_url", "image_url": "data:image/png,AAAA"], "data:image/…;base64,…"),
        (["type": "image_url", "image_url": "data:image/png;base64,"], "has no data"),
        (["type": "image_url", "image_url": "data:AAAA"], "data:image/…;base64,…"),
        (["type": "image_url", "image_url": "file://host/etc/passwd"], "file:///… with an absolute path"),
        (["type": "image_url", "image_url": "file:///a%00b"], "file:///… with an absolute path"),
        (["type": "image_url", "image_url": "file:etc"], "file:///… with an absolute path"),
        (["type": "input_image", "file_id": "f1"], "content[0].file_id: files are not kept here"),
        (
            ["type": "image", "source": ["type": "file", "file_id": "x"]],
            "source.type must be base64 or url, found 'file'"
        ),
        (
            ["type": "image", "source": ["type": "base64", "data": "AAAA"]],
            "source.media_type must be a string"
        ),
        (
            ["type": "image", "source": ["type": "base64", "media_type": "text/html", "data": "A"]],
            "found 'text/html'"
        ),
        (["type": "image"], "source must be an object, found none"),
        (
            ["type": "input_audio", "input_audio": ["data": "x"]],
            "must be text or an image, found a part of type 'input_audio'"
        ),
        (["type": "video_url", "video_url": ["url": "http://a.b"]], "found a part of type 'video_url'"),
        (["type": "file", "file": ["file_id": "x"]], "found a part of type 'file'"),
        (["type": "image_embeds", "image_embeds": "x"], "found a part of type 'image_embeds'"),
        (["type": "text"], "found a part of type 'text'"), ("x", "found a part of type none"),
    ]

    @Test func wrongPartsAreNamed() throws {
        for (part, message) in Self.wrongParts {
            let error = Self.error { try Self.chat([["role": "user", "content": [part]]]) }
            #expect(
                error?.message.contains(message) == true, "\(part.serialized): \(error?.message ?? "none")")
            #expect(
                error?.message.hasPrefix("messages[0].content[0]") == true && error?.status == .badRequest)
        }
        for role in ["system", "developer", "assistant"] {
            let error = Self.error { try Self.chat([["role": .string(role), "content": [Self.image]]]) }
            #expect(error?.message.contains("images belong to what users and tools say") == true, "\(role)")
        }
    }

    @Test func errorsShowNoData() {
        let long = "data:text/plain;base64," + String(repeating: "SECRET", count: 100)
        for text in [long, "x" + long, String(repeating: "y", count: 1 << 20)] {
            let message =
                Self.error {
                    try Self.chat([
                        ["role": "user", "content": [["type": "image_url", "image_url": .string(text)]]]
                    ])
                }?
                .message ?? ""
            #expect(!message.isEmpty && !message.contains("SECRET") && message.utf8.count < 200, "\(message)")
        }
    }

    @Test func modelsThatReadTextSaySo() async throws {
        let anthropic: JSONValue = ["type": "image", "source": ["type": "url", "url": "http://a.b"]]
        try await TestServer().run { client in
            for (path, body) in [
                ("/v1/chat/completions", ["messages": [["role": "user", "content": [Self.image]]]]),
                (
                    "/v1/responses",
                    [
                        "input": [
                            [
                                "role": "user",
                                "content": [["type": "input_image", "image_url": "http://a.b"]],
                            ]
                        ]
                    ]
                ),
                ("/v1/messages", ["max_tokens": 1, "messages": [["role": "user", "content": [anthropic]]]]),
                ("/tokenize", ["messages": [["role": "user", "content": [Self.image]]]]),
                (
                    "/generate",
                    ["inputs": "x", "multimodal_params": ["images": [["type": "base64", "data": "AAAA"]]]]
                ),
                (
                    "/tokens",
                    ["text": "x", "multimodal_params": ["images": [["type": "base64", "data": "AAAA"]]]]
                ),
            ] as [(String, JSONValue)] {
                let (status, json) = try await client.post(path, body)
                #expect(status == .badRequest, "\(path)")
                #expect(
                    json["error"]?["message"]?.string?.contains("this model reads text only") == true,
                    "\(json.serialized)")
            }
        }
    }

    /// Attack item 37: nothing of a request is taken for a tensor.
    @Test func tensorsOfRequestsAreRefused() async throws {
        try await TestServer().run { client in
            for field: JSONKey in ["prompt_embeds", "prompt_bin"] {
                for (path, body) in [
                    ("/v1/completions", ["prompt": "x", "max_tokens": 1]),
                    ("/v1/completions", ["max_tokens": 1]),
                    (
                        "/v1/chat/completions",
                        ["messages": [["role": "user", "content": "x"]], "max_tokens": 1]
                    ),
                    ("/generate", ["inputs": "x", "parameters": [:]]), ("/generate_stream", ["inputs": "x"]),
                ] as [(String, JSONValue.Members)] {
                    var body = body
                    body[field] = "gASVAAAAAAAAAAA="
                    let (status, json) = try await client.post(path, .object(body))
                    #expect(status == .badRequest, "\(path)")
                    #expect(
                        json["error"]?["message"]?.string?.contains("\(field) is not supported") == true,
                        "\(json.serialized)")
                }
                let nested = try await client.post(
                    "/generate", ["inputs": "x", "parameters": [field: "gASV"]])
                #expect(nested.status == .badRequest)
            }
        }
    }
}
