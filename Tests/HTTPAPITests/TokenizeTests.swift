import HTTPTypes
import HummingbirdTesting
import JSON
import LightLLM
import OrderedCollections
import Testing

@testable import HTTPAPI

@Suite struct TokenizeTests {
    @Test func answersAsVLLMAndLlamaCppDo() async throws {
        try await TestServer().run { client in
            let text = "the slots\u{1F600}é"
            let (status, json) = try await client.post(
                "/tokenize", ["model": "any", "prompt": .string(text), "return_token_strs": true])
            #expect(status == .ok && json["max_model_len"]?.int == 256)
            let tokens = json["tokens"]?.array ?? []
            #expect(json["count"]?.int == tokens.count && json["token_strs"]?.array?.count == tokens.count)
            let bare = try await client.post(
                "/tokenize", ["prompt": .string(text), "add_special_tokens": false]
            ).json
            #expect(bare["tokens"]?.array == Array(tokens.dropFirst()) && bare["token_strs"]?.isNull == true)

            let llama = try await client.post("/tokenize", ["content": .string(text)]).json
            #expect(llama.object?.keys.map(\.string) == ["tokens"] && llama["tokens"] == bare["tokens"])
            let special = try await client.post(
                "/tokenize", ["content": .string(text), "add_special": true]
            ).json
            #expect(special["tokens"] == json["tokens"])
            let pieces = try await client.post(
                "/tokenize", ["content": .string(text), "with_pieces": true]
            ).json["tokens"]?.array
            let bytes = (pieces ?? []).flatMap { piece -> [UInt8] in
                piece["piece"]?.string.map { Array($0.utf8) }
                    ?? (piece["piece"]?.array ?? []).compactMap { $0.int.map { UInt8($0) } }
            }
            #expect(String(decoding: bytes, as: UTF8.self).hasSuffix(text))
            #expect(pieces?.map { $0["id"] } == bare["tokens"]?.array)

            let back = try await client.post("/detokenize", ["tokens": bare["tokens"] ?? .null]).json
            #expect(back["prompt"]?.string == text && back["content"]?.string == text)
        }
    }

    /// What lm-eval's remote tokenizer asks for.
    @Test func tellsWhatClientsNeedToTokenize() async throws {
        try await TestServer().run { client in
            let json = try JSONValue(parsing: try await client.get("/tokenizer_info").text)
            let end = try #require(json["eos_token"]?.string)
            #expect(json["bos_token"]?.string != nil && json["pad_token"]?.isNull == true)
            #expect(json["chat_template"]?.string?.contains("messages") == true)
            let tokens = try await client.post(
                "/tokenize", ["prompt": .string(end), "add_special_tokens": false]
            ).json["tokens"]?.array
            #expect(tokens?.count == 1)
            let shown = try await client.post("/detokenize", ["tokens": .array(tokens ?? [])]).json
            #expect(shown["prompt"]?.string == end)
        }
    }

    @Test func tokenizesConversationsAsTheChatDoes() async throws {
        try await TestServer().run { client in
            let messages: JSONValue = [["role": "user", "content": "the tokens"]]
            let counted = try await client.post("/tokenize", ["messages": messages]).json
            let chat = try await client.post(
                "/v1/chat/completions", ["messages": messages, "max_tokens": 1]
            ).json
            #expect(counted["count"] == chat["usage"]?["prompt_tokens"])
            let without = try await client.post(
                "/tokenize", ["messages": messages, "add_generation_prompt": false]
            ).json
            #expect(without["count"]?.int ?? 1000 < counted["count"]?.int ?? 0)
            for key in ["messages", "add_generation_prompt", "tools", "bos_token"] {
                let (status, json) = try await client.post(
                    "/tokenize",
                    ["messages": messages, "chat_template_kwargs": .object([JSONKey(key): true])])
                #expect(status == .badRequest && json["error"]?["message"]?.string?.contains(key) == true)
            }
        }
    }

    @Test func refusesWhatIsNoRequest() async throws {
        try await TestServer().run { client in
            for (path, body) in [
                ("/tokenize", [:]), ("/tokenize", ["prompt": 5]),
                ("/tokenize", ["prompt": "a", "content": "b"]),
                ("/tokenize", ["content": ["a"]]), ("/tokenize", ["prompt": "a", "add_special_tokens": 3]),
                ("/tokenize", ["messages": []]), ("/detokenize", [:]), ("/detokenize", ["tokens": "a"]),
                ("/detokenize", ["tokens": [1.5]]), ("/detokenize", ["tokens": [-1]]),
                ("/detokenize", ["tokens": [99_999]]), ("/detokenize", ["tokens": [4_294_967_296]]),
            ] as [(String, JSONValue)] {
                let (status, json) = try await client.post(path, body)
                #expect(status == .badRequest, "\(path) \(body.serialized)")
                #expect(json["error"]?["message"]?.string?.isEmpty == false)
            }
            #expect(try await client.post("/detokenize", ["tokens": []]).json["prompt"]?.string == "")
        }
    }
}
