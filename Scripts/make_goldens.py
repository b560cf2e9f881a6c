#!/usr/bin/env python3
"""Makes the small recorded results under Tests/Fixtures/goldens, by implementations of their own.

Models are computed in float64 with numpy, tokenizers by naive loops, chat templates by Jinja itself.
Needs: pip install numpy regex jinja2
"""
import json
import math
import pathlib
import struct

import jinja2
import jinja2.ext
import jinja2.sandbox
import numpy as np
import regex

ROOT = pathlib.Path(__file__).resolve().parent.parent / "Tests" / "Fixtures" / "goldens"
CORPUS = (
    "The engine schedules tokens and the tokens fill the slots. Every slot holds one token, and every token "
    "has its keys and values there. A request that leaves gives its slots back before the next step begins. "
    "the then them these other another nothing something 2024 1999 1234567890 don't we'll it's "
) * 3
TEXTS = [
    "", " ", "  ", "\n", "\t x", "Hello, world!", "the tokens and the slots", "don't we'll IT'S", "  leading",
    "trailing  ", "a\n\nb\r\n c", "12345 678", "ünïcödé ÅÅ", "日本語テキスト", "emoji 😁👍🏽 end", "x" * 40, "<|end|>",
    "see <|end|> here", "tabs\tand  spaces ", "e\u0301 é", "Ω≈ç√∫˜µ≤≥÷", "\u0000 null", "0xFF <0x41>", "▁ mark",
]


# Tokenizers

def byte_alphabet():
    printable = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    names, extra = {}, 0
    for byte in range(256):
        if byte in printable:
            names[byte] = chr(byte)
        else:
            names[byte] = chr(256 + extra)
            extra += 1
    return names


def train(words, count):
    """Byte-pair encoding, the slow way: words are lists of symbols."""
    words, merges = [list(w) for w in words], []
    while len(merges) < count:
        pairs = {}
        for word in words:
            for pair in zip(word, word[1:]):
                pairs[pair] = pairs.get(pair, 0) + 1
        if not pairs:
            break
        best = max(sorted(pairs), key=lambda p: pairs[p])
        merges.append(best)
        words = [merge(word, best) for word in words]
    return merges


def merge(word, pair):
    result, index = [], 0
    while index < len(word):
        if index + 1 < len(word) and (word[index], word[index + 1]) == pair:
            result.append(word[index] + word[index + 1])
            index += 2
        else:
            result.append(word[index])
            index += 1
    return result


def encode_word(word, merges):
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    while True:
        pairs = [(ranks[p], p) for p in zip(word, word[1:]) if p in ranks]
        if not pairs:
            return word
        best = min(pairs)[1]
        # Only the first place at a time, as the reference does it.
        index = next(i for i in range(len(word) - 1) if (word[i], word[i + 1]) == best)
        word = word[:index] + [best[0] + best[1]] + word[index + 2:]


PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)


class ByteLevel:
    name = "tiny_bytes"

    def __init__(self):
        self.alphabet = byte_alphabet()
        words = [self.spell(w) for w in regex.findall(PATTERN, CORPUS)]
        self.merges = train(words, 60)
        symbols = [self.alphabet[b] for b in range(256)] + [a + b for a, b in self.merges]
        self.vocab = {symbol: index for index, symbol in enumerate(symbols)}
        self.special = {"<|begin|>": len(symbols), "<|end|>": len(symbols) + 1}

    def spell(self, text):
        return [self.alphabet[b] for b in text.encode()]

    def encode(self, text, special=True):
        ids = [self.special["<|begin|>"]] if special else []
        for part in regex.split(r"(<\|begin\|>|<\|end\|>)", text):
            if part in self.special:
                ids.append(self.special[part])
                continue
            for word in regex.findall(PATTERN, part):
                ids += [self.vocab[s] for s in encode_word(self.spell(word), self.merges)]
        return ids

    def decode(self, ids, skip):
        names = {i: s for s, i in self.vocab.items()} | {i: s for s, i in self.special.items()}
        bytes_of = {c: b for b, c in self.alphabet.items()}
        data = b""
        for i in ids:
            if i in self.special.values():
                data += b"" if skip else names[i].encode()
            else:
                data += bytes(bytes_of[c] for c in names[i])
        return data.decode("utf-8", "replace")

    def files(self):
        added = [dict(id=i, content=c, single_word=False, lstrip=False, rstrip=False, normalized=False, special=True)
                 for c, i in self.special.items()]
        return {
            "tokenizer.json": {
                "version": "1.0", "added_tokens": added, "normalizer": None,
                "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
                    {"type": "Split", "pattern": {"Regex": PATTERN}, "behavior": "Isolated", "invert": False},
                    {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}]},
                "post_processor": {
                    "type": "TemplateProcessing",
                    "single": [{"SpecialToken": {"id": "<|begin|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                    "pair": [], "special_tokens": {"<|begin|>": {
                        "id": "<|begin|>", "ids": [self.special["<|begin|>"]], "tokens": ["<|begin|>"]}}},
                "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
                "model": {"type": "BPE", "vocab": self.vocab, "merges": [f"{a} {b}" for a, b in self.merges]}},
            "tokenizer_config.json": {"bos_token": "<|begin|>", "eos_token": "<|end|>", "chat_template": CHAT}}


