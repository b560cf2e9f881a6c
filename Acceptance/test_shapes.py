"""The same request gives the same tokens, whichever shape it comes in."""
import unittest

import requests

from support import native_events, post, url

TEXTS = ["What is AI?", "One, two, three,", "def add(a, b):\n    return", "Es war einmal ein König 👑"]
CHAT = [{"role": "user", "content": "Name a colour."}]
# SmolLM2's template, written out.
RENDERED = (
    "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
    "<|im_start|>user\nName a colour.<|im_end|>\n<|im_start|>assistant\n")

# Each shape's names for the same: (LightLLM's parameters, OpenAI's fields).
SAMPLING = [
    ({"do_sample": False}, {"temperature": 0}),
    ({"do_sample": True, "temperature": 0.8, "seed": 7}, {"temperature": 0.8, "seed": 7}),
    ({"do_sample": True, "temperature": 1.3, "top_p": 0.9, "top_k": 40, "seed": 1234},
     {"temperature": 1.3, "top_p": 0.9, "top_k": 40, "seed": 1234}),
    ({"do_sample": True, "presence_penalty": 0.5, "frequency_penalty": 0.25, "repetition_penalty": 1.1, "seed": 3},
     {"temperature": 1, "presence_penalty": 0.5, "frequency_penalty": 0.25, "repetition_penalty": 1.1, "seed": 3}),
]


def tokens(text):
    return post("/tokenize", prompt=text)["tokens"]


def native(prompt, parameters, count=12):
    """LightLLM's answer: (ids, text, log probabilities)."""
    answer = post("/generate", inputs=prompt, parameters={
        **parameters, "max_new_tokens": count, "ignore_eos": True, "return_details": True,
        "skip_special_tokens": False})
    details = answer["tokens"]
    return [t["id"] for t in details], answer["generated_text"][0], [t["logprob"] for t in details]


class ShapeTests(unittest.TestCase):
    def test_generate_and_completions(self):
        for text in TEXTS:
            prompt = tokens(text)
            for parameters, fields in SAMPLING:
                with self.subTest(text=text, parameters=parameters):
                    ids, answer, logprobs = native(prompt, parameters)
                    choice = post(
                        "/v1/completions", prompt=prompt, max_tokens=12, ignore_eos=True, logprobs=0,
                        skip_special_tokens=False, **fields)["choices"][0]
                    self.assertEqual(choice["logprobs"]["token_logprobs"], logprobs)
                    # A completion goes on after the prompt: it keeps the space that an answer of its own drops.
                    self.assertEqual(choice["text"].lstrip(" "), answer.lstrip(" "))
                    self.assertEqual(len(ids), 12)

    def test_text_and_token_ids(self):
        for text in TEXTS:
            with self.subTest(text):
                self.assertEqual(native(text, {"do_sample": False}), native(tokens(text), {"do_sample": False}))

    def test_streams(self):
        for parameters, fields in SAMPLING:
            with self.subTest(parameters=parameters):
                ids, text, _ = native(TEXTS[1], parameters)
                body = {"inputs": TEXTS[1], "parameters": {
                    **parameters, "max_new_tokens": 12, "ignore_eos": True, "skip_special_tokens": False}}
                events = list(native_events(requests.post(url("/generate_stream"), json=body, timeout=60)))
                self.assertEqual([event["token"]["id"] for event in events], ids)
                self.assertEqual("".join(event["token"]["text"] for event in events), text)
                self.assertTrue(events[-1]["finished"])

    def test_dispatch_of_the_root(self):
        body = {"inputs": TEXTS[1], "parameters": {"max_new_tokens": 5}}
        whole = post("/", **body)
        self.assertEqual(whole, post("/generate", **body))
        events = list(native_events(requests.post(url("/"), json={**body, "stream": True}, timeout=60)))
        self.assertEqual("".join(event["token"]["text"] for event in events), whole["generated_text"][0])

    def test_chat_and_its_template_written_out(self):
        for parameters, fields in SAMPLING:
            with self.subTest(parameters=parameters):
                _, text, logprobs = native(RENDERED, parameters)
                choice = post(
                    "/v1/chat/completions", messages=CHAT, max_tokens=12, ignore_eos=True, logprobs=True,
                    skip_special_tokens=False, **fields)["choices"][0]
                self.assertEqual([entry["logprob"] for entry in choice["logprobs"]["content"]], logprobs)
                self.assertEqual(choice["message"]["content"], text)

    def test_chat_in_responses_and_messages(self):
        wanted = post(
            "/v1/chat/completions", messages=CHAT, max_tokens=12, temperature=0)["choices"][0]["message"]["content"]
        answer = post("/v1/responses", input=CHAT, max_output_tokens=12, temperature=0)
        self.assertEqual(answer["output"][-1]["content"][0]["text"], wanted)
        answer = post("/v1/messages", model="m", messages=CHAT, max_tokens=12, temperature=0)
        self.assertEqual(answer["content"][-1]["text"], wanted)
