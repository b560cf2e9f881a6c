import Foundation
import JSON
import Testing

@testable import ToolCalls

private let weather = ToolCall(
    name: "get_weather", arguments: "{\"city\": \"Köln 🌦\", \"days\": [1, {\"x\": \"}\\\"\"}]}")
private let clock = ToolCall(name: "clock", arguments: "{}")

struct Sample: Sendable {
    var family: ToolCallFormat.Family?
    let text: String
    var content = ""
    var reasoning = ""
    var calls: [ToolCall] = []
}

@Suite struct AnswerSplitterTests {
    static let samples: [Sample] = [
        Sample(family: nil, text: "plain <tool_call> text", content: "plain <tool_call> text"),
        Sample(family: .hermes, text: "", content: ""),
        Sample(family: .hermes, text: "just < text <tool", content: "just < text <tool"),
        Sample(
            family: .hermes,
            text:
                "Let me see.\n<tool_call>\n{\"name\": \"get_weather\", \"arguments\": \(weather.arguments)}\n</tool_call>\n<tool_call>\n{\"arguments\": {}, \"name\": \"clock\"}\n</tool_call>\n",
            content: "Let me see.\n", calls: [weather, clock]),
        Sample(
            family: .hermes, text: "<think>\nhm </thin <tool_call> no\n</think>\n\nHi there",
            content: "Hi there",
            reasoning: "\nhm </thin <tool_call> no\n"),
        Sample(
            family: .hermes,
            text: "<think>a</think>\n\n<tool_call>{\"name\":\"clock\"}</tool_call> done", content: " done",
            reasoning: "a",
            calls: [clock]),
        Sample(
            family: .hermes, text: "<tool_call>hello</tool_call>", content: "<tool_call>hello</tool_call>"),
        Sample(
            family: .hermes, text: "<tool_call>{\"nam\": 1}</tool_call>",
            content: "<tool_call>{\"nam\": 1}</tool_call>"),
        Sample(
            family: .hermes,
            text: "<tool_call>{\"name\": \"clock\", \"arguments\": \"{\\\"a\\\": 1}\"}</tool_call>",
            calls: [ToolCall(name: "clock", arguments: "{\"a\": 1}")]),
        Sample(
            family: .hermes, text: "<tool_call>{\"name\": \"clock\", \"arguments\": null}</tool_call>",
            calls: [clock]),
        Sample(
            family: .hermes, text: "<tool_call>{\"name\": \"clock\", \"arguments\": {\"cut",
            calls: [ToolCall(name: "clock", arguments: "{\"cut")]),
        Sample(
            family: .llama3, text: "{\"name\": \"get_weather\", \"parameters\": \(weather.arguments)}",
            calls: [weather]),
        Sample(
            family: .llama3,
            text:
                "<|python_tag|>{\"name\": \"clock\", \"parameters\": {}}; {\"name\": \"get_weather\", \"parameters\": \(weather.arguments)}",
            calls: [clock, weather]),
        Sample(
            family: .llama3, text: "{\"name\": \"Bob\", \"age\": 5}",
            content: "{\"name\": \"Bob\", \"age\": 5}"),
        Sample(
            family: .llama3, text: " {\"name\": \"unknown\", \"parameters\": {}}",
            content: " {\"name\": \"unknown\", \"parameters\": {}}"),
        Sample(family: .llama3, text: "{not json", content: "{not json"),
        Sample(
            family: .mistral,
            text:
                "[TOOL_CALLS] [{\"name\": \"get_weather\", \"arguments\": \(weather.arguments)}, {\"name\": \"clock\", \"arguments\": {}}]",
            calls: [weather, clock]),
        Sample(
            family: .mistral,
            text: "Ok[TOOL_CALLS]get_weather[ARGS]\(weather.arguments)[TOOL_CALLS]clock[ARGS]{}",
            content: "Ok", calls: [weather, clock]),
        Sample(family: .mistral, text: "a [TOOL_CALL of the wild", content: "a [TOOL_CALL of the wild"),
        Sample(
            family: .deepSeek,
            text:
                "Sure<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n\(weather.arguments)\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>clock\n```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
            content: "Sure", calls: [weather, clock]),
        Sample(
            family: .deepSeek,
            text:
                "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>\(weather.arguments)<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
            calls: [weather]),
        Sample(
            family: .phi,
            text:
                "<|tool_call|>[{\"type\": \"function\", \"function\": {\"name\": \"get_weather\", \"arguments\": \(weather.arguments)}}, {\"name\": \"clock\", \"arguments\": {}}]<|/tool_call|>",
            calls: [weather, clock]),
        Sample(family: .phi, text: "functools[{\"name\": \"clock\", \"arguments\": {}}]", calls: [clock]),
        Sample(
            family: .commandR,
            text:
                "Plan: look\nAction: ```json\n[\n  {\n    \"tool_name\": \"get_weather\",\n    \"parameters\": \(weather.arguments)\n  }\n]\n```",
            content: "Plan: look\n", calls: [weather]),
        Sample(
            family: .commandR,
            text:
                "<|START_ACTION|>[\n{\"tool_call_id\": \"0\", \"tool_name\": \"clock\", \"parameters\": {}}]<|END_ACTION|>",
            calls: [clock]),
    ]

    static func splitter(_ sample: Sample) -> AnswerSplitter {
        AnswerSplitter(
            tools: sample.family.map(ToolCallFormat.init), toolNames: ["get_weather", "clock"],
            reasoning: .think)
    }

    static func source(_ events: [AnswerEvent]) -> String {
        events.map { event in
            switch event {
            case .content(let text), .reasoning(let text), .markup(let text): text
            case .callEnded(_, let source, _): source
            case .callStarted, .callArguments: ""
            }
        }.joined()
    }

