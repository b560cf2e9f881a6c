#!/usr/bin/env python3
"""Makes the small tokenizers under Tests/Fixtures/goldens/tokenizers that need libraries: what these compute is recorded.

Needs: pip install numpy regex jinja2 sentencepiece tokenizers tiktoken
"""
import base64
import io
import json
import os

os.environ["TOKENIZERS_PARALLELISM"] = "false"
import sentencepiece
import tiktoken
import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

from make_goldens import CORPUS, PATTERN, ROOT, TEXTS, ByteLevel, byte_alphabet, write

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
MORE = ["ﬁ ﬂ ① ½ Å e\u0301 ｶﾞ \u3000wide", "naïve CAFÉ résumé", "(a) [b] {c}", "one\u00a0two\u2003three", "</s> and <s>"]


def record(name, encode, decode, texts=None):
    """`encode(text, special)` and `decode(ids, skip)` of the reference."""
    cases, streams = [], []
    for text in texts or TEXTS + MORE:
        ids = encode(text, True)
        cases.append({"text": text, "ids": ids, "ids_no_special": encode(text, False),
                      "decoded": decode(ids, False), "decoded_skip_special": decode(ids, True)})
        if "emoji" in text or "日本" in text:
            streams.append({"ids": ids, "prefix_decodes": [decode(ids[:n + 1], True) for n in range(len(ids))]})
    write(ROOT / "tokenizers" / name / "golden.json", {"cases": cases, "streaming_prefix_decodes": streams})


def record_library(name, tokenizer):
    write(ROOT / "tokenizers" / name / "tokenizer.json", json.loads(tokenizer.to_str()))
    record(name, lambda text, special: tokenizer.encode(text, add_special_tokens=special).ids,
           lambda ids, skip: tokenizer.decode(ids, skip_special_tokens=skip))


def trained(**options):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS.split(". ") * 4), model_writer=model, minloglevel=2, num_threads=1, **options)
    return model.getvalue()


def folder(name, files):
    path = ROOT / "tokenizers" / name
    path.mkdir(parents=True, exist_ok=True)
    for file, value in files.items():
        if isinstance(value, bytes):
            (path / file).write_bytes(value)
        else:
            write(path / file, value)


