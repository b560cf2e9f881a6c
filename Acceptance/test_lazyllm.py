"""LazyLLM's `deploy.lightllm`, replayed: its command line, its wait, its requests and how it reads the answers."""
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import requests

from support import free_port, model, native_events, wait_until_ready

# LazyLLM joins these with `=`; strings in double quotes, numbers bare.
COMMAND = (
    'python -m lightllm.server.api_server --model_dir {model} --tp=1 --max_total_token_num=64000 --eos_id=2 '
    '--port={port} --host="0.0.0.0" --nccl_port={nccl} --tokenizer_mode="auto" --running_max_req_size=256 '
    '--data_type="float16" --max_req_total_len=64000 --max_req_input_len=4096 --long_truncation_mode="head" '
    '--trust_remote_code 2>&1 | tee {log}')

PARAMETERS = {
    "do_sample": False, "presence_penalty": 0.0, "frequency_penalty": 0.0, "repetition_penalty": 1.0,
    "temperature": 1.0, "top_p": 1, "top_k": -1, "ignore_eos": False, "max_new_tokens": 8192,
    "stop_sequences": ["<|im_end|>"],
}

PROMPT = ("<|im_start|>system\nYou are a helpful AI assistant.<|im_end|>\n"
          "<|im_start|>user\nSay hello.<|im_end|>\n<|im_start|>assistant\n")


class LazyLLMTests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.log = pathlib.Path(folder.name) / "log"
        cls.log.touch()
        cls.port = free_port()
        command = COMMAND.format(
            model=model(), port=cls.port, nccl=random.randint(20000, 30000), log=cls.log)
        # A launcher of its own process group, ended as a whole.
        cls.job = subprocess.Popen(
            command, shell=True, stdout=subprocess.DEVNULL, start_new_session=True,
            env={**os.environ, "PATH": f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"})
        cls.addClassCleanup(cls.job.wait)
        cls.addClassCleanup(cls.end)
        cls.lines = wait_until_ready(cls.job, cls.log)
        cls.url = f"http://127.0.0.1:{cls.port}/generate"

    @classmethod
    def end(cls):
        if cls.job.poll() is None:
            os.killpg(cls.job.pid, signal.SIGTERM)

    def ask(self, path="", **changes):
        body = {"inputs": PROMPT, "parameters": {**PARAMETERS, **changes}}
        answer = requests.post(
            self.url + path, json=body, stream=True, headers={"Content-Type": "application/json"}, timeout=120)
        self.assertEqual(answer.status_code, 200, answer.text)
        return answer

    def test_1_ready_line(self):
        self.assertTrue(any(f"Uvicorn running on http://0.0.0.0:{self.port}" in line for line in self.lines))

    def test_2_whole_answer(self):
        text = self.ask().json()["generated_text"][0]
        self.assertNotEqual(text, "")
        self.assertNotIn("<|im_end|>", text)

    def test_3_stream(self):
        whole = self.ask().json()["generated_text"][0]
        events = list(native_events(self.ask("_stream")))
        self.assertEqual("".join(event["token"]["text"] for event in events), whole)
        self.assertEqual([event["finished"] for event in events], [False] * (len(events) - 1) + [True])
        self.assertEqual(events[-1]["finish_reason"], "stop")

    def test_4_stop_sequences_may_be_null(self):
        answer = self.ask(stop_sequences=None, max_new_tokens=4).json()
        self.assertEqual(answer["count_output_tokens"], 4)

    def test_5_a_long_prompt_keeps_its_last_4096_tokens(self):
        body = {"inputs": [100] * 500 + [200] * 4096, "parameters": {**PARAMETERS, "max_new_tokens": 1}}
        answer = requests.post(self.url, json=body, timeout=300).json()
        self.assertEqual(answer["prompt_tokens"], 4096)
        body["inputs"] = [200] * 4096
        self.assertEqual(requests.post(self.url, json=body, timeout=300).json(), answer)

    def test_6_top_level_stop_of_tools(self):
        body = {"inputs": PROMPT, "parameters": {**PARAMETERS, "max_new_tokens": 4}, "stop": ["</tool>"]}
        self.assertEqual(requests.post(self.url, json=body, timeout=60).status_code, 200)

    def test_9_ends_when_told(self):
        self.end()
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                requests.get(f"http://127.0.0.1:{self.port}/liveness", timeout=1)
            except requests.ConnectionError:
                break
            time.sleep(0.1)
        self.job.wait(timeout=30)
        with self.assertRaises(requests.ConnectionError):
            requests.get(f"http://127.0.0.1:{self.port}/liveness", timeout=1)
