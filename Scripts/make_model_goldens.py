#!/usr/bin/env python3
"""Records tiny random checkpoints of every text architecture under Tests/Fixtures/goldens/models.

Most are computed by Hugging Face's transformers. Families that it lacks are written as another that computes the
same: ChatGLM as GLM, MiniCPM as a LLaMA with its scales folded into the weights, InternLM and Qwen as LLaMA with
biases, whose rotary base and queries are changed where Qwen changes them. Phi-3 small is written out below.
Needs: pip install numpy regex jinja2 torch transformers
"""
import json
import math
import pathlib
import sys
import tempfile

import numpy as np
import torch
import transformers
from safetensors.numpy import load_file
from make_goldens import write, write_safetensors

ROOT = pathlib.Path(__file__).resolve().parent.parent / "Tests" / "Fixtures" / "goldens" / "models"
VOCABULARY, WIDTH, INNER, HEADS, KV, HEAD = 96, 32, 48, 4, 2, 8
LENGTHS, GREEDY = (1, 7, 50), 12
SHARED = dict(
    vocab_size=VOCABULARY, hidden_size=WIDTH, intermediate_size=INNER, num_hidden_layers=2,
    num_attention_heads=HEADS, num_key_value_heads=KV, max_position_embeddings=256, bos_token_id=1, eos_token_id=2,
    pad_token_id=0)
YARN = dict(rope_type="yarn", type="yarn", factor=8.0, original_max_position_embeddings=32, mscale=0.7,
            mscale_all_dim=0.7, beta_fast=32, beta_slow=1)


def randomize(model, seed):
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        centre = 1.0 if "norm" in name.lower() or "ln_" in name and name.endswith("weight") else 0.0
        if name.endswith("bias"):
            centre = 0.0
        if "emma" in type(model).__name__ and "norm" in name:
            centre = 0.0
        spread = 0.1 if parameter.dim() == 1 or "norm" in name else 0.25
        parameter.data = centre + spread * torch.randn(parameter.shape, generator=generator)
    model.eval()


def native(name, **config):
    """The model of a class of transformers, its config.json and its weights as saved."""
    def make(seed):
        auto = transformers.AutoConfig.for_model(name, **config)
        model = transformers.AutoModelForCausalLM.from_config(auto, attn_implementation="eager", experts_implementation="eager")
        randomize(model, seed)
        weights = {}
        with tempfile.TemporaryDirectory() as folder:
            model.save_pretrained(folder)
            for file in sorted(pathlib.Path(folder).glob("*.safetensors")):
                weights |= load_file(file)
        return logits_of(model), dict(model_type=name, architectures=[type(model).__name__], **config), weights
    return make


def logits_of(model):
    model.double()
    return lambda ids: model(torch.tensor([ids])).logits[0].detach().numpy()


def llama(**config):
    config = SHARED | dict(tie_word_embeddings=False, attn_implementation="eager") | config
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**config))


def numpied(model):
    return {name: value.float().numpy() for name, value in model.state_dict().items()}


def internlm(seed):
    model = llama(attention_bias=True, num_key_value_heads=HEADS)
    randomize(model, seed)
    config = dict(SHARED, model_type="internlm", architectures=["InternLMForCausalLM"], bias=True, num_key_value_heads=HEADS, rms_norm_eps=1e-6)
    return logits_of(model), config, numpied(model)


def internlm2(seed, reward=False):
    model = llama(rms_norm_eps=1e-5)
    randomize(model, seed)
    weights = {}
    for name, value in numpied(model).items():
        for old, new in [("embed_tokens", "tok_embeddings"), ("self_attn.o_proj", "attention.wo"),
                         ("mlp.gate_proj", "feed_forward.w1"), ("mlp.up_proj", "feed_forward.w3"),
                         ("mlp.down_proj", "feed_forward.w2"), ("input_layernorm", "attention_norm"),
                         ("post_attention_layernorm", "ffn_norm"), ("lm_head", "output")]:
            name = name.replace(old, new)
        weights[name] = value
    for layer in range(2):
        q, k, v = (weights.pop(f"model.layers.{layer}.self_attn.{p}_proj.weight") for p in "qkv")
        groups = [np.concatenate([q[g * 16:g * 16 + 16], k[g * 8:g * 8 + 8], v[g * 8:g * 8 + 8]]) for g in range(KV)]
        weights[f"model.layers.{layer}.attention.wqkv.weight"] = np.concatenate(groups)
    config = dict(SHARED, model_type="internlm2", architectures=["InternLM2ForCausalLM"], bias=False, rms_norm_eps=1e-5)
    if not reward:
        return logits_of(model), config, weights
    weights.pop("output.weight")
    weights["v_head.weight"] = np.random.default_rng(seed).normal(0, 0.3, (1, WIDTH)).astype(np.float32)
    return scores_of(model, lambda x: x @ weights["v_head.weight"].T), config | dict(
        architectures=["InternLM2ForRewardModel"]), weights