def llama():
    """SentencePiece BPE as LLaMA has it: the library's own ids, after the first token."""
    data = trained(vocab_size=340, model_type="bpe", byte_fallback=True, normalization_rule_name="identity",
                   remove_extra_whitespaces=False, character_coverage=1.0, user_defined_symbols=["<mark>"])
    library = sentencepiece.SentencePieceProcessor(model_proto=data)
    folder("tiny_llama_pieces", {"tokenizer.model": data, "tokenizer_config.json": {
        "tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "legacy": False}})

    def decode(ids, skip):
        text, run = "", b""
        for i in [i for i in ids if not (skip and i < 3)] + [None]:
            if i is not None and library.is_byte(i):
                run += bytes([int(library.id_to_piece(i)[3:5], 16)])
                continue
            try:
                text += run.decode()
            except UnicodeDecodeError:
                text += "\ufffd" * len(run)
            run = b""
            text += "" if i is None else library.id_to_piece(i).replace("▁", " ")
        return text[1:] if text.startswith(" ") else text
    texts = [t for t in TEXTS + MORE if "</s>" not in t]
    record("tiny_llama_pieces", lambda text, special: [1] * special + library.encode(text), decode, texts)


def t5():
    """Unigram in the way of T5, from tokenizer.json and from tokenizer.model."""
    data = trained(vocab_size=120, model_type="unigram", normalization_rule_name="nmt_nfkc", pad_id=0, eos_id=1, unk_id=2,
                   bos_id=-1, character_coverage=1.0, hard_vocab_limit=False)
    library = sentencepiece.SentencePieceProcessor(model_proto=data)
    from sentencepiece import sentencepiece_model_pb2
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(data)
    tokenizer = tokenizers.Tokenizer(models.Unigram([(p.piece, p.score) for p in proto.pieces], unk_id=2, byte_fallback=False))
    tokenizer.normalizer = normalizers.Precompiled(proto.normalizer_spec.precompiled_charsmap)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always", split=True)])
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always", split=True)
    tokenizer.add_special_tokens(["<pad>", "</s>", "<unk>"])
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", library.eos_id())])
    folder("tiny_unigram", {"tokenizer.model": data, "tokenizer_config.json": {
        "tokenizer_class": "T5Tokenizer", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}})
    record_library("tiny_unigram", tokenizer)


def gpt2():
    """Byte-level BPE from tokenizer.json, and from vocab.json and merges.txt."""
    source = ByteLevel()
    vocabulary = dict(source.vocab) | {"<|endoftext|>": len(source.vocab)}
    tokenizer = tokenizers.Tokenizer(models.BPE(vocab=vocabulary, merges=source.merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|endoftext|>"])
    merges = "#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in source.merges)
    folder("tiny_gpt2", {"vocab.json": vocabulary, "merges.txt": merges.encode(), "tokenizer_config.json": {
        "tokenizer_class": "GPT2Tokenizer", "bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"}})
    record_library("tiny_gpt2", tokenizer)


def bert():
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"] + [c for c in "abcdefghijklmnopqrstuvwxyz0123456789.,!?'-()"]
    words += ["##" + c for c in "abcdefghijklmnopqrstuvwxyz0123456789"] + ["the", "token", "##s", "slot", "hello", "world", "##ing"]
    tokenizer = tokenizers.Tokenizer(models.WordPiece(
        vocab={w: i for i, w in enumerate(dict.fromkeys(words))}, unk_token="[UNK]", max_input_chars_per_word=30))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    folder("tiny_wordpiece", {})
    record_library("tiny_wordpiece", tokenizer)


def ranked():
    """Qwen's tiktoken file and Mistral's tekken.json, both by tiktoken itself."""
    source = ByteLevel()
    bytes_of = {c: bytes([b]) for b, c in byte_alphabet().items()}
    tokens = [b"".join(bytes_of[c] for c in symbol) for symbol in source.vocab]
    ranks = {token: rank for rank, token in enumerate(tokens)}
    qwen = PATTERN.replace(r"\p{N}{1,3}", r"\p{N}")
    names = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"] + [f"<|extra_{i}|>" for i in range(205)]
    special = {name: len(tokens) + i for i, name in enumerate(names)}
    library = tiktoken.Encoding("qwen", pat_str=qwen, mergeable_ranks=ranks, special_tokens=special)
    lines = b"".join(base64.b64encode(t) + b" %d\n" % r for t, r in ranks.items())
    folder("tiny_tiktoken", {"qwen.tiktoken": lines, "tokenizer_config.json": {"tokenizer_class": "QWenTokenizer"}})
    import unicodedata
    texts = TEXTS + MORE + ["a<|im_end|>\nb <|endoftext|>"]

    def plain(ids, skip):
        return library.decode([i for i in ids if not (skip and i >= len(tokens))], errors="replace")
    record("tiny_tiktoken", lambda text, _: library.encode(unicodedata.normalize("NFC", text), allowed_special="all"), plain, texts)

    names = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]"]
    entries = [{"rank": r, "token_bytes": base64.b64encode(t).decode(), "token_str": t.decode("utf-8", "replace")}
               for t, r in ranks.items()]
    pattern = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
               r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
               r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
    library = tiktoken.Encoding("tekken", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
    folder("tiny_tekken", {"tekken.json": {
        "config": {"pattern": pattern, "num_vocab_tokens": len(tokens), "default_vocab_size": len(tokens) + 20,
                   "default_num_special_tokens": 20, "version": "v3"},
        "vocab": entries,
        "special_tokens": [{"rank": i, "token_str": n, "is_control": True} for i, n in enumerate(names)]}})

    def shown(ids, skip):
        parts = [b"" if i < 20 and skip else names[i].encode() if i < 20 else tokens[i - 20] for i in ids]
        return b"".join(parts).decode("utf-8", "replace")
    record("tiny_tekken", lambda text, special: [1] * special + [i + 20 for i in library.encode(text, disallowed_special=())],
           shown, [t for t in TEXTS + MORE if "</s>" not in t])


if __name__ == "__main__":
    for make in (llama, t5, gpt2, bert, ranked):
        make()
