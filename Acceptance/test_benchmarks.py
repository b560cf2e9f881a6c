"""The benchmarks of LightLLM's README, started as it says."""
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

from support import ROOT, TINY_MODEL, model, url


def run(folder, *words):
    process = subprocess.run(
        [sys.executable, *map(str, words)], cwd=ROOT / folder, capture_output=True, text=True, timeout=120)
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


class BenchmarkTests(unittest.TestCase):
    def test_serving(self):
        with tempfile.TemporaryDirectory() as folder:
            dataset = pathlib.Path(folder) / "ShareGPT_V3_unfiltered_cleaned_split.json"
            dataset.write_text(json.dumps([
                {"id": f"{number}", "conversations": [
                    {"from": "human", "value": f"What comes after the number {number}? Say it in words."},
                    {"from": "gpt", "value": f"After {number} comes {number + 1}."}]}
                for number in range(64)]))
            output = run(
                "test", "benchmark_serving.py", "--tokenizer", model(), "--dataset", dataset,
                "--num-prompts", 8, "--request-rate", 200, "--url", url())
        self.assertRegex(output, r"(?m)^Total time: [0-9.]+ s$")
        self.assertRegex(output, r"(?m)^Throughput: [0-9.]+ requests/s$")
        for line in ("Average latency", "Average latency per token", "Average latency per output token"):
            self.assertRegex(output, rf"(?m)^{line}: [0-9.]+ s$")
        seconds = float(re.search(r"Total time: ([0-9.]+)", output)[1])
        rate = float(re.search(r"Throughput: ([0-9.]+)", output)[1])
        self.assertAlmostEqual(rate * seconds / 8, 1, delta=0.1)

    def test_static(self):
        output = run(
            "test/model", "test_llama.py", "--model_dir", TINY_MODEL, "--batch_size", 2, "--input_len", 8,
            "--output_len", 4, "--json")
        self.assertEqual(json.loads(output.splitlines()[-1])["batch_size"], 2)
