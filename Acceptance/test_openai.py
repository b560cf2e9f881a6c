"""OpenAI's SDK: models, chat and text completions, structured output, tools, responses, errors."""
import json
import unittest

import openai
from openai import OpenAI

from support import MODEL_NAME, TINY_MODEL, post, server, tool_server, url

CHAT = [{"role": "user", "content": "Name a colour."}]

COLOUR = {
    "type": "object", "additionalProperties": False, "required": ["colour", "bright"],
    "properties": {"colour": {"enum": ["red", "green", "blue"]}, "bright": {"type": "boolean"}}}

WEATHER = {"type": "function", "function": {
    "name": "get_weather", "description": "The weather of a city.",
    "parameters": {
        "type": "object", "additionalProperties": False, "required": ["city", "unit"],
        "properties": {"city": {"enum": ["Paris", "Rome"]}, "unit": {"enum": ["C", "F"]}}}}}


class OpenAITests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.connect(url())

    @classmethod
    def connect(cls, address):
        cls.client = OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0, timeout=60)
        cls.addClassCleanup(cls.client.close)

    def chat(self, **fields):
        defaults = {"model": MODEL_NAME, "messages": CHAT, "max_tokens": 12, "temperature": 0}
        return self.client.chat.completions.create(**{**defaults, **fields})

    def complete(self, **fields):
        defaults = {"model": MODEL_NAME, "prompt": "One, two,", "max_tokens": 8, "temperature": 0}
        return self.client.completions.create(**{**defaults, **fields})


class ModelTests(OpenAITests):
    def test_models(self):
        models = self.client.models.list().data
        self.assertEqual([m.id for m in models], [MODEL_NAME])
        self.assertEqual(self.client.models.retrieve(MODEL_NAME), models[0])
        self.assertEqual(models[0].object, "model")

    def test_headers(self):
        answer = self.client.chat.completions.with_raw_response.create(
            model=MODEL_NAME, messages=CHAT, max_tokens=1, extra_headers={"X-Request-Id": "abc-1"},
            extra_body={"no_such_field": 1})
        self.assertEqual(answer.headers["x-request-id"], "abc-1")
        self.assertEqual(answer.headers["content-type"].split(";")[0], "application/json")
        self.assertEqual(answer.headers["x-ignored-fields"], "no_such_field")
        self.assertEqual(answer.parse()._request_id, "abc-1")


