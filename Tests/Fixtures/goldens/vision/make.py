#!/usr/bin/env python3
"""Makes tiny random checkpoints of models that see, in the form of real ones, and what is to be expected of them.

Needs: pip install pillow==13.0.0 numpy. golden.json has for each case the prompt's tokens, the logits after it and the
likeliest next tokens; pixel_values_*.f32 and image_features_*.f32 have numbers of single precision, little-endian.
"""
import json
import pathlib

import numpy as np
from PIL import Image

import networks
from checkpoints import CASES, CHECKPOINTS, CLIP_PREPROCESSOR, CLIP_TOWER, FIRST, SIZES, TOWER
from networks import Weights
from shapes import clip_shapes, shapes_of, within
from texts import TextModel

HERE = pathlib.Path(__file__).parent
TOKENIZER = HERE.parent / "models" / "tiny_llama"
ANSWER = 16
LEAST_MARGIN = 4e-3


class Family:
    """How a kind of checkpoint is read.

    text(config): its text model's kind, configuration and place among the weights.
    mark(config): the token that holds the places of features ("for each" one or "for all" of them), or stands "before"
    them, whatever holds the places.
    """

    def __init__(self, network, text, mark, stands="for each"):
        self.network, self.text, self.mark, self.stands = network, text, mark, stands

    def place(self, ids, start, config, count):
        """Where the features of the next image go in the tokens from `start` on."""
        at = ids.index(self.mark(config), start)
        if self.stands == "before":
            return at + 1, at + 1 + count
        return at, at + (count if self.stands == "for each" else 1)


def inner_text(config):
    return config["text_config"]["model_type"], config["text_config"], "language_model"


QWEN2_VL = Family(networks.qwen2_vl, lambda c: ("qwen2", c, None), lambda c: c["image_token_id"])
INTERNVL = Family(
    networks.internvl, lambda c: (c["llm_config"]["model_type"], c["llm_config"], "language_model"),
    lambda c: FIRST + 2)
FAMILIES = {
    "llava": Family(networks.llava, inner_text, lambda c: c["image_token_index"]),
    "llava_original": Family(networks.llava_original, lambda c: ("llama", c, None), lambda c: -200, "for all"),
    "qwen_vl": Family(
        networks.qwen_vl, lambda c: ("qwen", c, None), lambda c: c["visual"]["image_start_id"], "before"),
    "qwen2_vl": QWEN2_VL, "qwen2_5_vl": QWEN2_VL, "internvl_phi3": INTERNVL, "internvl_internlm2": INTERNVL,
    "internvl_6b": INTERNVL,
}


def answer(family, config, tensors, seen, ids, count=ANSWER):
    """What a checkpoint answers to a prompt with images that its network has seen."""
    weights = Weights(tensors)
    kind, text_config, prefix = family.text(config)
    text = TextModel(kind, text_config, weights / prefix if prefix else weights)
    rows, positions, start = [], [], 0

    def next_position():
        return max((p.max() + 1 for p in positions), default=0)

    def add(vectors, places):
        rows.append(vectors)
        positions.append(next_position() + places)

    def line(count):
        return np.repeat(np.arange(count)[None], 3, axis=0)

    for _, features, grid in seen:
        first, end = family.place(ids, start, config, len(features))
        add(text.table[ids[start:first]], line(first - start))
        add(features, np.indices((1, *grid)).reshape(3, -1) if grid else line(len(features)))
        start = end
    add(text.table[ids[start:]], line(len(ids) - start))
    return text.answer(np.concatenate(rows), np.concatenate(positions, 1), count)


# Files ----------------------------------------------------------------------------------------------------------

TEMPLATE = (
    "{% for message in messages %}{{ '<|begin|>' + message['role'] + '\\n' }}{% if message['content'] is string %}"
    "{{ message['content'] }}{% else %}{% for part in message['content'] %}{% if part['type'] == 'text' %}"
    "{{ part['text'] }}{% else %}{{ '<|vision_start|><|image_pad|><|vision_end|>' }}{% endif %}{% endfor %}{% endif %}"
    "{{ '<|end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|begin|>assistant\\n' }}{% endif %}")


def random_tensor(name, shape, rng):
    values = rng.standard_normal(shape)
    if len(shape) == 1 and name.endswith("weight") or name.endswith(("ls1", "ls2")):
        return 1 + 0.3 * values
    if len(shape) == 1 or "embed" in name and "patch" not in name or name.endswith(("query", "wte.weight")):
        return 0.3 * values if len(shape) == 1 else values
    # A matrix: what goes in may add up.
    return 1.2 * values / np.sqrt(np.prod(shape[1:]))