def qwen2_reward(seed):
    config = dict(SHARED, tie_word_embeddings=False)
    auto = transformers.Qwen2Config(**config)
    model = transformers.Qwen2ForCausalLM._from_config(auto, attn_implementation="eager", experts_implementation="eager")
    randomize(model, seed)
    weights, random = numpied(model), np.random.default_rng(seed)
    weights.pop("lm_head.weight")
    for name, shape in [("0", (WIDTH, WIDTH)), ("2", (1, WIDTH))]:
        weights[f"score.{name}.weight"] = random.normal(0, 0.3, shape).astype(np.float32)
        weights[f"score.{name}.bias"] = random.normal(0, 0.3, shape[:1]).astype(np.float32)

    def head(x):
        x = np.maximum(x @ weights["score.0.weight"].T + weights["score.0.bias"], 0)
        return x @ weights["score.2.weight"].T + weights["score.2.bias"]
    config = dict(config, model_type="qwen2", architectures=["Qwen2ForRewardModel"], rms_norm_eps=1e-6)
    return scores_of(model, head), config, weights


def scores_of(model, head):
    model.double()
    return lambda ids: head(model.model(torch.tensor([ids])).last_hidden_state[0].detach().numpy())


def minicpm(seed):
    model = llama(num_key_value_heads=HEADS, tie_word_embeddings=False)
    randomize(model, seed)
    weights = numpied(model)
    weights.pop("lm_head.weight")
    model.lm_head.weight.data = model.model.embed_tokens.weight.data * (16 / WIDTH)
    model.model.embed_tokens.weight.data = model.model.embed_tokens.weight.data * 3
    for layer in model.model.layers:
        for linear in (layer.self_attn.o_proj, layer.mlp.down_proj):
            linear.weight.data = linear.weight.data.double() * (1.4 / math.sqrt(2))
    config = dict(SHARED, model_type="minicpm", architectures=["MiniCPMForCausalLM"], num_key_value_heads=HEADS,
                  rms_norm_eps=1e-6, scale_emb=3, dim_model_base=16, scale_depth=1.4)
    return logits_of(model), config, weights


def qwen(seed):
    """Beyond 16 tokens the base grows in steps and queries with the logarithm of their position."""
    trained = 16
    model = llama(attention_bias=True, num_key_value_heads=HEADS)
    randomize(model, seed)
    for layer in model.model.layers:
        layer.self_attn.o_proj.bias.data.zero_()
    old, weights = numpied(model), {}
    for name, new in [("model.embed_tokens", "transformer.wte"), ("model.norm", "transformer.ln_f"),
                      ("lm_head", "lm_head")]:
        weights[new + ".weight"] = old[name + ".weight"]
    for layer in range(2):
        a, b = f"model.layers.{layer}.", f"transformer.h.{layer}."
        for kind in ("weight", "bias"):
            weights[b + "attn.c_attn." + kind] = np.concatenate([old[f"{a}self_attn.{p}_proj.{kind}"] for p in "qkv"])
        for name, new in [("self_attn.o_proj", "attn.c_proj"), ("input_layernorm", "ln_1"), ("mlp.up_proj", "mlp.w1"),
                          ("post_attention_layernorm", "ln_2"), ("mlp.gate_proj", "mlp.w2"),
                          ("mlp.down_proj", "mlp.c_proj")]:
            weights[b + new + ".weight"] = old[a + name + ".weight"]
    plain = logits_of(model)

    def logits(ids):
        alpha = max(2 ** math.ceil(math.log2(len(ids) / trained) + 1) - 1, 1)
        base = 10000.0 * alpha ** (HEAD / (HEAD - 2))
        model.model.rotary_emb.inv_freq = base ** -(torch.arange(0, HEAD, 2).double() / HEAD)
        factors = torch.tensor([max(math.log(i + 1, trained), 1.0) for i in range(len(ids))], dtype=torch.double)
        hooks = [layer.self_attn.q_proj.register_forward_hook(lambda m, x, y: y * factors[None, :, None])
                 for layer in model.model.layers]
        result = plain(ids)
        for hook in hooks:
            hook.remove()
        return result
    config = {k: v for k, v in SHARED.items() if k != "num_key_value_heads"} | dict(
        model_type="qwen", architectures=["QWenLMHeadModel"], intermediate_size=2 * INNER, kv_channels=HEAD, layer_norm_epsilon=1e-6, rotary_emb_base=10000,
        rotary_pct=1.0, seq_length=trained, use_dynamic_ntk=True, use_logn_attn=True, no_bias=True,
        tie_word_embeddings=False)
    return logits, config, weights


