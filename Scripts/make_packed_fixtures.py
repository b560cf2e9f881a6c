#!/usr/bin/env python3
"""Writes Tests/Fixtures/packed: one tiny LLaMA quantised to 4 bits, stored in every way that GPTQ and AWQ have.

`plain` holds the numbers that the quantised projections stand for, as float32; the other folders hold the same
model packed: `gptq` (zero points less one), `gptq_v2` (zero points as they are) and `awq`. `act_order` is `gptq`
with the inputs in no order of groups, with `act_order_plain` beside it. Needs `pip install numpy`. The output is
the same on every run.
"""

import json
import struct
from pathlib import Path

import numpy as np

WIDTH, INNER, LAYERS, HEADS, VOCABULARY, GROUP = 64, 96, 2, 4, 60, 32
CONFIG = {
    "model_type": "llama", "hidden_size": WIDTH, "intermediate_size": INNER, "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS, "num_key_value_heads": 2, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
    "max_position_embeddings": 128, "hidden_act": "silu", "vocab_size": VOCABULARY, "bos_token_id": 1,
    "eos_token_id": 2, "tie_word_embeddings": False, "torch_dtype": "float32",
}
AWQ_ORDER = [0, 2, 4, 6, 1, 3, 5, 7]


def write(folder, tensors, quantization=None):
    folder.mkdir(parents=True, exist_ok=True)
    types = {"float32": "F32", "float16": "F16", "int32": "I32"}
    header, data = {}, b""
    for name, tensor in sorted(tensors.items()):
        raw = np.ascontiguousarray(tensor).tobytes()
        header[name] = {
            "dtype": types[str(tensor.dtype)], "shape": list(tensor.shape),
            "data_offsets": [len(data), len(data) + len(raw)],
        }
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)
    config = CONFIG | ({"quantization_config": quantization} if quantization else {})
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")


def pack_rows(numbers):
    """Eight numbers below each other to a word, the first in the lowest bits."""
    words = np.zeros((numbers.shape[0] // 8, numbers.shape[1]), np.uint32)
    for i in range(8):
        words |= numbers[i::8].astype(np.uint32) << np.uint32(4 * i)
    return words.view(np.int32)


def pack_columns(numbers, order=range(8)):
    """Eight numbers side by side to a word: at place `i`, number `order[i]` of the eight."""
    words = np.zeros((numbers.shape[0], numbers.shape[1] // 8), np.uint32)
    for i, column in enumerate(order):
        words |= numbers[:, column::8].astype(np.uint32) << np.uint32(4 * i)
    return words.view(np.int32)


def main():
    root = Path(__file__).resolve().parent.parent / "Tests" / "Fixtures" / "packed"
    random = np.random.Generator(np.random.PCG64(5))
    names = ["plain", "gptq", "gptq_v2", "awq", "act_order", "act_order_plain"]
    tensors = {name: {} for name in names}

    def everywhere(name, tensor):
        for folder in names:
            tensors[folder][name] = tensor

    def projection(stem, outputs, inputs):
        groups = inputs // GROUP
        numbers = random.integers(0, 16, (inputs, outputs), dtype=np.int64)
        zeros = random.integers(1, 16, (groups, outputs), dtype=np.int64)
        scales = random.uniform(0.5, 1.5, (groups, outputs)) * 0.2 / np.sqrt(inputs)
        scales = scales.astype(np.float16)
        orders = {"plain": np.arange(inputs) // GROUP, "act_order_plain": random.permutation(inputs) // GROUP}
        for folder, index in orders.items():
            values = scales.astype(np.float64)[index] * (numbers - zeros[index])
            tensors[folder][stem + ".weight"] = values.T.astype(np.float32)
        for folder in ["gptq", "gptq_v2", "act_order"]:
            index = orders["act_order_plain" if folder == "act_order" else "plain"]
            tensors[folder][stem + ".qweight"] = pack_rows(numbers)
            tensors[folder][stem + ".qzeros"] = pack_columns(zeros - (folder != "gptq_v2"))
            tensors[folder][stem + ".scales"] = scales
            tensors[folder][stem + ".g_idx"] = index.astype(np.int32)
        tensors["awq"][stem + ".qweight"] = pack_columns(numbers, AWQ_ORDER)
        tensors["awq"][stem + ".qzeros"] = pack_columns(zeros, AWQ_ORDER)
        tensors["awq"][stem + ".scales"] = scales

    def floats(*shape, around=0.0, width=1.0):
        return (around + width * random.standard_normal(shape)).astype(np.float16)

    for layer in range(LAYERS):
        stem = f"model.layers.{layer}."
        everywhere(stem + "input_layernorm.weight", floats(WIDTH, around=1, width=0.1))
        everywhere(stem + "post_attention_layernorm.weight", floats(WIDTH, around=1, width=0.1))
        for name, outputs in [("q", WIDTH), ("k", WIDTH // 2), ("v", WIDTH // 2), ("o", WIDTH)]:
            projection(stem + f"self_attn.{name}_proj", outputs, WIDTH)
        projection(stem + "mlp.gate_proj", INNER, WIDTH)
        projection(stem + "mlp.up_proj", INNER, WIDTH)
        projection(stem + "mlp.down_proj", WIDTH, INNER)
    everywhere("model.embed_tokens.weight", floats(VOCABULARY, WIDTH))
    everywhere("model.norm.weight", floats(WIDTH, around=1, width=0.1))
    everywhere("lm_head.weight", floats(VOCABULARY, WIDTH, width=0.1))
    gptq = {"quant_method": "gptq", "bits": 4, "group_size": GROUP, "sym": False, "desc_act": False}
    for folder, quantization in {
        "plain": None, "act_order_plain": None, "gptq": gptq,
        "gptq_v2": gptq | {"checkpoint_format": "gptq_v2"}, "act_order": gptq | {"desc_act": True},
        "awq": {
            "quant_method": "awq", "bits": 4, "group_size": GROUP, "version": "gemm", "zero_point": True
        },
    }.items():
        write(root / folder, tensors[folder], quantization)


if __name__ == "__main__":
    main()
