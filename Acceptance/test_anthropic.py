"""Anthropic's SDK: messages, streams, counting tokens, tools, errors."""
import unittest

import anthropic
from anthropic import Anthropic

from support import MODEL_NAME, TINY_MODEL, post, server, tool_server, url

CHAT = [{"role": "user", "content": "Name a colour."}]
# The SDK has no argument for it any more; the API has the field.
GREEDY = {"extra_body": {"temperature": 0}}

WEATHER = {
    "name": "get_weather", "description": "The weather of a city.",
    "input_schema": {
        "type": "object", "additionalProperties": False, "required": ["city", "unit"],
        "properties": {"city": {"enum": ["Paris", "Rome"]}, "unit": {"enum": ["C", "F"]}}}}


class AnthropicTests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.connect(url())

    @classmethod
    def connect(cls, address):
        cls.client = Anthropic(base_url=address, api_key="none", max_retries=0, timeout=60)
        cls.addClassCleanup(cls.client.close)

    def ask(self, **fields):
        defaults = {"model": MODEL_NAME, "messages": CHAT, "max_tokens": 12, **GREEDY}
        return self.client.messages.create(**{**defaults, **fields})


class MessageTests(AnthropicTests):
    def test_message(self):
        answer = self.ask()
        self.assertEqual((answer.type, answer.role, answer.stop_reason), ("message", "assistant", "max_tokens"))
        self.assertEqual([block.type for block in answer.content], ["text"])
        chat = post("/v1/chat/completions", messages=CHAT, max_tokens=12, temperature=0)
        self.assertEqual(answer.content[0].text, chat["choices"][0]["message"]["content"])
        self.assertEqual(answer.usage.output_tokens, 12)

    def test_stream(self):
        with self.client.messages.stream(
            model=MODEL_NAME, messages=CHAT, max_tokens=12, **GREEDY
        ) as stream:
            text = "".join(stream.text_stream)
            final = stream.get_final_message()
        self.assertEqual(text, self.ask().content[0].text)
        self.assertEqual((final.content[0].text, final.stop_reason), (text, "max_tokens"))
        self.assertEqual(final.usage.output_tokens, 12)

    def test_system_blocks_and_turns(self):
        answer = self.ask(
            system=[{"type": "text", "text": "Be brief."}],
            messages=[{"role": "user", "content": [{"type": "text", "text": "Hello."}]},
                      {"role": "assistant", "content": "Hello!"},
                      {"role": "user", "content": "Name a colour."}])
        self.assertNotEqual(answer.content[0].text, "")

    def test_stop_sequences(self):
        text = self.ask().content[0].text
        word = text.split()[2]
        answer = self.ask(stop_sequences=[word])
        self.assertEqual((answer.content[0].text, answer.stop_reason), (text.split(word)[0], "stop_sequence"))
        self.assertEqual(answer.stop_sequence, word)

    def test_count_tokens(self):
        count = self.client.messages.count_tokens(model=MODEL_NAME, messages=CHAT).input_tokens
        usage = self.ask().usage
        self.assertEqual(count, usage.input_tokens + usage.cache_read_input_tokens)

    def test_bad_request(self):
        with self.assertRaises(anthropic.BadRequestError) as caught:
            self.ask(messages=[])
        self.assertEqual(caught.exception.body["type"], "error")
        self.assertEqual(caught.exception.body["error"]["type"], "invalid_request_error")

    def test_keys(self):
        with server(TINY_MODEL, "--max_total_token_num", 1000, "--api_key", "secret") as (address, _):
            def ask(key):
                client = Anthropic(base_url=address, api_key=key, max_retries=0)
                return client.messages.create(model="m", max_tokens=1, messages=CHAT)
            with self.assertRaises(anthropic.AuthenticationError):
                ask("wrong")
            self.assertEqual(ask("secret").role, "assistant")


class ToolTests(AnthropicTests):
    @classmethod
    def setUpClass(cls):
        cls.connect(cls.enterClassContext(tool_server())[0])

    def test_tools(self):
        for choice in ({"type": "tool", "name": "get_weather"}, {"type": "any"}):
            with self.subTest(choice):
                answer = self.ask(tools=[WEATHER], tool_choice=choice, max_tokens=64)
                call = next(block for block in answer.content if block.type == "tool_use")
                self.assertEqual((call.name, answer.stop_reason), ("get_weather", "tool_use"))
                self.assertEqual(set(call.input), {"city", "unit"})

    def test_tools_stream(self):
        with self.client.messages.stream(
            model=MODEL_NAME, messages=CHAT, max_tokens=64, **GREEDY, tools=[WEATHER],
            tool_choice={"type": "tool", "name": "get_weather"}
        ) as stream:
            final = stream.get_final_message()
        call = next(block for block in final.content if block.type == "tool_use")
        self.assertIn(call.input["city"], ["Paris", "Rome"])

    def test_tool_results(self):
        answer = self.ask(tools=[WEATHER], messages=[
            {"role": "user", "content": "What is the weather in Paris?"},
            {"role": "assistant", "content": [
                {"type": "tool_use", "id": "toolu_1", "name": "get_weather",
                 "input": {"city": "Paris", "unit": "C"}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": "20 degrees"}]}])
        self.assertEqual(answer.role, "assistant")