class ChatTests(OpenAITests):
    def test_answer(self):
        answer = self.chat()
        choice = answer.choices[0]
        self.assertEqual((answer.object, answer.model), ("chat.completion", MODEL_NAME))
        self.assertEqual((choice.message.role, choice.finish_reason), ("assistant", "length"))
        self.assertNotEqual(choice.message.content, "")
        self.assertEqual(answer.usage.completion_tokens, 12)
        self.assertEqual(answer.usage.total_tokens, answer.usage.prompt_tokens + 12)

    def test_stream_with_usage(self):
        whole = self.chat()
        chunks = list(self.chat(stream=True, stream_options={"include_usage": True}))
        *parts, last = chunks
        self.assertEqual(last.choices, [])
        self.assertEqual(last.usage.total_tokens, whole.usage.total_tokens)
        self.assertTrue(all(chunk.usage is None for chunk in parts))
        self.assertEqual(parts[0].choices[0].delta.role, "assistant")
        self.assertEqual(
            "".join(chunk.choices[0].delta.content or "" for chunk in parts), whole.choices[0].message.content)
        self.assertEqual([c.choices[0].finish_reason for c in parts if c.choices[0].finish_reason], ["length"])
        self.assertEqual(len({chunk.id for chunk in chunks}), 1)

    def test_stream_helper(self):
        # The helper takes an answer that reached its length for an error, so this one stops at a word.
        word = self.chat().choices[0].message.content.split()[3]
        with self.client.chat.completions.stream(
            model=MODEL_NAME, messages=CHAT, max_tokens=12, temperature=0, stop=word
        ) as stream:
            final = stream.get_final_completion()
        self.assertEqual(final.choices[0].message.content, self.chat(stop=word).choices[0].message.content)

    def test_logprobs(self):
        content = self.chat(logprobs=True, top_logprobs=3, max_tokens=4).choices[0].logprobs.content
        self.assertEqual(len(content), 4)
        for entry in content:
            self.assertEqual(len(entry.top_logprobs), 3)
            self.assertEqual(entry.logprob, entry.top_logprobs[0].logprob)
            self.assertEqual(bytes(entry.bytes).decode(), entry.token)

    def test_several_choices(self):
        answer = self.chat(n=3, temperature=1.2, seed=5)
        texts = [choice.message.content for choice in answer.choices]
        self.assertEqual([choice.index for choice in answer.choices], [0, 1, 2])
        self.assertGreater(len(set(texts)), 1)
        self.assertEqual(answer.usage.completion_tokens, 36)
        again = self.chat(n=3, temperature=1.2, seed=5)
        self.assertEqual([choice.message.content for choice in again.choices], texts)

    def test_seed(self):
        first = self.chat(temperature=1.5, seed=11).choices[0].message.content
        self.assertEqual(self.chat(temperature=1.5, seed=11).choices[0].message.content, first)
        self.assertNotEqual(self.chat(temperature=1.5, seed=12).choices[0].message.content, first)

    def test_stop(self):
        text = self.chat().choices[0].message.content
        word = text.split()[1]
        answer = self.chat(stop=[word]).choices[0]
        self.assertEqual((answer.message.content, answer.finish_reason), (text.split(word)[0], "stop"))

    def test_logit_bias(self):
        token = post("/tokenize", prompt=" blue")["tokens"][0]
        answer = self.chat(logit_bias={str(token): 100}, max_tokens=2)
        self.assertEqual(answer.choices[0].message.content.strip(), "blue blue")

    def test_max_completion_tokens(self):
        answer = self.chat(max_tokens=openai.omit, max_completion_tokens=3)
        self.assertEqual(answer.usage.completion_tokens, 3)

    def test_system_and_parts(self):
        answer = self.chat(messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Name a colour."}]}])
        self.assertNotEqual(answer.choices[0].message.content, "")


class StructuredTests(OpenAITests):
    def test_json_schema(self):
        form = {"type": "json_schema", "json_schema": {"name": "colour", "strict": True, "schema": COLOUR}}
        for temperature in (0, 1.5):
            answer = self.chat(response_format=form, max_tokens=40, temperature=temperature, seed=1).choices[0]
            value = json.loads(answer.message.content)
            self.assertEqual((set(value), answer.finish_reason), ({"colour", "bright"}, "stop"))
            self.assertIn(value["colour"], ["red", "green", "blue"])
            self.assertIsInstance(value["bright"], bool)

    def test_json_schema_stream(self):
        form = {"type": "json_schema", "json_schema": {"name": "colour", "schema": COLOUR}}
        chunks = self.chat(response_format=form, max_tokens=40, stream=True)
        value = json.loads("".join(chunk.choices[0].delta.content or "" for chunk in chunks))
        self.assertEqual(set(value), {"colour", "bright"})

    def test_parse_helper(self):
        from typing import Literal

        from pydantic import BaseModel

        class Colour(BaseModel):
            colour: Literal["red", "green", "blue"]
            bright: bool

        answer = self.client.chat.completions.parse(
            model=MODEL_NAME, messages=CHAT, response_format=Colour, max_tokens=40, temperature=0)
        self.assertIsInstance(answer.choices[0].message.parsed, Colour)

    def test_impossible_schema_is_refused(self):
        form = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "no such type"}}}
        with self.assertRaises(openai.BadRequestError):
            self.chat(response_format=form)


