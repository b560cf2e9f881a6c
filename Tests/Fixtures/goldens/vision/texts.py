"""The text halves of vision models, in plain numpy of double precision."""
import numpy as np
from networks import attend, rotate, silu


def layer_parts(kind, w, config):
    """A layer's matrices as ([q, k, v] with biases, output, gate, up, down, names of its norms)."""
    heads = config["num_attention_heads"]
    few = config.get("num_key_value_heads", heads)
    width = config["hidden_size"] // heads
    cuts = [heads * width, (heads + few) * width]
    if kind == "qwen":
        qkv = list(zip(np.split(w["attn.c_attn.weight"], 3), np.split(w["attn.c_attn.bias"], 3)))
        return (qkv, w["attn.c_proj.weight"], w["mlp.w2.weight"], w["mlp.w1.weight"], w["mlp.c_proj.weight"],
                "ln_1", "ln_2")
    if kind == "phi3":
        qkv = [(m, 0) for m in np.split(w["self_attn.qkv_proj.weight"], cuts)]
        gate, up = np.split(w["mlp.gate_up_proj.weight"], 2)
        return (qkv, w["self_attn.o_proj.weight"], gate, up, w["mlp.down_proj.weight"],
                "input_layernorm", "post_attention_layernorm")
    if kind == "internlm2":
        # For each head of keys: its queries, then key and value.
        groups = w["attention.wqkv.weight"].reshape(few, heads // few + 2, width, -1)
        parts = (groups[:, :-2], groups[:, -2], groups[:, -1])
        qkv = [(m.reshape(-1, config["hidden_size"]), 0) for m in parts]
        return (qkv, w["attention.wo.weight"], w["feed_forward.w1.weight"], w["feed_forward.w3.weight"],
                w["feed_forward.w2.weight"], "attention_norm", "ffn_norm")
    names = [f"self_attn.{n}_proj" for n in "qkv"]
    qkv = [(w[n + ".weight"], w[n + ".bias"] if n + ".bias" in w else 0) for n in names]
    return (qkv, w["self_attn.o_proj.weight"], *(w[f"mlp.{n}_proj.weight"] for n in ("gate", "up", "down")),
            "input_layernorm", "post_attention_layernorm")


NAMES = {
    "qwen": ("transformer.wte.weight", "transformer.h", "transformer.ln_f", "lm_head.weight"),
    "internlm2": ("model.tok_embeddings.weight", "model.layers", "model.norm", "output.weight"),
}


class TextModel:
    def __init__(self, kind, config, w):
        self.config, self.w = config, w
        table, layers, self.final, head = NAMES.get(
            kind, ("model.embed_tokens.weight", "model.layers", "model.norm", "lm_head.weight"))
        self.table = w[table]
        self.head = w[head] if head in w else self.table
        self.layers = [(w / f"{layers}.{i}") for i in range(config["num_hidden_layers"])]
        self.parts = [layer_parts(kind, layer, config) for layer in self.layers]
        self.epsilon = config.get("rms_norm_eps", config.get("layer_norm_epsilon"))
        self.theta = config.get("rope_theta", config.get("rotary_emb_base", 10000.0))

    def angles(self, positions):
        """positions: [3, rows]; plain models look at the first line only."""
        half = self.config["hidden_size"] // self.config["num_attention_heads"] // 2
        angles = positions[:, :, None] * self.theta ** -(np.arange(half) / half)
        sections = (self.config.get("rope_scaling") or {}).get("mrope_section", [half])
        axis = np.repeat(np.arange(len(sections)), sections)
        return angles[axis, :, np.arange(half)].T

    def logits(self, x, positions):
        """Of the last row of vectors."""
        mask, angles = np.tri(len(x), dtype=bool), self.angles(positions)
        heads = self.config["num_attention_heads"]
        width = self.config["hidden_size"] // heads
        for layer, (qkv, output, gate, up, down, norm1, norm2) in zip(self.layers, self.parts):
            h = layer.norm(norm1, x, self.epsilon)
            q, k, v = ((h @ m.T + b).reshape(len(x), -1, width) for m, b in qkv)
            x = x + attend(rotate(q, angles), rotate(k, angles), v, mask) @ output.T
            h = layer.norm(norm2, x, self.epsilon)
            x = x + (silu(h @ gate.T) * (h @ up.T)) @ down.T
        return self.w.norm(self.final, x[-1:], self.epsilon)[0] @ self.head.T

    def answer(self, x, positions, count):
        """Logits after the prompt, the likeliest tokens, and how far each is before the next."""
        first, tokens, margins = None, [], []
        for _ in range(count):
            logits = self.logits(x, positions)
            first = logits if first is None else first
            order = np.argsort(-logits)
            tokens.append(int(order[0]))
            margins.append(float(logits[order[0]] - logits[order[1]]))
            x = np.concatenate([x, self.table[tokens[-1]][None]])
            positions = np.concatenate([positions, np.full((3, 1), positions.max() + 1)], 1)
        return first, tokens, margins
