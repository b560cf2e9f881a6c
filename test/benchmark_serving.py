#!/usr/bin/env python3
"""LightLLM's serving benchmark: `lightllm bench serve --backend lightllm` with the same arguments.

    python benchmark_serving.py --tokenizer /path/llama-7b --dataset /path/ShareGPT.json --num-prompts 2000 --request-rate 200
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "python"))

from lightllm.launch import run  # noqa: E402

run(["bench", "serve", "--backend", "lightllm", *sys.argv[1:]])
