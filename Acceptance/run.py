#!/usr/bin/env python3
"""Drives the server with the clients that people use, and writes docs/clients.md.

    run.py [--fast] [NAME...]       NAME: openai, lm_eval, ...; all by default, with --fast those of FAST

Clients come from the Python package index at the versions of requirements*.txt, into environments below
.build/acceptance. The server runs on SmolLM2-135M-Instruct, started by `python -m lightllm.server.api_server`.
A client that cannot be installed or run fails; nothing is skipped. The table is written when every client ran.
"""
import argparse
import hashlib
import importlib.metadata
import os
import pathlib
import subprocess
import sys
import time
import unittest

FOLDER = pathlib.Path(__file__).resolve().parent
ROOT = FOLDER.parent
WORK = ROOT / ".build" / "acceptance"
TABLE = ROOT / "docs" / "clients.md"

# The tests of test_NAME.py: what the client is called, and its package.
CLIENTS = {
    "curl": ("The READMEs' `curl` and Python lines", "requests"),
    "openai": ("OpenAI's Python SDK", "openai"),
    "images": ("The READMEs' queries with images, and OpenAI's SDK", "openai"),
    "prometheus": ("Prometheus's Python parser", "prometheus_client"),
    "lazyllm": ("LazyLLM's launch line and calls, replayed", None),
    "shapes": ("The same request in each shape", None),
    "benchmarks": ("LightLLM's benchmarks, started as its README says", None),
    "anthropic": ("Anthropic's Python SDK", "anthropic"),
    "langchain": ("LangChain", "langchain-openai"),
    "lm_eval": ("EleutherAI's evaluation harness", "lm-eval"),
    "aiperf": ("NVIDIA's AIPerf", "aiperf"),
}
FAST = ["curl", "openai", "images", "prometheus", "lazyllm", "shapes", "benchmarks"]


def environment(name, requirements):
    """The Python of a virtual environment with these requirements, made anew when they change."""
    text = "".join((FOLDER / file).read_text() for file in requirements) + sys.version
    digest = hashlib.sha256(text.encode()).hexdigest()
    folder = WORK / name
    (python, mark) = (folder / "bin" / "python", folder / "requirements.sha256")
    if mark.exists() and mark.read_text() == digest:
        return python
    print(f"Installing the clients of {requirements[-1]} ...", flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "-r", FOLDER / requirements[-1]], check=True)
    if requirements[0] == "requirements-fast.txt":
        subprocess.run([*pip, "--no-deps", "--no-build-isolation", "-e", ROOT / "python"], check=True)
    mark.write_text(digest)
    return python


def outer(options, names):
    """Makes the environment and runs this file again in it."""
    if not (ROOT / ".build" / "release" / "lightllm").exists():
        sys.exit("the server is not built: make build")
    model = subprocess.run(
        [sys.executable, ROOT / "Scripts" / "fetch-model.py"], check=True, stdout=subprocess.PIPE, text=True)
    only_fast = set(names) <= set(FAST)
    requirements = ["requirements-fast.txt"] if only_fast else ["requirements-fast.txt", "requirements.txt"]
    python = environment("fast" if only_fast else "all", requirements)
    variables = {**os.environ, "LIGHTLLM_MODEL": model.stdout.strip(), "LIGHTLLM_ACCEPTANCE": str(WORK)}
    if "aiperf" in names:
        variables["AIPERF"] = str(environment("aiperf", ["requirements-aiperf.txt"]).parent / "aiperf")
    # A bin folder on PATH as in an activated environment: scripts say `python`.
    variables["PATH"] = f"{python.parent}:{variables['PATH']}"
    os.execve(python, [str(python), str(FOLDER / "run.py"), "--inner", *names], variables)


def version(package):
    if package is None:
        return ""
    if package == "aiperf":
        shown = subprocess.run([os.environ["AIPERF"], "--version"], capture_output=True, text=True)
        return shown.stdout.split()[-1]
    return importlib.metadata.version(package)


class Result(unittest.TextTestResult):
    """Says how long each test took."""

    def startTest(self, test):
        super().startTest(test)
        self.started = time.monotonic()

    def addSuccess(self, test):
        super().addSuccess(test)
        self.stream.writeln(f"    {time.monotonic() - self.started:.1f} s")


def run_client(name):
    """Runs a client's tests: (tests, those that failed)."""
    print(f"\n== {CLIENTS[name][0]}", flush=True)
    suite = unittest.defaultTestLoader.loadTestsFromName(f"test_{name}")
    result = unittest.TextTestRunner(verbosity=2, resultclass=Result, stream=sys.stdout).run(suite)
    failed = [str(test).split()[0] for test, _ in result.failures + result.errors]
    failed += [f"{str(test).split()[0]} (skipped)" for test, _ in result.skipped]
    if result.testsRun == 0:
        failed.append("no test was run")
    # A test with several failed parts is one test.
    return result.testsRun, list(dict.fromkeys(failed))


def inner(names):
    from support import MODEL_NAME, kv_slots, server

    flags = ["--max_total_token_num", "16000", "--model_name", MODEL_NAME]
    rows = []
    with server(os.environ["LIGHTLLM_MODEL"], *flags) as (address, _):
        os.environ["LIGHTLLM_URL"] = address
        for name in names:
            started = time.monotonic()
            tests, failed = run_client(name)
            rows.append((name, version(CLIENTS[name][1]), tests, failed, time.monotonic() - started))
        slots, free = kv_slots(address)
    print()
    for name, release, tests, failed, seconds in rows:
        verdict = f"failed: {', '.join(failed)}" if failed else "passed"
        print(f"{name} {release}: {tests} tests in {seconds:.0f} s, {verdict}")
    if slots != free:
        print(f"the server kept {slots - free:.0f} slots of its cache")
    if set(names) == set(CLIENTS):
        write_table(rows)
    return 1 if slots != free or any(failed for _, _, _, failed, _ in rows) else 0


def write_table(rows):
    lines = []
    for name, release, tests, failed, _ in rows:
        title, package = CLIENTS[name]
        client = f"{title} (`{package}`)" if package else title
        verdict = f"{tests - len(failed)} of {tests} pass; not: {', '.join(failed)}" if failed else f"all {tests} pass"
        lines.append(f"| {client} | {release or '–'} | [test_{name}.py](../Acceptance/test_{name}.py) | {verdict} |")
    text = TABLE.read_text()
    start, end = "<!-- clients -->\n", "<!-- end of clients -->"
    head, rest = text.split(start)
    tail = rest.split(end)[1]
    table = "\n| client | version | tests | result |\n|---|---|---|---|\n" + "\n".join(lines) + "\n\n"
    TABLE.write_text(head + start + table + end + tail)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fast", action="store_true", help=f"only {', '.join(FAST)}")
    parser.add_argument("--inner", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[[], *CLIENTS], help="clients to run")
    options = parser.parse_args()
    names = options.names or (FAST if options.fast else list(CLIENTS))
    if options.inner:
        sys.path.insert(0, str(FOLDER))
        sys.exit(inner(names))
    outer(options, names)


if __name__ == "__main__":
    main()
