"""EleutherAI's harness: two tasks of ours get what llama.cpp gets with the same weights.

The weights are the model's in 16 bits: with quantised ones both engines round activations to 8 bits, each in its way,
which moves an unlikely choice of a small model by 0.2.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

import requests

from gguf_files import export_tokenizer, write_half_precision
from support import MODEL_NAME, model, server

TASKS = pathlib.Path(__file__).resolve().parent / "tasks"
REFERENCE = json.loads((TASKS / "reference.json").read_text())
# Of a choice's log likelihood. llama.cpp rounds activations to 16 bits, this server does not.
TOLERANCE = 0.02


def read_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def documents(name):
    return read_lines(TASKS / f"{name}.jsonl")


class HarnessTests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        cls.tokenizer_folder = cls.folder / "tokenizer"
        cls.tokenizer = export_tokenizer(model(), cls.tokenizer_folder)
        weights = cls.folder / "half-precision.gguf"
        write_half_precision(model(), weights)
        cls.url, _ = cls.enterClassContext(
            server(weights, "--max_total_token_num", 4000, "--model_name", MODEL_NAME))
        (cls.folder / "tasks").mkdir()
        for path in TASKS.glob("*.yaml"):
            (cls.folder / "tasks" / path.name).write_text(path.read_text().replace("__TASKS__", str(TASKS)))
        cls.accuracy, cls.samples = cls.evaluate(
            "local", "local_mc,local_gen",
            f"tokenizer={cls.tokenizer_folder},tokenizer_backend=huggingface,tokenized_requests=True")

    @classmethod
    def evaluate(cls, name, tasks, tokenizer):
        """Runs the harness: the main metric of each task, and its samples in the order of the documents."""
        output = cls.folder / name
        arguments = f"model={MODEL_NAME},base_url={cls.url}/v1/completions,num_concurrent=4,max_length=2048"
        command = [
            sys.executable, "-m", "lm_eval", "--model", "local-completions", "--model_args",
            f"{arguments},{tokenizer}", "--include_path", cls.folder / "tasks", "--tasks", tasks, "--batch_size", "4",
            "--output_path", output, "--log_samples"]
        process = subprocess.run(
            command, capture_output=True, text=True, timeout=600,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1",
                 "HF_DATASETS_CACHE": str(cls.folder / "datasets")})
        assert process.returncode == 0, process.stderr[-4000:]
        results = json.loads(next(output.rglob("results_*.json")).read_text())["results"]
        samples = {}
        for task in tasks.split(","):
            lines = read_lines(next(output.rglob(f"samples_{task}_*.jsonl")))
            samples[task] = sorted(lines, key=lambda line: line["doc_id"])
        return results, samples

    def choice_sums(self, samples):
        return [[float(response[0][0]) for response in sample["resps"]] for sample in samples]

    def test_tokenizer_is_the_servers(self):
        for text in ("What is AI?", "In 1984, 12 + 34 = 46.", "  def f(x):\n\treturn x", "König 👑 “quoted” don't"):
            body = {"prompt": text, "add_special_tokens": False}
            self.assertEqual(
                requests.post(f"{self.url}/tokenize", json=body, timeout=20).json()["tokens"],
                self.tokenizer.encode(text, add_special_tokens=False), text)

    def test_log_likelihoods(self):
        ours = self.choice_sums(self.samples["local_mc"])
        self.assertEqual(len(ours), len(documents("local_mc")))
        pairs = [
            (expected, found) for reference, sums in zip(REFERENCE["local_mc"], ours, strict=True)
            for expected, found in zip(reference["loglikelihoods"], sums, strict=True)]
        differences = sorted(abs(expected - found) for expected, found in pairs)
        self.assertLess(differences[-1], TOLERANCE)

    def test_accuracy_of_choices(self):
        right = [
            max(range(3), key=reference["loglikelihoods"].__getitem__) == document["answer"]
            for reference, document in zip(REFERENCE["local_mc"], documents("local_mc"), strict=True)]
        self.assertAlmostEqual(self.accuracy["local_mc"]["acc,none"], sum(right) / len(right))

    def test_texts(self):
        for reference, sample in zip(REFERENCE["local_gen"], self.samples["local_gen"], strict=True):
            self.assertEqual(sample["resps"][0][0], reference["text"], reference["question"])

    def test_accuracy_of_texts(self):
        right = [
            reference["text"] == document["answer"]
            for reference, document in zip(REFERENCE["local_gen"], documents("local_gen"), strict=True)]
        self.assertAlmostEqual(self.accuracy["local_gen"]["exact_match,none"], sum(right) / len(right))

    def test_tokenizer_of_the_server(self):
        # The harness asks /tokenizer_info, /tokenize and /detokenize in the place of a local folder.
        accuracy, samples = self.evaluate(
            "remote", "local_mc", "tokenizer_backend=remote,tokenized_requests=True")
        self.assertEqual(self.choice_sums(samples["local_mc"]), self.choice_sums(self.samples["local_mc"]))
        self.assertEqual(accuracy["local_mc"]["acc,none"], self.accuracy["local_mc"]["acc,none"])