def chatglm(seed):
    model = transformers.GlmForCausalLM._from_config(transformers.GlmConfig(
        **SHARED, head_dim=HEAD, attention_bias=True, partial_rotary_factor=0.5, tie_word_embeddings=False,
        rms_norm_eps=1e-5), attn_implementation="eager")
    randomize(model, seed)
    old, weights = numpied(model), {}
    for name, new in [("model.embed_tokens", "embedding.word_embeddings"), ("model.norm", "encoder.final_layernorm"),
                      ("lm_head", "output_layer")]:
        weights[f"transformer.{new}.weight"] = old[name + ".weight"]
    for layer in range(2):
        a, b = f"model.layers.{layer}.", f"transformer.encoder.layers.{layer}."
        for kind in ("weight", "bias"):
            weights[b + "self_attention.query_key_value." + kind] = np.concatenate(
                [old[f"{a}self_attn.{p}_proj.{kind}"] for p in "qkv"])
        for name, new in [("self_attn.o_proj", "self_attention.dense"), ("input_layernorm", "input_layernorm"),
                          ("post_attention_layernorm", "post_attention_layernorm"),
                          ("mlp.gate_up_proj", "mlp.dense_h_to_4h"), ("mlp.down_proj", "mlp.dense_4h_to_h")]:
            weights[b + new + ".weight"] = old[a + name + ".weight"]
    config = dict(
        model_type="chatglm", architectures=["ChatGLMModel"], padded_vocab_size=VOCABULARY, hidden_size=WIDTH, ffn_hidden_size=INNER, num_layers=2,
        num_attention_heads=HEADS, kv_channels=HEAD, multi_query_attention=True, multi_query_group_num=KV,
        layernorm_epsilon=1e-5, rmsnorm=True, seq_length=256, add_qkv_bias=True, add_bias_linear=False,
        apply_residual_connection_post_layernorm=False, tie_word_embeddings=False, eos_token_id=2)
    return logits_of(model), config, weights


