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

private let report = ToolCall(
    name: "get_weather",
    arguments: "{\"city\": \"Köln\\n<b> \\\"x\\\"\", \"days\": [1, {\"x\": null}], \"note\": \"so so\"}")

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
        Sample(
            family: .commandR,
            text:
                "\nAction:\n```json\n[\n    {\n        \"tool_name\": \"clock\",\n        \"parameters\": {}\n    }\n]```\n",
            calls: [clock]),
        Sample(
            family: .qwen3Coder,
            text:
                "Ok.\n\n<tool_call>\n<function=get_weather>\n<parameter=city>\nKöln\n<b> \"x\"\n</parameter>\n<parameter=days>\n[1, {\"x\": null}]\n</parameter>\n<parameter=note>\nso so\n</parameter>\n</function>\n</tool_call>\n<tool_call>\n<function=clock>\n</function>\n</tool_call>",
            content: "Ok.\n\n", calls: [report, clock]),
        Sample(
            family: .qwen3Coder, text: "<function=clock></function> done", content: "done", calls: [clock]),
        Sample(
            family: .qwen3Coder,
            text: "<tool_call>{\"name\": \"clock\", \"arguments\": {}}</tool_call>", calls: [clock]),
        Sample(
            family: .qwen3Coder, text: "a <function is <tool_call>\n<function>x</tool_call>",
            content: "a <function is <tool_call>\n<function>x</tool_call>"),
        Sample(
            family: .qwen3Coder, text: "<tool_call>\n<function=clock>\n<parameter=zone>\nUT",
            calls: [ToolCall(name: "clock", arguments: "{\"zone\": ")]),
        Sample(
            family: .glm,
            text:
                "<think>a</think>\nLook:\n<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Köln\n<b> \"x\"</arg_value>\n<arg_key>days</arg_key>\n<arg_value>[1, {\"x\": null}]</arg_value>\n<arg_key>note</arg_key><arg_value>so so</arg_value>\n</tool_call>\n<tool_call>clock</tool_call>\n",
            content: "Look:\n", reasoning: "a", calls: [report, clock]),
        Sample(
            family: .glm, text: "<tool_call>clock\nnow</tool_call>",
            content: "<tool_call>clock\nnow</tool_call>"),
        Sample(
            family: .pythonic,
            text:
                "[get_weather(city='Köln\\n<b> \"x\"', days=[1, {'x': None}], note=\"so \\x73o\"), clock()]",
            calls: [report, clock]),
        Sample(
            family: .pythonic,
            text:
                "<|python_start|>[get_weather(city=\"K\\u00f6ln\\n<b> \\\"x\\\"\",days=(1,{\"x\":None,},),note='so \\163o'.strip())]",
            content: ".strip())]",
            calls: [
                ToolCall(
                    name: "get_weather",
                    arguments:
                        "{\"city\": \"Köln\\n<b> \\\"x\\\"\", \"days\": [1, {\"x\": null}], \"note\": \"so \\\\163o\""
                )
            ]),
        Sample(family: .pythonic, text: "[1, 2] and [clock]", content: "[1, 2] and [clock]"),
        Sample(family: .pythonic, text: "[unknown(a=1)]", content: "[unknown(a=1)]"),
        Sample(
            family: .pythonic, text: "[clock(a=b)]", content: ")]",
            calls: [ToolCall(name: "clock", arguments: "{\"a\": ")]),
        Sample(
            family: .pythonic, text: "[clock(a=True, b=-1_000, c=.5, d='\\ud83c\\udf26')]",
            calls: [
                ToolCall(name: "clock", arguments: "{\"a\": true, \"b\": -1000, \"c\": 0.5, \"d\": \"🌦\"}")
            ]),
        Sample(
            family: .lfm2, text: "Hm<|tool_call_start|>[clock()]<|tool_call_end|>Checking.",
            content: "HmChecking.", calls: [clock]),
        Sample(
            family: .mistralNamed, text: "[TOOL_CALLS]clock[ARGS]{}", calls: [clock]),
    ]

    static func splitter(_ sample: Sample) -> AnswerSplitter {
        AnswerSplitter(
            tools: sample.family.map(ToolCallFormat.init), toolNames: ["get_weather", "clock"],
            parameters: [
                "get_weather": ToolParameters(["properties": ["city": ["type": "string"], "days": [:]]])
            ],
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
                format.markers + format.beginnings + [
                    "clock(", ")", "a=", "'", "1", "None", "<parameter=a>", "</parameter>", "</function>",
                    "<arg_key>k</arg_key>", "<arg_value>", "</arg_value>", "=", ":",
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
            "<tool_call><function=f><parameter=a>" + String(repeating: "\n</parameter", count: 70_000),
            "<tool_call>f\n<arg_key>a</arg_key><arg_value>" + String(repeating: "[\"<", count: 300_000),
            "[f(a=" + String(repeating: "[(", count: 500_000),
            "[f(a='" + String(repeating: "\\u", count: 500_000),
        ] {
            let family: ToolCallFormat.Family =
                text.hasPrefix("[f")
                ? .pythonic
                : text.contains("<f")
                    ? .qwen3Coder
                    : text.contains("<arg") ? .glm : .hermes
            let time = ContinuousClock().measure {
                var splitter = AnswerSplitter(tools: ToolCallFormat(family), reasoning: .think)
                var events: [AnswerEvent] = []
                var rest = text[...]
                while !rest.isEmpty {
                    events += splitter.feed(String(rest.prefix(4000)))
                    rest = rest.dropFirst(4000)
                }
                events += splitter.finish()
                #expect(Self.source(events) == text)
            }
            #expect(time < .seconds(2), "\(text.prefix(30)): \(time)")
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
            ("<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>", .deepSeekNamed), ("<|tool_call|>", .granite),
            ("Action: ```json [{\"tool_name\": ", .commandR), ("<|START_ACTION|>", .commandR7B),
            ("{{ messages }}", nil),
            ("<tool_call><function=name><parameter=a>", .qwen3Coder), ("<tool_call>name<arg_key>", .glm),
            ("[TOOL_CALLS]f[ARGS]", .mistralNamed), ("<|tool_call|><|/tool_call|>", .phi),
            ("<|tool_call_start|>[", .lfm2), ("[func_name1(params_name1=params_value1", .pythonic),
            ("<｜tool▁call▁begin｜>function<｜tool▁sep｜>```json", .deepSeek),
        ] as [(String, ToolCallFormat.Family?)])
    func formatsAreFoundFromTemplates(_ template: String, _ family: ToolCallFormat.Family?) {
        #expect(ToolCallFormat(template: template)?.family == family)
    }

    /// The names that other servers' users know.
    @Test(
        arguments: [
            ("hermes", .hermes), ("qwen25", .hermes), ("qwen3_coder", .qwen3Coder),
            ("qwen3_xml", .qwen3Coder),
            ("llama3", .llama3), ("llama3_json", .llama3), ("llama4_json", .llama3), ("pythonic", .pythonic),
            ("llama4_pythonic", .pythonic), ("mistral", .mistral), ("deepseek", .deepSeek),
            ("deepseek_v3", .deepSeek), ("deepseekv31", .deepSeekNamed), ("DeepSeek-V3.1", .deepSeekNamed),
            ("phi4_mini_json", .phiFunctools), ("command_r", .commandR), ("cohere", .commandR),
            ("granite", .granite), ("glm45", .glm), ("glm47", .glm), ("lfm2", .lfm2), ("unheard_of", nil),
            ("", nil),
        ] as [(String, ToolCallFormat.Family?)])
    func formatsHaveNames(_ name: String, _ family: ToolCallFormat.Family?) {
        #expect(ToolCallFormat(named: name)?.family == family)
    }

    @Test func reasoningFormatsHaveNames() {
        #expect(ReasoningFormat(named: "deepseek_r1") == .think && ReasoningFormat(named: "qwen3") == .think)
        #expect(ReasoningFormat(named: "mistral")?.opening == "[THINK]")
        #expect(ReasoningFormat(named: "granite")?.closing == "Here is my response:")
        #expect(ReasoningFormat(named: "cohere_command3")?.closing == "<|END_THINKING|>")
        #expect(ReasoningFormat(named: "none") == nil)
        #expect(ReasoningFormat(template: "[THINK]{{ x }}[/THINK]") == ReasoningFormat(named: "magistral"))
        #expect(ReasoningFormat(template: "{{ x }}") == nil)
    }

    /// Strings between tags are told as they come, other values when they end.
    @Test func argumentsBetweenTagsStream() {
        var splitter = AnswerSplitter(
            tools: ToolCallFormat(.qwen3Coder),
            parameters: ["f": ToolParameters(["properties": ["a": ["type": "string"]]])])
        #expect(splitter.feed("<tool_call>\n<function=f>\n").isEmpty)
        #expect(
            splitter.feed("<parameter=a>\nso") == [
                .markup("<tool_call>\n"), .callStarted(index: 0, name: "f"),
                .callArguments(index: 0, "{\"a\": \"so"),
            ])
        #expect(splitter.feed(" it\n").last == .callArguments(index: 0, " it"))
        #expect(splitter.feed("is</par").last == .callArguments(index: 0, "\\nis"))
        #expect(splitter.feed("ameter>\n<parameter=b>").last == .callArguments(index: 0, "\", \"b\": "))
        #expect(splitter.feed("1").isEmpty)
        #expect(splitter.feed("2</parameter>").last == .callArguments(index: 0, "12"))
    }

    /// Each chat template's own example of a call is read by the format found from it.
    @Test(
        .enabled(if: ProcessInfo.processInfo.environment["LIGHTLLM_GOLDENS"] != nil),
        arguments: [
            ("qwen2.5-7b-instruct", ToolCallFormat.Family.hermes), ("trl-qwen3", .hermes),
            ("hermes-3-llama-3.1-tool-use", .hermes), ("llama-3.1-8b-instruct", .llama3),
            ("llama-3.2-3b-instruct", .llama3), ("mistral-nemo-instruct-2407", .mistral),
            ("trl-deepseekv3", .deepSeek), ("granite-3.0", .granite), ("command-r-plus-tool-use", .commandR),
            ("command-r7b-tool-use", .commandR7B), ("trl-qwen3_8", .qwen3Coder),
            ("trl-nemotron_3_nano", .qwen3Coder), ("trl-glm4moe", .glm), ("trl-lfm2_2_5", .lfm2),
            ("smollm2-instruct", nil), ("phi-4", nil), ("gemma-2-2b-it", nil),
        ] as [(String, ToolCallFormat.Family?)])
    func realTemplatesAreKnown(_ name: String, _ family: ToolCallFormat.Family?) throws {
        let folder = try #require(ProcessInfo.processInfo.environment["LIGHTLLM_GOLDENS"])
        let data = try Data(contentsOf: URL(filePath: "\(folder)/chat_templates/\(name).json"))
        let template = try #require(try JSONValue(parsing: Array(data))["chat_template"])
        let text = template.string ?? template.serialized
        #expect(ToolCallFormat(template: text)?.family == family)
    }
}
