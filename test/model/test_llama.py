#!/usr/bin/env python3
"""LightLLM's static benchmark of a model: `lightllm bench static` with the same arguments.

    python test_llama.py --model_dir /path/llama-7b --batch_size 20 --input_len 1024 --output_len 1024

Without a model it measures the default one, which is fetched (98 MB).
"""
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "python"))

from lightllm.launch import run  # noqa: E402

arguments = sys.argv[1:]
if not any(argument.replace("-", "_").startswith(("__model", "__help", "_h")) for argument in arguments):
    fetch = [sys.executable, ROOT / "Scripts" / "fetch-model.py"]
    path = subprocess.run(fetch, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    arguments += ["--model_dir", path]
run(["bench", "static", *arguments])
