#!/usr/bin/env python3
"""Computes tasks/reference.json: what llama.cpp makes of the tasks, with the weights that the suite serves.

    make_reference.py LLAMA_SERVER MODEL.gguf          (Scripts/compare-llamacpp.sh builds llama-server)

The weights are those of MODEL in 16 bits, as test_lm_eval.py serves them. For each choice of local_mc: the sum of log p(token | what is before it) over the choice's tokens. For each question
of local_gen: the text up to the first line feed, and the least distance between the first and the second
log probability on the way.
"""
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import requests

from gguf_files import export_tokenizer, write_half_precision

TASKS = pathlib.Path(__file__).resolve().parent / "tasks"
URL = "http://127.0.0.1:18599"


def lines(name):
    return [json.loads(line) for line in (TASKS / name).read_text().splitlines()]


def next_tokens(prompt, count):
    """The `count` likeliest next tokens of a prompt of ids: [(id, log probability)]."""
    body = {"prompt": prompt, "n_predict": 1, "n_probs": count, "temperature": 0, "cache_prompt": True,
            "samplers": [], "return_tokens": True}
    answer = requests.post(f"{URL}/completion", json=body, timeout=120)
    answer.raise_for_status()
    first = answer.json()["completion_probabilities"][0]
    return [(entry["id"], entry["logprob"]) for entry in first["top_logprobs"]]


def choices(tokenizer):
    for document in lines("local_mc.jsonl"):
        context = tokenizer.encode(document["question"], add_special_tokens=False)
        sums = []
        for choice in document["choices"]:
            whole = tokenizer.encode(document["question"] + choice, add_special_tokens=False)
            assert whole[:len(context)] == context, document
            sums.append(sum(
                dict(next_tokens(whole[:end], len(tokenizer)))[whole[end]] for end in range(len(context), len(whole))))
        yield {"question": document["question"], "loglikelihoods": [round(value, 5) for value in sums]}


def texts(tokenizer):
    for document in lines("local_gen.jsonl"):
        prompt = tokenizer.encode(document["question"], add_special_tokens=False)
        (produced, margin) = ([], 100.0)
        while len(produced) < 8 and "\n" not in tokenizer.decode(produced):
            (best, first), (_, second) = next_tokens(prompt + produced, 2)
            margin = min(margin, first - second)
            if best == tokenizer.eos_token_id:
                break
            produced.append(best)
        text = tokenizer.decode(produced).split("\n")[0]
        yield {"question": document["question"], "text": text, "margin": round(margin, 4)}


def main(server, quantised):
    with tempfile.TemporaryDirectory() as folder:
        model = pathlib.Path(folder) / "model.gguf"
        write_half_precision(quantised, model)
        result = {"model": pathlib.Path(quantised).name, **reference(server, model, folder)}
    (TASKS / "reference.json").write_text(json.dumps(result, indent=1) + "\n")


def reference(server, model, folder):
    process = subprocess.Popen(
        [server, "-m", model, "--port", URL.rsplit(":", 1)[1], "-c", "512", "-np", "1"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while True:
            try:
                if requests.get(f"{URL}/health", timeout=5).ok:
                    break
            except requests.ConnectionError:
                assert process.poll() is None, "llama-server ended"
            time.sleep(0.5)
        tokenizer = export_tokenizer(model, folder)
        version = subprocess.run([server, "--version"], capture_output=True, text=True)
        return {
            "llama.cpp": (version.stdout + version.stderr).splitlines()[0].removeprefix("version: "),
            "local_mc": list(choices(tokenizer)), "local_gen": list(texts(tokenizer))}
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
