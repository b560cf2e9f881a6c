#!/usr/bin/env python3
"""What others do with LLaMA-7B's shapes on the GPU at hand: PyTorch's steps, and transformers' continuous batching.

    Scripts/gpu-peers.py [--json FILE] [--seconds 120]    measures, and adds an object a line to FILE
    Scripts/gpu-peers.py --dry                            the same code with a small model on the CPU; times mean nothing
    Scripts/gpu-peers.py --lengths 2000                   prints prompt and answer lengths of the requests

The weights are random numbers in bfloat16. Requests have the lengths that `lightllm gpu-check --section service` draws
from the same seed, and are all there from the start. Without PyTorch or transformers what they are needed for is left out.
"""
import argparse
import importlib.util
import json
import math
import sys
import time

CONTEXT = 472


class Shape:
    """A model of LLaMA's form."""

    def __init__(self, layers, width, inner, heads, words):
        self.layers, self.width, self.inner, self.heads, self.words = layers, width, inner, heads, words
        self.head = width // heads


SEVEN_BILLION = Shape(32, 4096, 11008, 32, 32000)
SMALL = Shape(2, 64, 128, 4, 512)


def lengths(count, seed=0):
    """Tokens of prompts and answers: cut log-normals of numbers that splitmix64 draws."""
    mask, state = (1 << 64) - 1, seed

    def unit():
        nonlocal state
        state = (state + 0x9E3779B97F4A7C15) & mask
        z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        return ((z ^ (z >> 31)) >> 11) * 2.0**-53

    def normal():
        a, b = unit(), unit()
        return math.sqrt(-2 * math.log(1 - a)) * math.cos(2 * math.pi * b)

    found = []
    while len(found) < count:
        prompt, answer = int(math.exp(5.1 + 1.45 * normal())), int(math.exp(4.95 + 1.05 * normal()))
        if 4 <= prompt <= 1024 and answer >= 4 and prompt + answer <= 2048:
            found.append((prompt, answer))
    return found


class Run:
    """Where findings go, and how much time there is."""

    def __init__(self, path, seconds, is_dry):
        self.path, self.end, self.is_dry = path, time.monotonic() + seconds, is_dry
        self.shape = SMALL if is_dry else SEVEN_BILLION
        self.device = "cpu" if is_dry else "cuda"

    def left(self):
        return self.end - time.monotonic()

    def record(self, name, **values):
        print(f"peers: {name}: " + ", ".join(f"{key} {value}" for key, value in values.items()), flush=True)
        if self.path:
            with open(self.path, "a") as file:
                file.write(json.dumps({"section": "peers", "name": name, **values}) + "\n")


def measure_steps(run, torch):
    """Every sequence generates a token. Keys and values lie in order, and one CUDA graph does the whole step."""
    from torch.nn import functional as F

    s = run.shape
    options = {"device": run.device, "dtype": torch.bfloat16}
    context, batches = (12, [1, 2]) if run.is_dry else (CONTEXT, [1, 64, 128])

    def weight(*shape):
        return torch.randn(*shape, **options) * 0.02

    layers = [
        (weight(3 * s.width, s.width), weight(s.width, s.width), weight(2 * s.inner, s.width), weight(s.width, s.inner))
        for _ in range(s.layers)
    ]
    table, head, norm = weight(s.words, s.width), weight(s.words, s.width), torch.ones(s.width, **options)
    cosine, sine = (torch.randn(s.head // 2, **options) for _ in range(2))

    def rotated(x):
        a, b = x.chunk(2, -1)
        return torch.cat([a * cosine - b * sine, b * cosine + a * sine], -1)

    def normed(x):
        return F.rms_norm(x, (s.width,), norm, 1e-5)

    for batch in batches:
        keys, values = (torch.randn(s.layers, batch, s.heads, context, s.head, **options) for _ in range(2))
        tokens = torch.zeros(batch, dtype=torch.long, device=run.device)

        def step():
            x = table[tokens]
            for index, (qkv, output, gate_up, down) in enumerate(layers):
                q, k, v = F.linear(normed(x), qkv).view(batch, 3, s.heads, s.head).unbind(1)
                keys[index, :, :, -1], values[index, :, :, -1] = rotated(k), v
                y = F.scaled_dot_product_attention(rotated(q).unsqueeze(2), keys[index], values[index])
                x = x + F.linear(y.reshape(batch, s.width), output)
                gate, up = F.linear(normed(x), gate_up).chunk(2, -1)
                x = x + F.linear(F.silu(gate) * up, down)
            tokens.copy_(F.linear(normed(x), head).argmax(-1))

        with torch.no_grad():
            seconds = graph_seconds(torch, step, run)
        read = 2 * (sum(w.numel() for layer in layers for w in layer) + head.numel()) + 4 * keys.numel()
        run.record(
            f"step batch {batch}", engine=f"PyTorch {torch.__version__}", attention="scaled_dot_product_attention",
            context=context, ms=1000 * seconds, **{"tokens/s": batch / seconds, "GB/s": read / seconds / 1e9})
        del keys, values


def graph_seconds(torch, step, run):
    """The median of twenty."""
    if run.is_dry:
        step()
        return 1.0
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        step()
        step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    times = []
    for _ in range(23):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        graph.replay()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end) / 1000)
    return sorted(times[3:])[10]


