"""Finds the program `lightllm` and becomes it.

The Python process is replaced (`execv`), so signals, exit codes and the order of output lines are the program's own.
"""
import os
import pathlib
import sys


class BinaryNotFound(Exception):
    """No program `lightllm` was found; the message says where it was looked for."""


def is_executable(path):
    return path.is_file() and os.access(path, os.X_OK)


def is_launcher(path):
    """Whether a file is the console script of this package, in this or any other environment."""
    with path.open("rb") as file:
        head = file.read(1024)
    return head.startswith(b"#!") and b"lightllm.launch" in head


def candidates(package, environment):
    """The places of the program, best first."""
    yield package / "bin" / "lightllm"
    # The checkout of an editable install: python/lightllm lies two folders below its root.
    root = package.parent.parent
    if (root / "Package.swift").is_file():
        yield root / ".build" / "release" / "lightllm"
    for folder in environment.get("PATH", os.defpath).split(os.pathsep):
        yield pathlib.Path(folder or ".") / "lightllm"


def find_binary(package=pathlib.Path(__file__).resolve().parent, environment=os.environ):
    """The path of the program: LIGHTLLM_BINARY, in the package, in the checkout, on PATH."""
    if chosen := environment.get("LIGHTLLM_BINARY"):
        if not is_executable(pathlib.Path(chosen)):
            raise BinaryNotFound(f"LIGHTLLM_BINARY must name an executable file, found '{chosen}'")
        return pathlib.Path(chosen)
    seen = []
    for path in candidates(package, environment):
        if is_executable(path) and not is_launcher(path):
            return path
        seen.append(str(path))
    raise BinaryNotFound(
        "the program lightllm was not found. Build it with `swift build -c release --product lightllm`, "
        "and set LIGHTLLM_BINARY to its path or put it on PATH. Looked for:\n  " + "\n  ".join(seen))


def run(arguments):
    """Replaces this process by the program with these arguments.

    Where there is none, or it cannot be run, the process ends with code 127 or 126, as a shell's would.
    """
    try:
        binary = find_binary()
    except BinaryNotFound as error:
        print(f"lightllm: {error}", file=sys.stderr)
        sys.exit(127)
    try:
        os.execv(binary, [str(binary), *arguments])
    except OSError as error:
        print(f"lightllm: {binary} cannot be run: {error.strerror}", file=sys.stderr)
        sys.exit(126)


def serve():
    """The server, with LightLLM's flags."""
    run(["serve", *sys.argv[1:]])


def main():
    """Any command of the program."""
    run(sys.argv[1:])