    @Test(arguments: samples.indices)
    func splitsAnyChunkingAlike(_ index: Int) {
        let sample = Self.samples[index]
        var random = SystemRandomNumberGenerator()
        for round in 0..<40 {
            var splitter = Self.splitter(sample)
            var (events, rest) = ([AnswerEvent](), sample.text.unicodeScalars[...])
            while !rest.isEmpty {
                // Whole, scalar by scalar, then at random.
                let count = round == 0 ? rest.count : round == 1 ? 1 : Int.random(in: 1...9, using: &random)
                events += splitter.feed(String(rest.prefix(count)))
                rest = rest.dropFirst(count)
            }
            events += splitter.finish()
            let answer = SplitAnswer(events)
            #expect(answer.content == sample.content)
            #expect(answer.reasoning == sample.reasoning)
            #expect(answer.calls == sample.calls)
            #expect(Self.source(events) == sample.text)
        }
    }

    /// Pieces of markers and calls in any order: nothing is lost, and cuts do not matter.
    @Test func losesNoByteOfAnything() {
        var random = SystemRandomNumberGenerator()
        for family in ToolCallFormat.Family.allCases {
            let format = ToolCallFormat(family)
            let pieces =
                (format.opening + format.closing + format.inner + format.afterName).map {
                    String(decoding: $0, as: UTF8.self)
                } + [
                    "{\"name\": \"clock\", ", "\"arguments\": ", "\"parameters\": {}", "{}", "}", "[", "]",
                    ",", "\n", " ",
                    "text", "é", "function", "<think>", "</think>", "\"", "\\", "{\"function\": {", "<",
                    "clock",
                ]
            for _ in 0..<300 {
                let text = (0..<12).map { _ in pieces.randomElement(using: &random) ?? "" }.joined()
                var (whole, cut) = (
                    AnswerSplitter(tools: format, reasoning: .think),
                    AnswerSplitter(tools: format, reasoning: .think)
                )
                let expected = whole.feed(text) + whole.finish()
                var events: [AnswerEvent] = []
                for scalar in text.unicodeScalars { events += cut.feed(String(scalar)) }
                events += cut.finish()
                #expect(Self.source(events) == text && Self.source(expected) == text, "\(family) \(text)")
                #expect(SplitAnswer(events) == SplitAnswer(expected), "\(family) \(text)")
            }
        }
    }

    /// Arguments come as they are written, not when the call is done.
    @Test func argumentsStream() {
        var splitter = AnswerSplitter(tools: ToolCallFormat(.hermes))
        #expect(splitter.feed("<tool_call>{\"name\": \"f\"").isEmpty)
        #expect(
            splitter.feed(", \"arguments\": {\"a\":") == [
                .markup("<tool_call>"), .callStarted(index: 0, name: "f"),
                .callArguments(index: 0, "{\"a\":"),
            ])
        #expect(splitter.feed(" 1") == [.callArguments(index: 0, " 1")])
        #expect(
            splitter.feed("}}") == [
                .callArguments(index: 0, "}"),
                .callEnded(
                    index: 0, source: "{\"name\": \"f\", \"arguments\": {\"a\": 1}}", isComplete: true),
            ])
    }

    @Test func timeIsLinear() {
        for text in [
            "<tool_call>" + String(repeating: "{\"a\":", count: 200_000),
            String(repeating: "<tool_call>", count: 90_000),
            "<tool_call>{\"name\":\"f\",\"arguments\":" + String(repeating: "[", count: 1_000_000),
            String(repeating: "<", count: 1_000_000),
            "<think>" + String(repeating: "</think", count: 140_000),
        ] {
            let time = ContinuousClock().measure {
                var splitter = AnswerSplitter(tools: ToolCallFormat(.hermes), reasoning: .think)
                var events: [AnswerEvent] = []
                var rest = text[...]
                while !rest.isEmpty {
                    events += splitter.feed(String(rest.prefix(4000)))
                    rest = rest.dropFirst(4000)
                }
                events += splitter.finish()
                #expect(Self.source(events) == text)
            }
            #expect(time < .seconds(20), "\(text.prefix(30)): \(time)")
        }
    }

    @Test func reasoningMayHaveBegunInThePrompt() {
        #expect(ReasoningFormat.think.isOpen(atEndOf: "<|assistant|>\n<think>\n"))
        #expect(!ReasoningFormat.think.isOpen(atEndOf: "<think></think>\n"))
        var splitter = AnswerSplitter(tools: nil, reasoning: .think, startsInReasoning: true)
        let answer = SplitAnswer(splitter.feed("so</think>\nyes") + splitter.finish())
        #expect(answer.reasoning == "so" && answer.content == "yes" && answer.calls.isEmpty)
    }

    @Test(
        arguments: [
            (
                "{% if tools %}<tool_call>\n{\"name\": ...}</tool_call>{% endif %}",
                ToolCallFormat.Family.hermes
            ),
            ("<|python_tag|> \"parameters\": dictionary of argument name", .llama3),
            ("[TOOL_CALLS] [", .mistral),
            ("<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>", .deepSeek), ("<|tool_call|>", .phi),
            ("Action: ```json [{\"tool_name\": ", .commandR), ("<|START_ACTION|>", .commandR),
            ("{{ messages }}", nil),
            ("<tool_call><function=name>", nil),
        ] as [(String, ToolCallFormat.Family?)])
    func formatsAreFoundFromTemplates(_ template: String, _ family: ToolCallFormat.Family?) {
        #expect(ToolCallFormat(template: template)?.family == family)
    }
}
