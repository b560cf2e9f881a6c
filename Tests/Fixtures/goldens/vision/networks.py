"""The networks over images of vision models, in plain numpy of double precision.

Each function has the whole configuration and the checkpoint, and gives an image's pixels as the network takes them, its
features and, where these have rows and columns in the text, how many.
"""
import math

import numpy as np
from PIL import Image

CLIP = ([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711])
IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


# Weights --------------------------------------------------------------------------------------------------------

class Weights:
    """Tensors whose names begin alike."""

    def __init__(self, tensors, prefix=""):
        self.tensors, self.prefix = tensors, prefix

    def __truediv__(self, part):
        return Weights(self.tensors, f"{self.prefix}{part}.")

    def __contains__(self, name):
        return self.prefix + name in self.tensors

    def __getitem__(self, name):
        return self.tensors[self.prefix + name].astype(np.float64)

    def linear(self, name, x):
        weight = self[name + ".weight"]
        y = x @ weight.reshape(len(weight), -1).T
        return y + self[name + ".bias"] if name + ".bias" in self else y

    def norm(self, name, x, epsilon):
        """LayerNorm where there is a bias, RMSNorm elsewhere."""
        if name + ".bias" in self:
            centered = x - x.mean(-1, keepdims=True)
            scaled = centered / np.sqrt((centered ** 2).mean(-1, keepdims=True) + epsilon)
            return scaled * self[name + ".weight"] + self[name + ".bias"]
        return x / np.sqrt((x ** 2).mean(-1, keepdims=True) + epsilon) * self[name + ".weight"]


# Parts ----------------------------------------------------------------------------------------------------------

ERF = np.vectorize(math.erf)


def gelu(x):
    return x * (1 + ERF(x / math.sqrt(2))) / 2


def quick_gelu(x):
    return x / (1 + np.exp(-1.702 * x))


