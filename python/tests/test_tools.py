"""The scripts that LightLLM's README names are there and start what it says."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]

# Prints its arguments; stands for `docker` and for the program.
ECHO = f"#!{sys.executable}\nimport json, sys\nprint(json.dumps(sys.argv[1:]))\n"


class ToolTests(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        for name in ("docker", "lightllm"):
            (self.folder / name).write_text(ECHO)
            (self.folder / name).chmod(0o755)

    def output(self, *words, cwd=ROOT, path=None):
        environment = {
            **os.environ, "LIGHTLLM_BINARY": str(self.folder / "lightllm"),
            "PATH": path or f"{self.folder}:{os.environ['PATH']}"}
        return subprocess.run(
            words, cwd=cwd, env=environment, capture_output=True, text=True, check=True, timeout=20).stdout

    def docker(self, *words):
        output = self.output(sys.executable, "tools/quick_launch_docker.py", *words).splitlines()
        self.assertTrue(output[0].startswith("launching: docker run -it "), output[0])
        return json.loads(output[1])

    def test_docker_help_needs_no_docker(self):
        self.assertIn("--max-total-tokens", self.output(
            sys.executable, "tools/quick_launch_docker.py", "--help", path="/nonexistent"))

    def test_docker_command(self):
        words = self.docker("-m", "/data/llama", "-n", "2", "-mt", "9000", "--shm-size", "1073741824", "--name", "x")
        self.assertEqual(
            words,
            "run -it --gpus all -p 8080:8080 -v /data/llama:/data/llama --shm-size 1073741824 --name x --rm "
            "ghcr.io/modeltc/lightllm:main /bin/bash /lightllm/tools/resolve_ptx_version python -m "
            "lightllm.server.api_server --model_dir /data/llama --host 0.0.0.0 --port 8080 --tp 2 "
            "--max_total_token_num 9000".split())

    def test_docker_without_options(self):
        words = self.docker("-m", "/data/llama", "-K", "-p", "9000", "--image", "mine")
        self.assertNotIn("--rm", words)
        self.assertNotIn("--name", words)
        self.assertNotIn("--max_total_token_num", words)
        self.assertGreater(int(words[words.index("--shm-size") + 1]), 1 << 20)
        self.assertIn("9000:9000", words)

    def test_resolve_ptx_version_runs_the_command(self):
        self.assertEqual(json.loads(self.output("bash", "tools/resolve_ptx_version", "docker", "a b")), ["a b"])

    def test_benchmarks_start_as_in_the_readme(self):
        words = "--tokenizer /t --dataset /d --num-prompts 2000 --request-rate 200".split()
        self.assertEqual(
            json.loads(self.output(sys.executable, "benchmark_serving.py", *words, cwd=ROOT / "test")),
            ["bench", "serve", "--backend", "lightllm", *words])
        words = ["--model_dir", "/m", "--batch_size", "20"]
        self.assertEqual(
            json.loads(self.output(sys.executable, "test_llama.py", *words, cwd=ROOT / "test" / "model")),
            ["bench", "static", *words])


if __name__ == "__main__":
    unittest.main()
