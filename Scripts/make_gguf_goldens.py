#!/usr/bin/env python3
"""Writes recorded checkpoints as GGUF files, with llama.cpp's own converter and without their tokenizers.

make_gguf_goldens.py LLAMA_CPP GOLDENS OUT [NAME ...]: LLAMA_CPP is its source tree, GOLDENS a folder of recorded
checkpoints, OUT where the files go. Needs: pip install torch transformers
"""
import importlib
import pathlib
import pkgutil
import sys

llama_cpp, goldens, out = (pathlib.Path(argument) for argument in sys.argv[1:4])
sys.path[:0] = [str(llama_cpp), str(llama_cpp / "gguf-py")]

import conversion  # noqa: E402
import gguf  # noqa: E402
from conversion import base  # noqa: E402


def subclasses(kind):
    for each in kind.__subclasses__():
        yield each
        yield from subclasses(each)


for module in pkgutil.iter_modules(conversion.__path__):
    importlib.import_module("conversion." + module.name)
for kind in {base.TextModel, *subclasses(base.TextModel)}:
    kind.set_vocab = lambda self: None
for name in sys.argv[4:] or sorted(folder.name for folder in goldens.iterdir()):
    try:
        architecture = base.ModelBase.load_hparams(goldens / name, False)["architectures"][0]
        kind = base.ModelBase.from_model_architecture(architecture)
        kind(goldens / name, gguf.LlamaFileType.ALL_F32, out / (name + ".gguf")).write()
    except (NotImplementedError, KeyError, ValueError, TypeError, FileNotFoundError) as error:
        print(f"{name}: {type(error).__name__} {error}", file=sys.stderr)
