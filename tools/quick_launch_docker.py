#!/usr/bin/env python3
"""Starts a container and the server in it: quick_launch_docker.py -m /path/of/model [-p 8080]."""
import argparse
import os
import shlex


def memory_bytes():
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def parse(arguments=None):
    parser = argparse.ArgumentParser(
        description="Starts a container and the LightLLM server in it.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    container = parser.add_argument_group("container")
    container.add_argument("--image", default="ghcr.io/modeltc/lightllm:main", help="the container's image")
    container.add_argument("--name", help="the container's name")
    container.add_argument(
        "--keep-container", "-K", action="store_true", help="keep the container once the server ends")
    container.add_argument(
        "--shm-size", type=int, default=memory_bytes() // 2, help="shared memory of the container, in bytes")
    container.add_argument("--gpus", default="all", help="the GPUs to pass on; none for a machine without")
    server = parser.add_argument_group("server")
    server.add_argument("--model", "-m", required=True, help="the model's folder or file")
    server.add_argument("--port", "-p", type=int, default=8080, help="the port to listen on")
    server.add_argument("--num-proc", "-n", type=int, default=1, help="ranks of tensor parallelism")
    server.add_argument(
        "--max-total-tokens", "-mt", type=int, help="token slots of the cache; by default what memory holds")
    return parser.parse_args(arguments)


def command(options):
    """The words of the `docker` command line."""
    model = os.path.abspath(options.model)
    words = ["docker", "run", "-it"]
    if options.gpus != "none":
        words += ["--gpus", options.gpus]
    words += ["-p", f"{options.port}:{options.port}", "-v", f"{model}:{model}", "--shm-size", str(options.shm_size)]
    if options.name:
        words += ["--name", options.name]
    if not options.keep_container:
        words += ["--rm"]
    words += [options.image, "/bin/bash", "/lightllm/tools/resolve_ptx_version"]
    words += ["python", "-m", "lightllm.server.api_server", "--model_dir", model, "--host", "0.0.0.0"]
    words += ["--port", str(options.port), "--tp", str(options.num_proc)]
    if options.max_total_tokens is not None:
        words += ["--max_total_token_num", str(options.max_total_tokens)]
    return words


if __name__ == "__main__":
    words = command(parse())
    print("launching:", shlex.join(words), flush=True)
    os.execvp(words[0], words)