class ToolTests(OpenAITests):
    @classmethod
    def setUpClass(cls):
        cls.connect(cls.enterClassContext(tool_server())[0])

    def check(self, call):
        self.assertEqual((call.type, call.function.name), ("function", "get_weather"))
        arguments = json.loads(call.function.arguments)
        self.assertIn(arguments["city"], ["Paris", "Rome"])
        self.assertIn(arguments["unit"], ["C", "F"])

    def test_named_and_required(self):
        named = {"type": "function", "function": {"name": "get_weather"}}
        for choice in (named, "required"):
            with self.subTest(choice):
                answer = self.chat(tools=[WEATHER], tool_choice=choice, parallel_tool_calls=False, max_tokens=64)
                self.assertEqual(len(answer.choices[0].message.tool_calls), 1)
                self.check(answer.choices[0].message.tool_calls[0])
                self.assertIn(answer.choices[0].finish_reason, ["tool_calls", "stop"])
                self.assertNotEqual(answer.choices[0].message.tool_calls[0].id, "")

    def test_stream(self):
        chunks = self.chat(
            tools=[WEATHER], tool_choice="required", parallel_tool_calls=False, max_tokens=64, stream=True)
        deltas = [
            call for chunk in chunks for choice in chunk.choices for call in choice.delta.tool_calls or []]
        self.assertEqual([delta.function.name for delta in deltas if delta.function.name], ["get_weather"])
        self.assertTrue(deltas[0].id)
        arguments = "".join(delta.function.arguments or "" for delta in deltas)
        self.assertEqual(set(json.loads(arguments)), {"city", "unit"})
        whole = self.chat(tools=[WEATHER], tool_choice="required", parallel_tool_calls=False, max_tokens=64)
        self.assertEqual(arguments, whole.choices[0].message.tool_calls[0].function.arguments)

    def test_none_and_results(self):
        answer = self.chat(tools=[WEATHER], tool_choice="none")
        self.assertIsNone(answer.choices[0].message.tool_calls)
        call = {"id": "call_1", "type": "function",
                "function": {"name": "get_weather", "arguments": '{"city": "Paris", "unit": "C"}'}}
        answer = self.chat(tools=[WEATHER], messages=[
            {"role": "user", "content": "What is the weather in Paris?"},
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": "20 degrees"}])
        self.assertIn(answer.choices[0].finish_reason, ["stop", "length", "tool_calls"])


class CompletionTests(OpenAITests):
    def test_batch_of_token_ids(self):
        prompts = [post("/tokenize", prompt=text)["tokens"] for text in ("One, two,", "Red, green and")]
        answer = self.complete(prompt=prompts)
        self.assertEqual([choice.index for choice in answer.choices], [0, 1])
        alone = [self.complete(prompt=prompt).choices[0].text for prompt in prompts]
        self.assertEqual([choice.text for choice in answer.choices], alone)
        self.assertEqual(answer.usage.prompt_tokens, sum(map(len, prompts)))

    def test_stream(self):
        text = "".join(chunk.choices[0].text for chunk in self.complete(stream=True) if chunk.choices)
        self.assertEqual(text, self.complete().choices[0].text)

    def test_echo_scores_the_prompt(self):
        prompt = post("/tokenize", prompt="The capital of France is Paris")["tokens"]
        logprobs = self.complete(prompt=prompt, echo=True, logprobs=1, max_tokens=1).choices[0].logprobs
        self.assertEqual(len(logprobs.token_logprobs), len(prompt) + 1)
        self.assertIsNone(logprobs.token_logprobs[0])
        for own, best in zip(logprobs.token_logprobs[1:], logprobs.top_logprobs[1:]):
            self.assertLessEqual(own, max(best.values()))
        # " Paris" is the likeliest: exactly the same number in both places.
        self.assertEqual(logprobs.token_logprobs[-2], max(logprobs.top_logprobs[-2].values()))


class ResponseTests(OpenAITests):
    def test_text(self):
        answer = self.client.responses.create(
            model=MODEL_NAME, input="Name a colour.", max_output_tokens=12, temperature=0, store=False)
        self.assertEqual(answer.output_text, self.chat().choices[0].message.content)
        self.assertEqual(answer.usage.output_tokens, 12)
        self.assertEqual((answer.object, answer.status), ("response", "incomplete"))

    def test_stream(self):
        events = list(self.client.responses.create(
            model=MODEL_NAME, input="Name a colour.", max_output_tokens=12, temperature=0, store=False,
            stream=True))
        types = [event.type for event in events]
        self.assertEqual(types[0], "response.created")
        self.assertIn(types[-1], ["response.completed", "response.incomplete"])
        text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
        self.assertEqual(text, self.chat().choices[0].message.content)
        self.assertEqual([event.sequence_number for event in events], list(range(len(events))))

    def test_state_is_refused(self):
        with self.assertRaises(openai.BadRequestError):
            self.client.responses.create(model=MODEL_NAME, input="Hi", previous_response_id="resp_1")


class ErrorTests(OpenAITests):
    def test_bad_request(self):
        for fields in ({"temperature": -1}, {"n": 0}, {"messages": []}, {"top_logprobs": 3},
                       {"stop": ["x"] * 65}, {"logit_bias": {"x": 1}}):
            with self.subTest(fields), self.assertRaises(openai.BadRequestError) as caught:
                self.chat(**fields)
            self.assertEqual(caught.exception.type, "invalid_request_error")
            self.assertNotEqual(caught.exception.body["message"], "")

    def test_prompt_too_long(self):
        with self.assertRaises(openai.BadRequestError):
            self.complete(prompt=[100] * 20000)

    def test_not_found(self):
        with self.assertRaises(openai.NotFoundError):
            self.client.models.retrieve("no-such-model")
        with self.assertRaises(openai.NotFoundError):
            self.client.post("/no/such/path", body={}, cast_to=object)

    def test_embeddings_of_a_model_without(self):
        with self.assertRaises(openai.BadRequestError) as caught:
            self.client.embeddings.create(model=MODEL_NAME, input="Hello")
        self.assertIn("embedding", caught.exception.body["message"])

    def test_keys(self):
        with server(TINY_MODEL, "--max_total_token_num", 1000, "--api_key", "secret") as (address, _):
            def client(key):
                return OpenAI(base_url=f"{address}/v1", api_key=key, max_retries=0)
            with self.assertRaises(openai.AuthenticationError) as caught:
                client("wrong").models.list()
            self.assertEqual(caught.exception.code, "invalid_api_key")
            self.assertEqual(len(client("secret").models.list().data), 1)

    def test_full_queue(self):
        flags = ["--max_total_token_num", 1000, "--max_waiting_requests", 1, "--running_max_req_size", 1]
        with server(TINY_MODEL, *flags) as (address, _):
            client = OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0)
            with self.assertRaises(openai.RateLimitError) as caught:
                client.completions.create(model="m", prompt=[[5], [6], [7], [8]], max_tokens=200)
            self.assertGreaterEqual(int(caught.exception.response.headers["retry-after"]), 1)
