"""NVIDIA's AIPerf: a short load run over chat streams, with its own tokenizer, goodput and scrape of /metrics."""
import json
import os
import pathlib
import subprocess
import tempfile
import unittest

from support import MODEL_NAME, model, url
from gguf_files import export_tokenizer


class LoadTests(unittest.TestCase):
    def profile(self, folder, *arguments):
        """Runs AIPerf and reads what it measured."""
        tokenizer = folder / "tokenizer"
        export_tokenizer(model(), tokenizer)
        command = [
            os.environ["AIPERF"], "profile", "--model", MODEL_NAME, "--url", url(), "--tokenizer", tokenizer,
            "--concurrency", "2", "--request-count", "8", "--ui", "none", "--artifact-dir", folder / "artifacts",
            "--synthetic-input-tokens-mean", "32", "--output-tokens-mean", "8", "--extra-inputs", "ignore_eos:true",
            *arguments]
        # It takes a folder for a name on the hub where it is told to stay offline.
        variables = {k: v for k, v in os.environ.items() if k not in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")}
        process = subprocess.run(command, capture_output=True, text=True, timeout=600, env=variables, cwd=folder)
        assert process.returncode == 0, process.stdout[-3000:] + process.stderr[-3000:]
        return json.loads(next((folder / "artifacts").rglob("profile_export_aiperf.json")).read_text())

    def check(self, *arguments):
        with tempfile.TemporaryDirectory() as name:
            measured = self.profile(pathlib.Path(name), *arguments)
        self.assertEqual(measured["request_count"]["avg"], 8)
        self.assertEqual(measured.get("error_summary", []), [])
        # AIPerf encodes the text again, which may take a token less than the model took.
        self.assertAlmostEqual(measured["output_sequence_length"]["avg"], 8, delta=0.5)
        return measured

    def test_chat_stream(self):
        measured = self.check(
            "--endpoint-type", "chat", "--streaming", "--goodput", "time_to_first_token:60000")
        self.assertGreater(measured["time_to_first_token"]["avg"], 0)
        self.assertGreater(measured["inter_token_latency"]["avg"], 0)

    def test_completions(self):
        self.check("--endpoint-type", "completions")
