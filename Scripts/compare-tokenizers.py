#!/usr/bin/env python3
"""Compares `lightllm tokenize` with Hugging Face tokenizers, or SentencePiece, on many random strings.

Usage: compare-tokenizers.py [--strings N] [--seed S] FOLDER...
Folders with a tokenizer.json are compared with tokenizers (or, with --transformers, with AutoTokenizer), others
with the sentencepiece library on tokenizer.model, on texts without special tokens.
Needs: pip install tokenizers sentencepiece transformers
"""
import argparse
import json
import os
import pathlib
import random
import subprocess
import sys

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
WORDS = ["the", "token", "Schlüssel", "naïve", "don't", "I'LL", "we've", "'s", "HTTPServer", "snake_case", "0x1F", "3.14", "1234567",
         "人工智能", "テスト", "ー", "한국어", "привет", "مرحبا", "हिन्दी", "ไทย", "e\u0301", "Å", "ﬁ", "①", "½", "Ⅷ", "٣٤", "😀", "👍🏽", "👨‍👩‍👧",
         "🇩🇪", "▁", "▁▁", "<0x41>", "\u00a0", "\u3000", "\u200b", "\ufeff", "\u2028", "\x00", "\x7f", "\u0085", "\ufffd", "...", "!?", "->", "==",
         "{}", "\\n", "/*", "*/", "#", "@", "http://a.b/c?d=e&f", "a" * 40, "ß", "İ", "ſ", "'ſ", "K", "\u1680", "\u180e", "\U0010ffff", "\u0301"]
SPACES = ["", " ", "  ", "   ", "\t", "\n", "\n\n", "\r\n", " \n ", "    "]


def strings(count, seed, special):
    chosen = random.Random(seed)
    for _ in range(count):
        kind, parts = chosen.random(), []
        for _ in range(chosen.randint(0, 14)):
            if kind < 0.15:
                parts.append(chr(chosen.choice([chosen.randint(0, 0x2FF), chosen.randint(0, 0xD7FF), chosen.randint(0xE000, 0x1FAFF)])))
            elif special and chosen.random() < 0.12:
                parts.append(chosen.choice(special))
            else:
                parts.append(chosen.choice(WORDS))
            parts.append(chosen.choice(SPACES) if kind > 0.3 else "")
        yield "".join(parts)


def reference(folder, through_transformers):
    file = os.path.join(folder, "tokenizer.json")
    if through_transformers:
        import transformers
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        return lambda text: tokenizer(text)["input_ids"], list(tokenizer.get_added_vocab())
    if os.path.exists(file):
        import tokenizers
        tokenizer = tokenizers.Tokenizer.from_file(file)
        return lambda text: tokenizer.encode(text).ids, [t.content for t in tokenizer.get_added_tokens_decoder().values()]
    import sentencepiece
    model = sentencepiece.SentencePieceProcessor(os.path.join(folder, "tokenizer.model"))
    return lambda text: model.encode(text), []


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+")
    parser.add_argument("--strings", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--transformers", action="store_true")
    parser.add_argument("--binary", default=REPOSITORY / ".build/debug/lightllm")
    options = parser.parse_args()
    failed = False
    for folder in options.folders:
        encode, special = reference(folder, options.transformers)
        texts = list(strings(options.strings, options.seed, special[:20]))
        lines = "".join(json.dumps(text) + "\n" for text in texts)
        output = subprocess.run([options.binary, "tokenize", "--json", "--model_dir", folder], input=lines, check=True,
                                capture_output=True, text=True).stdout.splitlines()
        different = 0
        is_bare = not options.transformers and not os.path.exists(os.path.join(folder, "tokenizer.json"))
        for text, line in zip(texts, output, strict=True):
            ids, expected = json.loads(line)["ids"], encode(text)
            if is_bare:
                # The library adds no special tokens; ours come before and after.
                same = expected == [] or any(ids[i:i + len(expected)] == expected for i in range(len(ids)))
            else:
                same = ids == expected
            if not same:
                different += 1
                if different <= 5:
                    print(f"  {text!r}\n    expected {expected}\n    found    {ids}")
        failed |= different > 0
        print(f"{folder}: {len(texts)} strings, {different} different")
    sys.exit(failed)


if __name__ == "__main__":
    main()