def silu(x):
    return x / (1 + np.exp(-x))


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def attend(q, k, v, mask=None):
    """q, k, v: [rows, heads, width]; fewer heads of k and v serve several of q each."""
    k, v = (np.repeat(x, q.shape[1] // x.shape[1], axis=1) for x in (k, v))
    scores = np.einsum("qhd,khd->hqk", q, k) / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = np.where(mask, scores, -np.inf)
    return np.einsum("hqk,khd->qhd", softmax(scores), v).reshape(len(q), -1)


def rotate(x, angles):
    """Pairs lie half a head apart; angles: [rows, half]."""
    cos, sin = (f(angles)[:, None] for f in (np.cos, np.sin))
    a, b = np.split(x, 2, axis=-1)
    return np.concatenate([a * cos - b * sin, b * cos + a * sin], -1)


def interpolated(grid, side):
    """[n, n, width] to [side, side, width]: cubic, a = -0.75, corners not aligned, borders repeated."""
    def matrix(n):
        m = np.zeros((side, n))
        for i in range(side):
            at = (i + 0.5) * n / side - 0.5
            for j in range(math.floor(at) - 1, math.floor(at) + 3):
                d, a = abs(at - j), -0.75
                near = (a + 2) * d ** 3 - (a + 3) * d ** 2 + 1
                m[i, min(max(j, 0), n - 1)] += near if d <= 1 else a * (d ** 3 - 5 * d ** 2 + 8 * d - 4)
        return m
    m = matrix(grid.shape[0])
    return grid if side == grid.shape[0] else np.einsum("ip,jq,pqw->ijw", m, m, grid)


# Pixels ---------------------------------------------------------------------------------------------------------

def opened(path):
    return Image.open(path).convert("RGB")


def normalized(image, statistics):
    """[3, height, width]"""
    mean, deviation = map(np.array, statistics)
    return ((np.asarray(image) / 255 - mean) / deviation).transpose(2, 0, 1)


def patches(pixels, size):
    """[3, height, width] to [rows * columns, 3 * size * size]"""
    _, height, width = pixels.shape
    cut = pixels.reshape(3, height // size, size, width // size, size)
    return cut.transpose(1, 3, 0, 2, 4).reshape(-1, 3 * size * size)


def fitting_tiles(image, config):
    """InternVL's tiles and, after several, the whole image."""
    size, least, most = config["force_image_size"], config["min_dynamic_patch"], config["max_dynamic_patch"]
    grids = {(a, b) for n in range(least, most + 1) for a in range(1, n + 1) for b in range(1, n + 1)
             if least <= a * b <= most}
    best, best_difference = (1, 1), math.inf
    for a, b in sorted(grids, key=lambda g: g[0] * g[1]):
        difference = abs(image.width / image.height - a / b)
        if difference < best_difference:
            best, best_difference = (a, b), difference
        elif difference == best_difference and image.width * image.height > 0.5 * size * size * a * b:
            best = (a, b)
    columns, rows = best
    whole = image.resize((columns * size, rows * size), Image.BICUBIC)
    tiles = [whole.crop((x * size, y * size, (x + 1) * size, (y + 1) * size))
             for y in range(rows) for x in range(columns)]
    return tiles + ([image.resize((size, size), Image.BICUBIC)] if len(tiles) > 1 else [])


def cropped(image, size):
    short = min(image.size)
    sides = [int(size * side / short) for side in image.size]
    left, top = ((side - size) // 2 for side in sides)
    return image.resize(sides, Image.BICUBIC).crop((left, top, left + size, top + size))


def padded(image, size):
    side = max(image.size)
    square = Image.new("RGB", (side, side), tuple(int(255 * x) for x in CLIP[0]))
    square.paste(image, tuple((side - x) // 2 for x in image.size))
    return square.resize((size, size), Image.BICUBIC)


def fitting_size(width, height, unit, least, most):
    sides = [max(unit, round(x / unit) * unit) for x in (width, height)]
    if sides[0] * sides[1] > most:
        shrink = math.sqrt(width * height / most)
        return [max(unit, math.floor(x / shrink / unit) * unit) for x in (width, height)]
    if sides[0] * sides[1] < least:
        growth = math.sqrt(least / (width * height))
        return [math.ceil(x * growth / unit) * unit for x in (width, height)]
    return sides


# Networks -------------------------------------------------------------------------------------------------------

def clip(config, weights, tower, image, projector):
    vision = config["vision_config"]
    original = config.get("image_aspect_ratio") == "pad"
    pixels = normalized((padded if original else cropped)(image, vision["image_size"]), CLIP)
    heads = vision["num_attention_heads"]
    w = tower / "embeddings"
    x = w.linear("patch_embedding", patches(pixels, vision["patch_size"]))
    x = np.concatenate([w["class_embedding"][None], x]) + w["position_embedding.weight"]
    x = tower.norm("pre_layrnorm", x, 1e-5)
    layer = config.get("vision_feature_layer", config.get("mm_vision_select_layer"))
    for i in range(vision["num_hidden_layers"] + 1 + layer):
        w = tower / f"encoder.layers.{i}"
        h = w.norm("layer_norm1", x, 1e-5)
        q, k, v = (w.linear(f"self_attn.{n}_proj", h).reshape(len(x), heads, -1) for n in "qkv")
        x = x + w.linear("self_attn.out_proj", attend(q, k, v))
        x = x + w.linear("mlp.fc2", quick_gelu(w.linear("mlp.fc1", w.norm("layer_norm2", x, 1e-5))))
    first, second = projector
    return pixels, weights.linear(second, gelu(weights.linear(first, x[1:]))), None


def llava(config, weights, image):
    return clip(config, weights, weights / "vision_tower.vision_model", image,
                ["multi_modal_projector.linear_1", "multi_modal_projector.linear_2"])


def llava_original(config, weights, image):
    return clip(config, weights, weights / "vision_model", image, ["model.mm_projector.0", "model.mm_projector.2"])


def qwen_vl(config, weights, image):
    vision, w = config["visual"], weights / "transformer.visual"
    size, side = vision["image_size"], vision["image_size"] // vision["patch_size"]
    pixels = normalized(image.resize((size, size), Image.BICUBIC), CLIP)
    places = w["positional_embedding"]
    x = w.linear("conv1", patches(pixels, vision["patch_size"]))
    x = x + interpolated(places.reshape(16, 16, -1), side).reshape(side * side, -1)
    x = w.norm("ln_pre", x, 1e-6)
    for i in range(vision["layers"]):
        layer = w / f"transformer.resblocks.{i}"
        mixed = layer.linear("attn.in_proj", layer.norm("ln_1", x, 1e-6))
        # Head by head: its query, key and value.
        q, k, v = np.split(mixed.reshape(len(x), vision["heads"], -1), 3, axis=-1)
        x = x + layer.linear("attn.out_proj", attend(q, k, v))
        x = x + layer.linear("mlp.c_proj", gelu(layer.linear("mlp.c_fc", layer.norm("ln_2", x, 1e-6))))
    pool, width = w / "attn_pool", vision["output_dim"]
    places, grid = pool["pos_embed"], math.isqrt(vision["n_queries"])
    x = pool.norm("ln_kv", pool.linear("kv_proj", x), 1e-6)
    keys = x + interpolated(places.reshape(grid, grid, -1), side).reshape(side * side, -1)
    queries = pool.norm("ln_q", pool["query"], 1e-6) + places
    parts = zip((queries, keys, x), *(np.split(pool[f"attn.in_proj_{n}"], 3) for n in ("weight", "bias")))
    q, k, v = ((a @ m.T + b).reshape(len(a), max(width // 128, 1), -1) for a, m, b in parts)
    x = pool.linear("attn.out_proj", attend(q, k, v))
    return pixels, w.norm("ln_post", x, 1e-6) @ w["proj"], None


def internvl(config, weights, image):
    vision, w = config["vision_config"], weights / "vision_model"
    size, patch, heads = config["force_image_size"], vision["patch_size"], vision["num_attention_heads"]
    epsilon, trained, side = vision["layer_norm_eps"], vision["image_size"] // patch, size // patch
    pixels = np.stack([normalized(tile, IMAGENET) for tile in fitting_tiles(image, config)])
    table = w["embeddings.position_embedding"][0]
    places = interpolated(table[1:].reshape(trained, trained, -1), side).reshape(side * side, -1)
    features = []
    for tile in pixels:
        x = (w / "embeddings").linear("patch_embedding", patches(tile, patch))
        x = np.concatenate([w["embeddings.class_embedding"][0], x]) + np.concatenate([table[:1], places])
        for i in range(vision["num_hidden_layers"]):
            layer = w / f"encoder.layers.{i}"
            q, k, v = np.split(layer.linear("attn.qkv", layer.norm("norm1", x, epsilon)), 3, axis=-1)
            if vision["qk_normalization"]:
                q, k = layer.norm("attn.q_norm", q, epsilon), layer.norm("attn.k_norm", k, epsilon)
            y = attend(*(a.reshape(len(x), heads, -1) for a in (q, k, v)))
            x = x + layer.linear("attn.proj", y) * layer["ls1"]
            y = layer.linear("mlp.fc2", gelu(layer.linear("mlp.fc1", layer.norm("norm2", x, epsilon))))
            x = x + y * layer["ls2"]
        # Squares of four patches, row by row; version 1 of the shuffle has the squares column by column.
        half = side // 2
        squares = x[1:].reshape(half, 2, half, 2, -1).transpose(0, 2, 1, 3, 4)
        if config["ps_version"] == "v1":
            squares = squares.transpose(1, 0, 2, 3, 4)
        y = weights.norm("mlp1.0", squares.reshape(half * half, -1), 1e-5)
        features.append(weights.linear("mlp1.3", gelu(weights.linear("mlp1.1", y))))
    return pixels, np.concatenate(features), None


def qwen2_vl(config, weights, image):
    """Qwen2-VL and Qwen2.5-VL."""
    vision, w, file = config["vision_config"], weights / "visual", config["preprocessor"]
    patch, merge, heads = vision["patch_size"], vision["spatial_merge_size"], vision["num_heads"]
    unit = patch * merge
    size = fitting_size(*image.size, unit, file["min_pixels"], file["max_pixels"])
    pixels = normalized(image.resize(size, Image.BICUBIC), CLIP)
    columns, rows = size[0] // patch, size[1] // patch
    # Token by token, the patches of each row by row; every image is two frames.
    order = np.arange(rows * columns).reshape(rows // merge, merge, columns // merge, merge)
    order = order.transpose(0, 2, 1, 3).reshape(-1, merge * merge)
    cut = patches(pixels, patch)[order.ravel()].reshape(-1, 3, 1, patch, patch)
    cut = np.repeat(cut, vision["temporal_patch_size"], axis=2).reshape(rows * columns, -1)
    is_newer = "fullatt_block_indexes" in vision
    tokens = np.arange(len(order)).reshape(rows // merge, columns // merge)
    window = vision["window_size"] // unit if is_newer else max(tokens.shape)
    windows = [tokens[y:y + window, x:x + window].ravel()
               for y in range(0, tokens.shape[0], window) for x in range(0, tokens.shape[1], window)]
    x = w.linear("patch_embed.proj", cut)
    half = x.shape[1] // heads // 2
    turns = 10_000.0 ** -(np.arange(0, half, 2) / half)
    places = np.stack([order.ravel() // columns, order.ravel() % columns], 1)
    angles = (places[:, :, None] * turns).reshape(len(x), half)
    for i in range(vision["depth"]):
        layer = w / f"blocks.{i}"
        q, k, v = np.split(layer.linear("attn.qkv", layer.norm("norm1", x, 1e-6)), 3, axis=-1)
        q, k, v = (a.reshape(len(x), heads, -1) for a in (q, k, v))
        q, k = rotate(q, angles), rotate(k, angles)
        y = np.empty_like(x)
        sees_all = not is_newer or i in vision["fullatt_block_indexes"]
        for seen in [tokens.ravel()] if sees_all else windows:
            at = (seen[:, None] * merge * merge + np.arange(merge * merge)).ravel()
            y[at] = attend(q[at], k[at], v[at])
        x = x + layer.linear("attn.proj", y)
        h, mlp = layer.norm("norm2", x, 1e-6), layer / "mlp"
        if is_newer:
            y = mlp.linear("down_proj", silu(mlp.linear("gate_proj", h)) * mlp.linear("up_proj", h))
        else:
            y = mlp.linear("fc2", quick_gelu(mlp.linear("fc1", h)))
        x = x + y
    x = w.norm("merger.ln_q", x, 1e-6).reshape(len(order), -1)
    return cut, w.linear("merger.mlp.2", gelu(w.linear("merger.mlp.0", x))), tokens.shape
