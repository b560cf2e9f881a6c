"""What the tests share: the server under test, servers of their own, and the events of a stream."""
import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time

import requests

ROOT = pathlib.Path(__file__).resolve().parents[1]
TINY_MODEL = ROOT / "Tests" / "Fixtures" / "goldens" / "models" / "tiny_llama"
MODEL_NAME = "smollm2"
READY = "Uvicorn running on"


def url(path=""):
    """The server that the runner started, on the real model."""
    return os.environ["LIGHTLLM_URL"] + path


def model():
    """The file of the real model."""
    return os.environ["LIGHTLLM_MODEL"]


def post(path, **body):
    """The JSON of an answer of status 200."""
    answer = requests.post(url(path), json=body, timeout=60)
    assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}"
    return answer.json()


def native_events(response):
    """The events of LightLLM's stream: each is `data:` without a space, JSON, and a blank line; nothing else."""
    *events, rest = response.content.split(b"\n\n")
    assert rest == b"", f"the stream ends with {rest!r}"
    for event in events:
        assert event.startswith(b"data:{"), event
        yield json.loads(event[5:])


def free_port():
    with contextlib.closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def launch_line(*flags):
    """LightLLM's launch line in this environment."""
    return [sys.executable, "-m", "lightllm.server.api_server", *map(str, flags)]


def wait_until_ready(process, log, seconds=120):
    """Reads the log until the line that launchers wait for, as LazyLLM does: a line that starts with ERROR: fails."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        lines = pathlib.Path(log).read_text().splitlines()
        if any(line.lstrip().startswith("ERROR:") for line in lines):
            break
        if any(READY in line for line in lines):
            return lines
        if process.poll() is not None:
            break
        time.sleep(0.05)
    raise RuntimeError(f"the server is not ready (code {process.poll()}):\n{pathlib.Path(log).read_text()}")


def stop(process, seconds=30):
    """Asks a server to end, and makes it end where it does not; returns its exit code."""
    process.send_signal(signal.SIGTERM)
    try:
        return process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise


@contextlib.contextmanager
def server(path, *flags):
    """A server of the test's own, started by LightLLM's launch line; gives its address and the lines it printed."""
    port = free_port()
    with tempfile.NamedTemporaryFile(prefix="lightllm-", suffix=".log") as log:
        process = subprocess.Popen(
            launch_line("--model_dir", path, "--port", port, *flags), stdout=log, stderr=subprocess.STDOUT)
        try:
            yield f"http://127.0.0.1:{port}", wait_until_ready(process, log.name)
        finally:
            stop(process)


def tool_server():
    """A server of the test's own on the real model, with a chat template that knows tools; its own knows none."""
    template = pathlib.Path(__file__).resolve().parent / "tools.jinja"
    return server(
        model(), "--max_total_token_num", 4000, "--model_name", MODEL_NAME, "--chat_template", template)


def kv_slots(address):
    """The slots of the cache: (all, free)."""
    values = {}
    for line in requests.get(f"{address}/metrics", timeout=10).text.splitlines():
        if line.startswith(("lightllm_kv_slots ", "lightllm_kv_slots_free ")):
            name, value = line.split()
            values[name] = float(value)
    return values["lightllm_kv_slots"], values["lightllm_kv_slots_free"]
