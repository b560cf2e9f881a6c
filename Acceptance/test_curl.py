"""The lines of the READMEs, as they stand there but for the address."""
import json
import re
import subprocess
import sys
import unittest

import requests

from support import MODEL_NAME, ROOT, TINY_MODEL, post, server, url

# LightLLM's README.
CURL = """curl http://127.0.0.1:8080/generate     \\
    -X POST                             \\
    -d '{"inputs":"What is AI?","parameters":{"max_new_tokens":17, "frequency_penalty":1}}' \\
    -H 'Content-Type: application/json'
"""

PYTHON = """
import time
import requests
import json

url = 'http://localhost:8080/generate'
headers = {'Content-Type': 'application/json'}
data = {
    'inputs': 'What is AI?',
    "parameters": {
        'do_sample': False,
        'ignore_eos': False,
        'max_new_tokens': 1024,
    }
}
response = requests.post(url, headers=headers, data=json.dumps(data))
if response.status_code == 200:
    print(response.json())
else:
    print('Error:', response.status_code, response.text)
"""


def at(text, address):
    """The text with the server's address in the place of the README's."""
    return re.sub(r"http://(127\.0\.0\.1|localhost):80[08]0", address, text)


def run(*words, text=None):
    process = subprocess.run(words, input=text, capture_output=True, text=True, timeout=120)
    assert process.returncode == 0, process.stderr
    return process.stdout


def blocks(language):
    """The code of this project's README in a language."""
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


class LightLLMReadmeTests(unittest.TestCase):
    def test_curl(self):
        answer = json.loads(run("bash", text=at(CURL, url())))
        self.assertEqual(len(answer["generated_text"]), 1)
        self.assertEqual((answer["count_output_tokens"], answer["finish_reason"]), (17, "length"))
        self.assertEqual(answer["prompt_tokens"], 4)

    def test_python(self):
        output = run(sys.executable, "-", text=at(PYTHON, url()))
        self.assertTrue(output.startswith("{'generated_text': ['"), output)
        self.assertRegex(output, "'finish_reason': '(stop|length)'")

    def test_launch_with_a_number_of_tokens(self):
        flags = "--host 0.0.0.0 --tp 1 --max_total_token_num 120000".split()
        with server(TINY_MODEL, *flags) as (address, lines):
            self.assertTrue(any("120000" in line for line in lines), lines)
            answer = json.loads(run("bash", text=at(CURL, address)))
            self.assertEqual(answer["count_output_tokens"], 17)

    def test_launch_with_a_part_of_the_memory(self):
        with server(TINY_MODEL, "--host", "0.0.0.0", "--tp", "1", "--mem_faction", "0.9") as (address, _):
            self.assertEqual(requests.get(f"{address}/health", timeout=20).status_code, 200)


class ReadmeTests(unittest.TestCase):
    def test_curl_lines(self):
        lines = [block for block in blocks("sh") if "curl " in block]
        self.assertNotEqual(lines, [])
        for line in lines:
            answer = json.loads(run("bash", text=at(line, url())))
            self.assertTrue("generated_text" in answer or "choices" in answer, answer)

    def test_python(self):
        examples = [block for block in blocks("python") if "openai" in block]
        self.assertNotEqual(examples, [])
        for example in examples:
            # The README's answer may be long; what is tested is that it comes.
            short = example.replace("stream=True", "stream=True, max_tokens=16")
            self.assertGreater(len(run(sys.executable, "-", text=at(short, url())).strip()), 8)


class ServerTests(unittest.TestCase):
    def test_both_lines_that_launchers_wait_for(self):
        with server(TINY_MODEL) as (address, lines):
            self.assertIn("INFO:     Application startup complete.", lines)
            self.assertIn(f"INFO:     Uvicorn running on {address} (Press CTRL+C to quit)", lines)

    def test_names_and_counts(self):
        self.assertEqual(requests.get(url("/get_model_name"), timeout=20).json(), {"model_name": MODEL_NAME})
        self.assertEqual(post("/tokens", text="What is AI?"), {"ntokens": 4})
        load = requests.get(url("/token_load"), timeout=20).json()
        self.assertEqual(set(load), {"current_load", "logical_max_load", "dynamic_max_load"})
        for path in ("/health", "/healthz", "/liveness", "/readiness"):
            self.assertEqual(requests.get(url(path), timeout=20).status_code, 200, path)
        head = requests.head(url("/health"), timeout=20)
        self.assertEqual((head.status_code, head.content), (200, b""))