class Sentences:
    """SentencePiece's way: spaces become marks, unknown characters their bytes."""
    name = "tiny_sentences"

    def __init__(self):
        words = [list("▁" + w) for w in CORPUS.split()]
        self.merges = train(words, 60)
        symbols = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
        symbols += sorted({c for w in words for c in w}) + [a + b for a, b in self.merges]
        self.vocab = {symbol: index for index, symbol in enumerate(symbols)}

    def encode(self, text, special=True):
        ids = [1] if special else []
        if not text:
            return ids
        for symbol in encode_word(list("▁" + text.replace(" ", "▁")), self.merges):
            ids += [self.vocab[symbol]] if symbol in self.vocab else [self.vocab[f"<0x{b:02X}>"] for b in symbol.encode()]
        return ids

    def decode(self, ids, skip):
        names = {i: s for s, i in self.vocab.items()}
        text, run = "", b""

        def end_run():
            nonlocal text, run
            try:
                text += run.decode()
            except UnicodeDecodeError:
                text += "\ufffd" * len(run)
            run = b""
        for i in ids:
            if i < 3 and skip:
                continue
            if 3 <= i < 259:
                run += bytes([i - 3])
                continue
            end_run()
            text += names[i].replace("▁", " ")
        end_run()
        return text[1:] if text.startswith(" ") else text

    def files(self):
        added = [dict(id=i, content=c, single_word=False, lstrip=False, rstrip=False, normalized=False, special=True)
                 for i, c in enumerate(["<unk>", "<s>", "</s>"])]
        return {
            "tokenizer.json": {
                "version": "1.0", "added_tokens": added,
                "normalizer": {"type": "Sequence", "normalizers": [
                    {"type": "Prepend", "prepend": "▁"},
                    {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
                "pre_tokenizer": None,
                "post_processor": {
                    "type": "TemplateProcessing",
                    "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                    "pair": [], "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}},
                "decoder": {"type": "Sequence", "decoders": [
                    {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"},
                    {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
                "model": {"type": "BPE", "unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True,
                          "vocab": self.vocab, "merges": [[a, b] for a, b in self.merges]}},
            "tokenizer_config.json": {"bos_token": "<s>", "eos_token": "</s>"}}


def write_tokenizer(tokenizer):
    folder = ROOT / "tokenizers" / tokenizer.name
    cases, streams = [], []
    for text in TEXTS:
        ids = tokenizer.encode(text)
        cases.append({
            "text": text, "ids": ids, "ids_no_special": tokenizer.encode(text, special=False),
            "decoded": tokenizer.decode(ids, False), "decoded_skip_special": tokenizer.decode(ids, True)})
        if "emoji" in text or "日本" in text:
            streams.append({"ids": ids, "prefix_decodes": [tokenizer.decode(ids[:n + 1], True) for n in range(len(ids))]})
    write(folder / "golden.json", {"cases": cases, "streaming_prefix_decodes": streams})
    for name, value in tokenizer.files().items():
        write(folder / name, value)


# Models

def rope_frequencies(config, length):
    width, theta = config["head_dim"], config["rope_theta"]
    plain = theta ** -(np.arange(0, width, 2) / width)
    scaling = config.get("rope_scaling")
    if scaling is None:
        return plain, 1.0
    factor, trained = scaling["factor"], config["max_position_embeddings"]
    if scaling["rope_type"] == "dynamic":
        growth = max(factor * length / trained - (factor - 1), 1)
        return (theta * growth ** (width / (width - 2))) ** -(np.arange(0, width, 2) / width), 1.0
    original = scaling["original_max_position_embeddings"]
    if scaling["rope_type"] == "llama3":
        low, high, result = scaling["low_freq_factor"], scaling["high_freq_factor"], []
        for f in plain:
            wavelength = 2 * math.pi / f
            smooth = min(max((original / wavelength - low) / (high - low), 0), 1)
            result.append((1 - smooth) * f / factor + smooth * f)
        return np.array(result), 1.0

    def column(turns):
        return width * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(theta))
    low, high = max(math.floor(column(32)), 0), min(math.ceil(column(1)), width - 1)
    ramp = np.clip((np.arange(width // 2) - low) / max(high - low, 0.001), 0, 1)
    return plain / factor * ramp + plain * (1 - ramp), 0.1 * math.log(factor) + 1


def forward(config, weights, ids):
    heads, kv, width = config["num_attention_heads"], config["num_key_value_heads"], config["head_dim"]
    frequencies, magnitude = rope_frequencies(config, len(ids))
    angles = np.outer(np.arange(len(ids)), frequencies)
    cos, sin = np.cos(angles)[:, None] * magnitude, np.sin(angles)[:, None] * magnitude

    def norm(x, name):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + config["rms_norm_eps"]) * weights[name + ".weight"]

    def linear(x, name):
        return x @ weights[name + ".weight"].T + weights.get(name + ".bias", 0)

    def rotate(x):
        a, b = x[..., :width // 2], x[..., width // 2:]
        return np.concatenate([a * cos - b * sin, b * cos + a * sin], -1)
    x = weights["model.embed_tokens.weight"][ids]
    for layer in range(config["num_hidden_layers"]):
        name = f"model.layers.{layer}."
        h = norm(x, name + "input_layernorm")
        q, k, v = (linear(h, name + f"self_attn.{p}_proj").reshape(len(ids), -1, width) for p in "qkv")
        q, k = rotate(q), rotate(k)
        out = np.zeros_like(q)
        for head in range(heads):
            group = head // (heads // kv)
            scores = q[:, head] @ k[:, group].T / math.sqrt(width)
            scores[np.triu_indices(len(ids), 1)] = -np.inf
            if config.get("sliding_window"):
                scores[np.tril_indices(len(ids), -config["sliding_window"])] = -np.inf
            p = np.exp(scores - scores.max(-1, keepdims=True))
            out[:, head] = p / p.sum(-1, keepdims=True) @ v[:, group]
        x = x + linear(out.reshape(len(ids), -1), name + "self_attn.o_proj")
        h = norm(x, name + "post_attention_layernorm")
        gate = linear(h, name + "mlp.gate_proj")
        x = x + linear(gate / (1 + np.exp(-gate)) * linear(h, name + "mlp.up_proj"), name + "mlp.down_proj")
    x = norm(x, "model.norm")
    return x @ weights.get("lm_head.weight", weights["model.embed_tokens.weight"]).T


def make_weights(config, random, bias):
    hidden, inner, width = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    shapes = {"model.embed_tokens.weight": (config["vocab_size"], hidden), "model.norm.weight": (hidden,)}
    if not config["tie_word_embeddings"]:
        shapes["lm_head.weight"] = (config["vocab_size"], hidden)
    for layer in range(config["num_hidden_layers"]):
        name = f"model.layers.{layer}."
        rows = {"q": config["num_attention_heads"] * width, "k": config["num_key_value_heads"] * width}
        rows["v"] = rows["k"]
        for p in "qkv":
            shapes[name + f"self_attn.{p}_proj.weight"] = (rows[p], hidden)
            if bias:
                shapes[name + f"self_attn.{p}_proj.bias"] = (rows[p],)
        shapes[name + "self_attn.o_proj.weight"] = (hidden, rows["q"])
        shapes[name + "mlp.gate_proj.weight"] = shapes[name + "mlp.up_proj.weight"] = (inner, hidden)
        shapes[name + "mlp.down_proj.weight"] = (hidden, inner)
        shapes[name + "input_layernorm.weight"] = shapes[name + "post_attention_layernorm.weight"] = (hidden,)
    return {n: random.normal(1.0 if "norm" in n else 0.0, 0.1 if "norm" in n else 0.3, s).astype(np.float32)
            for n, s in shapes.items()}


def to_bfloat16(x):
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def write_safetensors(path, weights, bfloat16):
    header, data = {}, b""
    for name, value in weights.items():
        raw = to_bfloat16(value).tobytes() if bfloat16 else value.tobytes()
        header[name] = {"dtype": "BF16" if bfloat16 else "F32", "shape": list(value.shape),
                        "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def write_model(name, config, seed, bias, bfloat16, shards, tokenizer):
    folder = ROOT / "models" / name
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    weights = make_weights(config, random, bias)
    names = list(weights)
    parts = [names[i::shards] for i in range(shards)]
    files = [f"model-{i + 1:05}-of-{shards:05}.safetensors" if shards > 1 else "model.safetensors" for i in range(shards)]
    for part, file in zip(parts, files):
        write_safetensors(folder / file, {n: weights[n] for n in part}, bfloat16)
    if shards > 1:
        write(folder / "model.safetensors.index.json",
              {"metadata": {}, "weight_map": {n: f for p, f in zip(parts, files) for n in p}})
    if bfloat16:
        weights = {n: (to_bfloat16(v).astype(np.uint32) << 16).view(np.float32) for n, v in weights.items()}
    weights = {n: v.astype(np.float64) for n, v in weights.items()}

    def greedy(ids, count):
        ids = list(ids)
        for _ in range(count):
            ids.append(int(forward(config, weights, ids)[-1].argmax()))
        return ids[-count:]
    prompts = []
    for length in (1, 7, 33, 90):
        ids = [int(i) for i in random.integers(0, config["vocab_size"], length)]
        logits = forward(config, weights, ids)
        logs = logits - np.log(np.exp(logits - logits.max(-1, keepdims=True)).sum(-1, keepdims=True)) - logits.max(-1, keepdims=True)
        prompts.append({
            "ids": ids, "last_logits": [round(float(v), 6) for v in logits[-1]],
            "prompt_logprobs": [None] + [round(float(logs[i, ids[i + 1]]), 6) for i in range(length - 1)],
            "greedy": greedy(ids, 24)})
    cases = []
    for text in ["Hello, world!", "the tokens and the slots"]:
        ids = tokenizer.encode(text)
        answer = greedy(ids, 16)
        cases.append({"text": text, "ids": ids, "greedy": answer, "continuation": tokenizer.decode(answer, True)})
    write(folder / "golden.json", {"prompts": prompts, "text": {"cases": cases}})
    write(folder / "config.json", config)
    write(folder / "generation_config.json", {"eos_token_id": config["eos_token_id"]})
    for file, value in tokenizer.files().items():
        write(folder / file, value)


# Chat templates

CHAT = (
    "{% for message in messages %}{{ '<|begin|>' + message['role'] + '\n' + message['content'] | trim + '<|end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|begin|>assistant\n' }}{% endif %}"
)
TEMPLATES = {
    "plain": CHAT,
    "whitespace": """{%- if messages[0].role == 'system' -%}
    {%- set system = messages[0].content -%}
    {%- set rest = messages[1:] -%}
{%- else -%}
    {%- set rest = messages -%}
{%- endif -%}
{% for message in rest %}
    {% if (message.role == 'user') != (loop.index0 % 2 == 0) %}
        {{ raise_exception('roles must alternate') }}
    {% endif %}
    {# a comment #}
{{ message.role | upper }}{{ '*' * loop.index }}: {{ message.content }}
{% endfor %}
{% if system is defined %}[{{ system }}]{% endif +%}
end""",
    "tools": """{% macro show(value, depth=0) -%}
{%- if value is mapping -%}{ {%- for key, item in value | dictsort %}{{ key }}={{ show(item, depth + 1) }}{{ ',' if not loop.last }}{%- endfor -%} }
{%- elif value is string -%}'{{ value }}'{%- elif value is sequence -%}[{{ value | map('string') | join(';') }}]
{%- else -%}{{ value }}@{{ depth }}{%- endif -%}
{%- endmacro %}
{% set ns = namespace(count=0, last=none) %}
{% for tool in tools or [] %}{% set ns.count = ns.count + 1 %}{{ tool | tojson }}
{{ tool | tojson(indent=2) }}
{{ show(tool) }}
{% endfor %}
{{ ns.count }} {{ ns.last }} {{ tools | length if tools else 'none' }}
{%- for message in messages if message.content %}

{{- loop.index ~ '/' ~ loop.length }} {{ message.content.split(' ')[-1] | default('?', true) }} {{ message.content[::-1][:5] }}
{%- if 'stop' in message.content %}{% break %}{% endif %}
{%- endfor %}""",
    "python": """{{ messages }} {{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % 3 }} {{ 7 / 2 }} {{ 2 ** 10 }} {{ 1e20 }} {{ 1.5 }} {{ true }} {{ none }}
{{ [1, 'a', none, 1.0] }} {{ {'k': [true]} }} {{ messages[0].missing }} {{ messages[0].missing is defined }}
{{ 'Title case'.title() }} {{ 'a,b,,c'.split(',') }} {{ ' x '.strip() ~ '|' }} {{ 'abc'.startswith('ab') }} {{ "it's" | list | length }}
{{ range(5) | list }} {{ range(5, 0, -2) | sum }} {{ [3, 1, 2] | sort | first }} {{ messages | map(attribute='role') | unique | list }}
{{ messages | selectattr('role', 'equalto', 'user') | list | length }} {{ 'x' if 1 > 2 }} {{ 1 < 2 < 3 }} {{ not false and 3 }}
{{ "q\\"'\\n" }} {{ ['q"', "it's"] }} {{ 'a\\nb' | indent(2) }} {{ 'caf\\u00e9' | tojson }} {{ [none, 1] | tojson }}
{%- set block %}  kept {{ 1 + 1 }} {% endset %}<{{ block }}>
{% raw %}{{ raw }}{% endraw %} {{ messages[0]['content'] is string }} {{ messages[-1].role }} {{ messages[0].content.undefined.deeper }}""",
}
CONVERSATIONS = [
    [{"role": "user", "content": "Hello there"}],
    [{"role": "system", "content": "Be kind."}, {"role": "user", "content": " Hi\n"},
     {"role": "assistant", "content": "stop now"}, {"role": "user", "content": "日本 \"quoted\" it's"}],
    [{"role": "user", "content": "one"}, {"role": "user", "content": "two"}],
    [],
]
TOOLS = [None, [{"type": "function", "function": {"name": "f", "parameters": {"b": [1, 2.5], "a": None, "c": {"é": True}}}}]]


def write_templates():
    def fail(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols])
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = fail
    for name, source in TEMPLATES.items():
        template, cases = environment.from_string(source), []
        for messages in CONVERSATIONS:
            for tools in TOOLS:
                for prompt in (False, True):
                    case = {"messages": messages, "tools": tools, "add_generation_prompt": prompt, "kwargs": {}}
                    try:
                        case["expected"] = template.render(
                            messages=messages, tools=tools, documents=None, add_generation_prompt=prompt,
                            bos_token="<s>", eos_token="</s>")
                    except Exception as error:
                        case["expected_error"] = f"{type(error).__name__}: {error}"
                    cases.append(case)
        write(ROOT / "chat_templates" / f"{name}.json",
              {"chat_template": source, "bos_token": "<s>", "eos_token": "</s>", "cases": cases})


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=False) + "\n")


def main():
    tokenizer = ByteLevel()
    for each in (tokenizer, Sentences()):
        write_tokenizer(each)
    base = dict(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        head_dim=8, rms_norm_eps=1e-5, rope_theta=10000.0, max_position_embeddings=256, hidden_act="silu",
        vocab_size=len(tokenizer.vocab) + 2, bos_token_id=tokenizer.special["<|begin|>"],
        eos_token_id=tokenizer.special["<|end|>"], tie_word_embeddings=False, torch_dtype="float32")
    llama3 = dict(rope_type="llama3", factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0,
                  original_max_position_embeddings=32)
    write_model("tiny_llama", base | dict(model_type="llama", rope_scaling=llama3), 1, False, False, 2, tokenizer)
    yarn = dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=64)
    write_model(
        "tiny_qwen2", base | dict(
            model_type="qwen2", rope_scaling=yarn, tie_word_embeddings=True, torch_dtype="bfloat16", rms_norm_eps=1e-6),
        2, True, True, 1, tokenizer)
    dynamic = dict(rope_type="dynamic", factor=2.0)
    write_model(
        "tiny_mistral", base | dict(
            model_type="mistral", rope_scaling=dynamic, max_position_embeddings=32, sliding_window=16, hidden_size=16,
            num_hidden_layers=1), 3, False, True, 1, tokenizer)
    write_templates()


if __name__ == "__main__":
    main()