def random_tensors(shapes, rng):
    return {name: random_tensor(name, shape, rng).astype(np.float32) for name, shape in sorted(shapes.items())}


def write_safetensors(path, tensors):
    header, data = {}, b""
    for name, values in tensors.items():
        start, data = len(data), data + values.tobytes()
        header[name] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": [start, len(data)]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def write_json(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False) + "\n")


def write_images(folder, rng):
    for name, (width, height) in SIZES.items():
        y, x = np.mgrid[0:height, 0:width]
        waves = np.stack([128 + 90 * np.sin(x / (3 + c) + c + y / (5 - c)) for c in range(3)], -1)
        noise = rng.normal(0, 14, waves.shape)
        image = Image.fromarray(np.clip(waves + noise, 0, 255).astype(np.uint8))
        options = {"jpg": {"quality": 90}, "webp": {"lossless": True}}
        image.save(folder / name, **options.get(name.split(".")[1], {}))


def write_tokenizer(folder, name, marks):
    tokenizer = json.loads((TOKENIZER / "tokenizer.json").read_text())
    for index, mark in enumerate(marks):
        tokenizer["added_tokens"].append({**tokenizer["added_tokens"][0], "id": FIRST + index, "content": mark})
    settings = json.loads((TOKENIZER / "tokenizer_config.json").read_text())
    if name.startswith("qwen2"):
        settings["chat_template"] = TEMPLATE
    write_json(folder / "tokenizer.json", tokenizer)
    write_json(folder / "tokenizer_config.json", settings)


def prompt(name, counts, rng):
    """Words, and between them the places of images of so many features."""
    words = lambda: [int(word) for word in rng.integers(0, 316, rng.integers(3, 8))]
    ids = words()
    for count in counts:
        marked = [FIRST] + [FIRST + 2] * count + [FIRST + 1]
        ids += {"llava": [FIRST] * count, "llava_original": [-200]}.get(name, marked) + words()
    return ids


def floats(values):
    return [float(f"{value:.8g}") for value in values]


def make(name, seed):
    """Writes a checkpoint, unless a token is the likeliest by so little that another computer may disagree."""
    config, preprocessor, marks = CHECKPOINTS[name]
    rng, folder = np.random.default_rng(seed), HERE / name
    tensors = random_tensors(shapes_of(name, config), rng)
    tower = {}
    if name == "llava_original":
        tower = random_tensors(within("vision_model", clip_shapes(CLIP_TOWER)), rng)
    whole = {**config, "preprocessor": preprocessor}
    whole.setdefault("vision_config", CLIP_TOWER)
    folder.mkdir(exist_ok=True)
    write_images(folder, rng)
    family, cases = FAMILIES[name], []
    for index, images in enumerate(CASES):
        opened = [networks.opened(folder / image) for image in images]
        seen = [family.network(whole, Weights(tensors | tower), image) for image in opened]
        ids = prompt(name, [len(features) for _, features, _ in seen], rng)
        logits, greedy, margins = answer(family, whole, tensors, seen, ids)
        if min(margins) < LEAST_MARGIN:
            return False
        case = {"ids": ids, "images": images, "last_logits": floats(logits), "greedy": greedy,
                "greedy_margin_top1_top2": [round(margin, 5) for margin in margins]}
        for position, part in enumerate(("pixel_values", "image_features")):
            case[part + "_shapes"] = [list(s[position].shape) for s in seen]
            # The pixels of several are those of each.
            if len(images) == 1 or images and part == "image_features":
                values = np.concatenate([np.ravel(s[position]) for s in seen]).astype(np.float32)
                (folder / f"{part}_case{index}.f32").write_bytes(values.tobytes())
        cases.append(case)
    write_safetensors(folder / "model.safetensors", tensors)
    write_json(folder / "config.json", config)
    if preprocessor:
        write_json(folder / "preprocessor_config.json", preprocessor)
    if tower:
        (folder / TOWER).mkdir(exist_ok=True)
        write_safetensors(folder / TOWER / "model.safetensors", tower)
        write_json(folder / TOWER / "config.json", {"model_type": "clip", "vision_config": CLIP_TOWER})
        write_json(folder / TOWER / "preprocessor_config.json", CLIP_PREPROCESSOR)
    write_tokenizer(folder, name, marks)
    write_json(folder / "golden.json", {"arch": name, "seed": seed, "cases": cases})
    return True


def main():
    for name in CHECKPOINTS:
        # Numbered until one is clear.
        seed = next(seed for seed in range(100) if make(name, seed))
        print(name, "of seed", seed)


if __name__ == "__main__":
    main()
