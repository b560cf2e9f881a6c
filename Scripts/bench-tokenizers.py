#!/usr/bin/env python3
"""Measures tokenising against Hugging Face tokenizers on one thread: both on the same text, one after the other.

Usage: bench-tokenizers.py FOLDER...   (folders with a tokenizer.json)
Needs: pip install tokenizers; a release build of lightllm.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
import tokenizers

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
SCRIPTS = [
    "Die Würde des Menschen ist unantastbar. Sie zu achten und zu schützen ist Verpflichtung aller. ",
    "人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心，并应以兄弟关系的精神相对待。",
    "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。",
    "Все люди рождаются свободными и равными в своём достоинстве и правах. ",
    "يولد جميع الناس أحرارا متساوين في الكرامة والحقوق. ", "모든 인간은 태어날 때부터 자유로우며 동등하다. ",
    "3.14159 2,718,281 1e-10 0xDEADBEEF 2024-05-17T12:34:56Z 192.168.0.1 ", "😀 👍🏽 🇩🇪 👨‍👩‍👧 ✅ — “quotes” … ",
    '{"id": 42, "name": "widget", "tags": ["a", "b"], "price": 9.99}\n',
]


def mixed_text(size):
    """Sources and documents of this machine and some of many scripts, in pieces of a few kilobytes."""
    roots = [REPOSITORY / "Sources", REPOSITORY / "docs", REPOSITORY / "Tests", pathlib.Path(os.__file__).parent]
    files = [f for root in roots for f in sorted(root.rglob("*")) if f.suffix in (".swift", ".md", ".py", ".c", ".h")]
    parts, total, turn = [], 0, 0
    while total < size:
        for file in files:
            text = file.read_text("utf-8", "replace")[:20000]
            script = SCRIPTS[turn % len(SCRIPTS)]
            parts += [text, script * (3 + turn % 40), "\n"]
            total += sum(len(p.encode()) for p in parts[-3:])
            turn += 1
            if total >= size:
                break
    return "".join(parts).encode()[:size].decode("utf-8", "ignore")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+")
    parser.add_argument("--megabytes", type=float, default=10)
    parser.add_argument("--piece", type=int, default=4096, help="characters of each text that is encoded")
    parser.add_argument("--binary", default=REPOSITORY / ".build/release/lightllm")
    options = parser.parse_args()
    text = mixed_text(int(options.megabytes * 1e6))
    pieces = [text[i:i + options.piece] for i in range(0, len(text), options.piece)]
    size = len(text.encode()) / 1e6
    failed = False
    for folder in options.folders:
        reference = tokenizers.Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
        reference.encode(pieces[0])
        start = time.perf_counter()
        expected = sum(len(reference.encode(piece).ids) for piece in pieces)
        theirs = time.perf_counter() - start
        with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as file:
            for piece in pieces:
                file.write(json.dumps(piece) + "\n")
            file.flush()
            answer = json.loads(subprocess.run(
                [options.binary, "bench", "tokenizer", "--model_dir", folder, "--file", file.name],
                check=True, capture_output=True, text=True).stdout)
        ours = answer["seconds"]
        failed |= answer["tokens"] != expected
        print(f"{os.path.basename(folder.rstrip('/')):16} {size:.1f} MB  tokenizers {size / theirs:6.2f} MB/s  "
              f"lightllm {size / ours:6.2f} MB/s  ratio {theirs / ours:.2f}  "
              f"tokens {answer['tokens']} {'equal' if answer['tokens'] == expected else f'EXPECTED {expected}'}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