def attention():
    """The best that is installed. Without FlashAttention transformers multiplies all queries with all keys of a batch."""
    if importlib.util.find_spec("flash_attn_interface"):
        return "flash_attention_3"
    return "flash_attention_2" if importlib.util.find_spec("flash_attn") else "paged|sdpa"


def make_model(run, torch, transformers):
    s = run.shape
    configuration = transformers.LlamaConfig(
        vocab_size=s.words, hidden_size=s.width, intermediate_size=s.inner, num_hidden_layers=s.layers,
        num_attention_heads=s.heads, num_key_value_heads=s.heads, max_position_embeddings=2048, rms_norm_eps=1e-5,
        tie_word_embeddings=False, bos_token_id=1, eos_token_id=2, pad_token_id=0)
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device(run.device):
            model = transformers.LlamaForCausalLM(configuration)
    finally:
        torch.set_default_dtype(torch.float32)
    model.eval()
    kind = attention()
    model.set_attn_implementation(kind)
    return model, kind


def measure_service(run, torch, transformers):
    """All requests at once. With an attention that is quadratic in the batch there are fewer."""
    from transformers import GenerationConfig

    try:
        from transformers import ContinuousBatchingConfig
    except ImportError:
        from transformers.generation import ContinuousBatchingConfig
    model, kind = make_model(run, torch, transformers)
    all_lengths = lengths(2000)
    if kind == "paged|sdpa":
        all_lengths = all_lengths[:256]
    if run.is_dry:
        all_lengths = [(min(prompt, 20), min(answer, 8)) for prompt, answer in all_lengths[:6]]
    requests = [
        ([(index * 7919 + place * 104729) % run.shape.words for place in range(prompt)], answer)
        for index, (prompt, answer) in enumerate(all_lengths)
    ]
    whole = GenerationConfig(
        do_sample=False, max_new_tokens=max(answer for _, answer in requests), eos_token_id=-1, pad_token_id=0,
        bos_token_id=1)
    small = {"num_blocks": 64, "block_size": 16, "max_batch_tokens": 64, "use_cuda_graph": False} if run.is_dry else {}
    # A first few, for what is done once.
    first = [(prompt, min(answer, 32)) for prompt, answer in requests[:16]]
    for name, part in [("service, first", first), ("service", requests)]:
        batching = ContinuousBatchingConfig(allow_block_sharing=False, **small)
        with model.continuous_batching_context_manager(
            generation_config=whole, continuous_batching_config=batching, block=True, timeout=5
        ) as manager:
            found = serve(manager, part, run)
        run.record(name, engine=f"transformers {transformers.__version__}", attention=kind, **found)


def serve(manager, requests, run):
    """Sends all, and counts what comes until the time is over."""
    start, finished, computed, errors = time.perf_counter(), 0, 0, 0
    for prompt, answer in requests:
        manager.add_request(prompt, max_new_tokens=answer, eos_token_id=-1)
    while finished < len(requests) and run.left() > 10:
        result = manager.get_result(timeout=1)
        if result is None:
            if not manager.is_running():
                raise RuntimeError("continuous batching ended before all was answered")
            continue
        if result.is_finished():
            finished += 1
            errors += result.error is not None
            computed += len(result.prompt_ids) + len(result.generated_tokens)
    seconds = time.perf_counter() - start
    tokens = sum(len(prompt) + answer for prompt, answer in requests)
    return {
        "whole": finished == len(requests) and errors == 0, "finished": finished, "of": len(requests),
        "seconds": seconds, "errors": errors, "total tokens/s": computed / seconds,
        # As ours are counted: requests with as many tokens as were computed.
        "requests/s": computed / seconds * len(requests) / tokens,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json")
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--dry", action="store_true")
    parser.add_argument("--lengths", type=int)
    arguments = parser.parse_args()
    if arguments.lengths:
        for prompt, answer in lengths(arguments.lengths):
            print(prompt, answer)
        return 0
    run = Run(arguments.json, arguments.seconds, arguments.dry)
    try:
        import torch
    except ImportError:
        print("PyTorch is not installed: no peer was measured")
        return 0
    if not run.is_dry and not torch.cuda.is_available():
        print("PyTorch finds no GPU: no peer was measured")
        return 0
    failed = 0
    try:
        measure_steps(run, torch)
    except Exception as error:  # The other is measured all the same.
        run.record("steps", error=repr(error))
        failed = 1
    if not run.is_dry:
        torch.cuda.empty_cache()
    try:
        import transformers
    except ImportError:
        print("transformers is not installed: its continuous batching was not measured")
        return failed
    try:
        measure_service(run, torch, transformers)
    except Exception as error:
        run.record("transformers", error=repr(error))
        failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main())
