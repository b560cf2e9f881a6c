#!/usr/bin/env python3
"""Runs the recorded models in several processes and compares with what was recorded.

    Scripts/test-ranks.py [--tp 2,4] [--without-mpi] [--binary PATH] [FOLDER ...]

For every checkpoint in the folders (by default those of the tests, and of $LIGHTLLM_GOLDENS): greedy tokens must be the
recorded ones, and logits within a thousandth of the largest; more ranks than heads must be refused. Ranks may be more than processors. They are started by
mpirun, which Open MPI brings; or each by itself, as on machines of their own, and then exchange numbers over TCP.
"""
import argparse
import json
import os
import pathlib
import socket
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def folders():
    parents = [ROOT / "Tests/Fixtures/goldens"]
    if os.environ.get("LIGHTLLM_GOLDENS"):
        parents.append(pathlib.Path(os.environ["LIGHTLLM_GOLDENS"]))
    return [parent / kind for parent in parents for kind in ("models", "vision")]


def command(ranks, binary, folder, prompts, tokens):
    words = [binary, "score", "--tp", str(ranks), "--threads", "1", "--device", "cpu", "--model_dir", str(folder), "--logits"]
    words += ["--max_new_tokens", str(tokens)]
    for entry in prompts:
        words += ["--prompt_ids", ",".join(map(str, entry["ids"]))]
        if images(entry):
            words += ["--images", ",".join(str(folder / name) for name in images(entry))]
    return words


def images(entry):
    return entry.get("images") or ([entry["image"]] if entry.get("image") else [])


def run(ranks, words, without_mpi):
    """What rank 0 prints and says, and whether all ended well."""
    if not without_mpi:
        root = ["--allow-run-as-root"] if os.geteuid() == 0 else []
        mpirun = ["mpirun", *root, "--oversubscribe", "--bind-to", "none", "-np", str(ranks)]
        ended = subprocess.run([*mpirun, *words], capture_output=True, text=True, timeout=120)
        return ended.stdout, ended.stderr, ended.returncode
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    nodes = ["--nnodes", str(ranks), "--nccl_host", "localhost", "--nccl_port", str(port), "--node_rank"]
    processes = [
        subprocess.Popen([*words, *nodes, str(rank)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for rank in range(ranks)
    ]
    outputs = [process.communicate(timeout=120) for process in processes]
    return *outputs[0], max(abs(process.returncode) for process in processes)


def compare(entry, result):
    """What is wrong with the result, or None; and the relative difference of logits."""
    expected, found = entry["last_logits"], result["logits"]
    if len(expected) != len(found):
        return f"{len(found)} logits, expected {len(expected)}", 0
    # What is impossible is null, or so low that it makes no difference.
    pairs = [(-1e30 if a is None else a, -1e30 if b is None else b) for a, b in zip(expected, found)]
    possible = [(a, b) for a, b in pairs if max(a, b) > -1e29]
    scale = max(abs(a) for a, _ in possible) or 1
    difference = max(abs(a - b) for a, b in possible) / scale
    if difference > 1e-3:
        return f"logits are off by {difference:.2e}", difference
    greedy = entry.get("greedy", [])
    if result["token_ids"][: len(greedy)] != greedy:
        return f"tokens {result['token_ids'][:len(greedy)]}, expected {greedy}", difference
    return None, difference


def check(folder, ranks, binary, without_mpi):
    golden = json.loads((folder / "golden.json").read_text())
    config = json.loads((folder / "config.json").read_text())
    heads = (config.get("text_config") or config.get("llm_config") or config).get("num_attention_heads")
    prompts = golden.get("prompts") or golden["cases"]
    # Images are those of all prompts of a command.
    illustrated = [[entry] for entry in prompts if images(entry)]
    worst, count = 0, 0
    for together in [[entry for entry in prompts if not images(entry)], *illustrated]:
        if together:
            fault, difference, done = score(folder, ranks, binary, without_mpi, together)
            worst, count = max(worst, difference), count + done
            if heads and heads < ranks:
                is_refused = fault and f"{heads} query heads cannot be shared out among {ranks}" in fault
                return None if is_refused else f"{heads} heads were shared out: {fault}", worst, count
            if fault:
                return fault, worst, count
    return None, worst, count


def score(folder, ranks, binary, without_mpi, prompts):
    tokens = max(max(len(entry.get("greedy", [])) for entry in prompts), 1)
    words = command(ranks, binary, folder, prompts, tokens)
    printed, said, code = run(ranks, words, without_mpi)
    if code:
        return f"ended with {code}: {said}", 0, 0
    results = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    if len(results) != len(prompts):
        return f"{len(results)} results of {len(prompts)} prompts", 0, 0
    worst = 0
    for entry, result in zip(prompts, results):
        fault, difference = compare(entry, result)
        if fault:
            return f"{len(entry['ids'])} tokens: {fault}", difference, 0
        worst = max(worst, difference)
    return None, worst, len(prompts)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tp", default="2,4")
    parser.add_argument("--binary", default=str(ROOT / ".build/release/lightllm"))
    parser.add_argument("--without-mpi", action="store_true")
    parser.add_argument("folders", nargs="*", type=pathlib.Path)
    arguments = parser.parse_args()
    faults, worst, prompts, models = 0, 0, 0, 0
    for parent in arguments.folders or folders():
        for folder in sorted(path.parent for path in parent.glob("*/golden.json")):
            for ranks in map(int, arguments.tp.split(",")):
                fault, difference, count = check(folder, ranks, arguments.binary, arguments.without_mpi)
                if fault:
                    print(f"{folder.name}, {ranks} ranks: {fault}", file=sys.stderr, flush=True)
                    faults += 1
                worst, prompts, models = max(worst, difference), prompts + count, models + 1
    print(f"{models} runs, {prompts} prompts: {faults} faults; logits differ by {worst:.1e} of the largest at most")
    sys.exit(1 if faults or not prompts else 0)


main()