def phi3small(seed):
    """Written out from its report and the published configuration, in float64."""
    config = dict(
        model_type="phi3small", architectures=["Phi3SmallForCausalLM"], vocab_size=VOCABULARY, hidden_size=WIDTH, ff_intermediate_size=INNER,
        num_hidden_layers=2, num_attention_heads=HEADS, num_key_value_heads=KV, layer_norm_epsilon=1e-5,
        max_position_embeddings=256, rope_embedding_base=10000, rope_position_scale=1.0, hidden_act="gegelu",
        gegelu_limit=1.5, mup_use_scaling=True, mup_attn_multiplier=2.0, mup_embedding_multiplier=3.0,
        mup_width_multiplier=2.0, blocksparse_block_size=32, blocksparse_num_local_blocks=1, blocksparse_vert_stride=3,
        blocksparse_homo_head_pattern=False, dense_attention_every_n_layers=2, dummy_token_indices=[5, 90],
        bos_token_id=1, eos_token_id=2)
    random = np.random.default_rng(seed)
    shapes = {"model.embed_tokens.weight": (VOCABULARY, WIDTH)}
    for layer in range(2):
        name = f"model.layers.{layer}."
        for part, rows, columns in [("self_attn.query_key_value", (HEADS + 2 * KV) * HEAD, WIDTH),
                                    ("self_attn.dense", WIDTH, WIDTH), ("mlp.up_proj", 2 * INNER, WIDTH),
                                    ("mlp.down_proj", WIDTH, INNER)]:
            shapes[name + part + ".weight"], shapes[name + part + ".bias"] = (rows, columns), (rows,)
        for norm in ("input_layernorm", "post_attention_layernorm"):
            shapes[name + norm + ".weight"] = shapes[name + norm + ".bias"] = (WIDTH,)
    shapes["model.final_layernorm.weight"] = shapes["model.final_layernorm.bias"] = (WIDTH,)
    weights = {n: random.normal(float("norm.weight" in n), 0.1 if "norm" in n else 0.3, s).astype(np.float32)
               for n, s in shapes.items()}

    def norm(x, name):
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
        return x * weights[name + ".weight"] + weights[name + ".bias"]

    def linear(x, name):
        return x @ weights[name + ".weight"].T.astype(np.float64) + weights[name + ".bias"]

    def attend(x, layer):
        n, name, together = len(x), f"model.layers.{layer}.self_attn.", HEADS // KV
        qkv = linear(x, name + "query_key_value").reshape(n, KV, together + 2, HEAD)
        q, k, v = qkv[:, :, :together].reshape(n, HEADS, HEAD), qkv[:, :, together], qkv[:, :, together + 1]
        angles = np.outer(np.arange(n), 10000.0 ** -(np.arange(0, HEAD, 2) / HEAD))[:, None]

        def rotate(x):
            a, b = x[..., :HEAD // 2], x[..., HEAD // 2:]
            return np.concatenate([a * np.cos(angles) - b * np.sin(angles), b * np.cos(angles) + a * np.sin(angles)], -1)
        q, k = rotate(q), rotate(k)
        rows, columns = np.arange(n)[:, None], np.arange(n)[None]
        out = np.zeros((n, HEADS, HEAD))
        for head in range(HEADS):
            seen = columns <= rows
            if layer == 0:
                strided = (columns // 32 + head + 1) % 3 == 0
                seen = seen & ((rows // 32 - columns // 32 < 1) | strided)
            scores = np.where(seen, q[:, head] @ k[:, head // together].T * 2.0 / HEAD, -np.inf)
            p = np.exp(scores - scores.max(-1, keepdims=True))
            out[:, head] = p / p.sum(-1, keepdims=True) @ v[:, head // together]
        return linear(out.reshape(n, WIDTH), name + "dense")

    def logits(ids):
        x = weights["model.embed_tokens.weight"][ids].astype(np.float64) * 3.0
        for layer in range(2):
            name = f"model.layers.{layer}."
            x = x + attend(norm(x, name + "input_layernorm"), layer)
            both = linear(norm(x, name + "post_attention_layernorm"), name + "mlp.up_proj")
            gate, up = np.minimum(both[:, ::2], 1.5), np.clip(both[:, 1::2], -1.5, 1.5)
            x = x + linear(gate / (1 + np.exp(-1.702 * gate)) * (up + 1), name + "mlp.down_proj")
        result = norm(x, "model.final_layernorm") @ weights["model.embed_tokens.weight"].T / 2.0
        result[:, [5, 90]] = -1e30
        return result
    return logits, config, weights


LN = {k: v for k, v in SHARED.items() if k != "pad_token_id"}
FAMILIES = {
    "tiny_bloom": native("bloom", vocab_size=VOCABULARY, hidden_size=24, n_layer=2, n_head=6),
    "tiny_starcoder": native(
        "gpt_bigcode", vocab_size=VOCABULARY, n_embd=WIDTH, n_head=HEADS, n_layer=2, n_positions=80),
    "tiny_starcoder2": native("starcoder2", **SHARED, sliding_window=20),
    "tiny_qwen2_moe": native(
        "qwen2_moe", **SHARED, num_experts=6, num_experts_per_tok=2, moe_intermediate_size=16,
        shared_expert_intermediate_size=24, decoder_sparse_step=2, norm_topk_prob=True),
    "tiny_qwen3": native("qwen3", **SHARED, head_dim=16, tie_word_embeddings=True),
    "tiny_qwen3_moe": native(
        "qwen3_moe", **SHARED, head_dim=HEAD, num_experts=6, num_experts_per_tok=3, moe_intermediate_size=16,
        norm_topk_prob=True),
    "tiny_mixtral": native("mixtral", **(SHARED | dict(intermediate_size=24)), num_local_experts=4, num_experts_per_tok=2),
    "tiny_stablelm": native("stablelm", **SHARED, use_qkv_bias=True, partial_rotary_factor=0.5),
    "tiny_stablelm_parallel": native(
        "stablelm", **SHARED, qk_layernorm=True, use_parallel_residual=True, partial_rotary_factor=0.5),
    "tiny_phi3": native("phi3", **SHARED, rope_scaling=dict(
        type="longrope", short_factor=[1.0, 1.1, 1.3, 1.5], long_factor=[2.0, 3.0, 5.0, 8.0]),
        original_max_position_embeddings=70, sliding_window=40),
    "tiny_cohere": native("cohere", **SHARED, use_qk_norm=True, logit_scale=0.5),
    "tiny_deepseek_v2": native(
        "deepseek_v2", **(SHARED | dict(num_key_value_heads=HEADS)), q_lora_rank=12, kv_lora_rank=16, qk_nope_head_dim=8,
        qk_rope_head_dim=4, v_head_dim=12, n_routed_experts=8, n_shared_experts=1, num_experts_per_tok=3, n_group=4,
        topk_group=2, topk_method="group_limited_greedy", routed_scaling_factor=2.0, moe_intermediate_size=12,
        first_k_dense_replace=1, rope_scaling=YARN, norm_topk_prob=False),
    "tiny_gemma": native("gemma", **(SHARED | dict(num_key_value_heads=1)), head_dim=16),
    "tiny_gemma2": native(
        "gemma2", **SHARED, head_dim=HEAD, sliding_window=16, query_pre_attn_scalar=HEAD, attn_logit_softcapping=5.0),
    "tiny_gemma3": native(
        "gemma3_text", **(SHARED | dict(num_hidden_layers=3)), head_dim=HEAD, sliding_window=16,
        sliding_window_pattern=3, query_pre_attn_scalar=24, rope_theta=100000.0, rope_local_base_freq=10000.0),
    "tiny_internlm": internlm, "tiny_internlm2": internlm2, "tiny_minicpm": minicpm, "tiny_qwen": qwen,
    "tiny_chatglm2": chatglm, "tiny_phi3small": phi3small,
    "tiny_internlm2_reward": lambda seed: internlm2(seed, reward=True), "tiny_qwen2_reward": qwen2_reward,
}


def record(logits, lengths, seed):
    """Prompts, what is computed for them, and the least margin between the two likeliest tokens of a choice."""
    random, prompts, least = np.random.default_rng(seed), [], math.inf
    for length in lengths:
        ids = [int(i) for i in random.integers(3, VOCABULARY, length)]
        result = logits(ids)
        entry = {"ids": ids, "last_logits": [round(float(v), 6) for v in result[-1]]}
        if result.shape[1] > 1:
            top = result.max(-1, keepdims=True)
            logs = result - top - np.log(np.exp(result - top).sum(-1, keepdims=True))
            entry["prompt_logprobs"] = [None] + [round(float(logs[i, ids[i + 1]]), 6) for i in range(length - 1)]
            answer = list(ids)
            for _ in range(GREEDY):
                last = logits(answer)[-1]
                best = np.sort(last)[-2:]
                least = min(least, best[1] - best[0])
                answer.append(int(last.argmax()))
            entry["greedy"] = answer[length:]
        prompts.append(entry)
    return prompts, least


def main():
    for name, make in FAMILIES.items():
        if len(sys.argv) > 1 and name not in sys.argv[1:]:
            continue
        lengths = (1, 7, 110) if name == "tiny_phi3small" else LENGTHS
        with torch.no_grad():
            for seed in range(1, 20):
                logits, config, weights = make(seed)
                prompts, least = record(logits, lengths, seed)
                if least > 2e-3:
                    break
        folder = ROOT / name
        write(folder / "config.json", config | dict(torch_dtype="float32"))
        write(folder / "golden.json", {"prompts": prompts})
        write_safetensors(folder / "model.safetensors", {k: np.ascontiguousarray(v) for k, v in weights.items()}, False)
        size = sum(file.stat().st_size for file in folder.iterdir())
        print(name, "seed", seed, "margin", round(least, 4), size // 1024, "KiB", flush=True)


if __name__ == "__main__":
    main()
