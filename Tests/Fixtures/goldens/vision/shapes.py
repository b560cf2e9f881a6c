"""Names and shapes of the tensors of checkpoints."""


def text_shapes(config, bias=False):
    width, inner = config["hidden_size"], config["intermediate_size"]
    few = width // config["num_attention_heads"] * config["num_key_value_heads"]
    shapes = {"model.embed_tokens.weight": (config["vocab_size"], width), "model.norm.weight": (width,)}
    if not config.get("tie_word_embeddings"):
        shapes["lm_head.weight"] = (config["vocab_size"], width)
    for i in range(config["num_hidden_layers"]):
        layer = f"model.layers.{i}."
        for name, outputs in (("q", width), ("k", few), ("v", few)):
            shapes[layer + f"self_attn.{name}_proj.weight"] = (outputs, width)
            if bias:
                shapes[layer + f"self_attn.{name}_proj.bias"] = (outputs,)
        shapes |= {layer + "self_attn.o_proj.weight": (width, width), layer + "mlp.gate_proj.weight": (inner, width),
                   layer + "mlp.up_proj.weight": (inner, width), layer + "mlp.down_proj.weight": (width, inner),
                   layer + "input_layernorm.weight": (width,), layer + "post_attention_layernorm.weight": (width,)}
    return shapes


def phi3_shapes(config):
    width, inner, shapes = config["hidden_size"], config["intermediate_size"], {}
    for name, shape in text_shapes(config).items():
        if "up_proj" in name:
            shapes[name.replace("up_proj", "gate_up_proj")] = (2 * inner, width)
        elif "q_proj" in name:
            shapes[name.replace("q_proj", "qkv_proj")] = (3 * width, width)
        elif not any(part in name for part in ("gate_proj", "k_proj", "v_proj")):
            shapes[name] = shape
    return shapes


def qwen_shapes(config):
    width, inner = config["hidden_size"], config["intermediate_size"] // 2
    shapes = {"transformer.wte.weight": (config["vocab_size"], width), "transformer.ln_f.weight": (width,),
              "lm_head.weight": (config["vocab_size"], width)}
    for i in range(config["num_hidden_layers"]):
        layer = f"transformer.h.{i}."
        shapes |= both(layer + "attn.c_attn", 3 * width, width)
        shapes |= {layer + "attn.c_proj.weight": (width, width), layer + "mlp.w1.weight": (inner, width),
                   layer + "mlp.w2.weight": (inner, width), layer + "mlp.c_proj.weight": (width, inner),
                   layer + "ln_1.weight": (width,), layer + "ln_2.weight": (width,)}
    return shapes


def both(name, *shape):
    return {name + ".weight": shape, name + ".bias": shape[:1]}


def within(prefix, shapes):
    return {f"{prefix}.{name}": shape for name, shape in shapes.items()}


def clip_shapes(vision):
    width, inner, patch = vision["hidden_size"], vision["intermediate_size"], vision["patch_size"]
    count = (vision["image_size"] // patch) ** 2 + 1
    shapes = {"embeddings.class_embedding": (width,), "embeddings.patch_embedding.weight": (width, 3, patch, patch),
              "embeddings.position_embedding.weight": (count, width),
              **both("pre_layrnorm", width), **both("post_layernorm", width)}
    for i in range(vision["num_hidden_layers"]):
        layer = f"encoder.layers.{i}."
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes |= both(layer + "self_attn." + name, width, width)
        shapes |= both(layer + "mlp.fc1", inner, width) | both(layer + "mlp.fc2", width, inner)
        shapes |= both(layer + "layer_norm1", width) | both(layer + "layer_norm2", width)
    return shapes


def qwen_visual_shapes(visual):
    width, patch, out = visual["width"], visual["patch_size"], visual["output_dim"]
    inner = int(visual["mlp_ratio"] * width)
    pool = {"pos_embed": (visual["n_queries"], out), "query": (visual["n_queries"], out),
            "kv_proj.weight": (out, width), "attn.in_proj_weight": (3 * out, out), "attn.in_proj_bias": (3 * out,),
            **both("attn.out_proj", out, out), **both("ln_q", out), **both("ln_kv", out)}
    shapes = {"positional_embedding": (256, width), "conv1.weight": (width, 3, patch, patch), "proj": (out, out),
              **both("ln_pre", width), **both("ln_post", out), **within("attn_pool", pool)}
    for i in range(visual["layers"]):
        layer = f"transformer.resblocks.{i}."
        shapes |= both(layer + "attn.in_proj", 3 * width, width) | both(layer + "attn.out_proj", width, width)
        shapes |= both(layer + "mlp.c_fc", inner, width) | both(layer + "mlp.c_proj", width, inner)
        shapes |= both(layer + "ln_1", width) | both(layer + "ln_2", width)
    return shapes


def intern_vit_shapes(config):
    vision, out = config["vision_config"], config["llm_config"]["hidden_size"]
    width, inner, patch = vision["hidden_size"], vision["intermediate_size"], vision["patch_size"]
    norm = (lambda name: {name + ".weight": (width,)}) if vision["norm_type"] == "rms_norm" else (
        lambda name: both(name, width))
    shapes = {"embeddings.class_embedding": (1, 1, width), **both("embeddings.patch_embedding", width, 3, patch, patch),
              "embeddings.position_embedding": (1, (vision["image_size"] // patch) ** 2 + 1, width)}
    for i in range(vision["num_hidden_layers"]):
        layer = f"encoder.layers.{i}."
        shapes |= both(layer + "attn.proj", width, width)
        shapes |= both(layer + "mlp.fc1", inner, width) | both(layer + "mlp.fc2", width, inner)
        shapes |= {layer + "ls1": (width,), layer + "ls2": (width,), **norm(layer + "norm1"), **norm(layer + "norm2")}
        shapes[layer + "attn.qkv.weight"] = (3 * width, width)
        if vision["qkv_bias"]:
            shapes[layer + "attn.qkv.bias"] = (3 * width,)
        if vision["qk_normalization"]:
            shapes |= {layer + "attn.q_norm.weight": (width,), layer + "attn.k_norm.weight": (width,)}
    mlp = both("0", 4 * width) | both("1", out, 4 * width) | both("3", out, out)
    return within("vision_model", shapes) | within("mlp1", mlp)


def qwen2_visual_shapes(config):
    vision, out, is_newer = config["vision_config"], config["hidden_size"], config["model_type"] == "qwen2_5_vl"
    width = vision["hidden_size" if is_newer else "embed_dim"]
    inner = vision["intermediate_size"] if is_newer else int(vision["mlp_ratio"] * width)
    square, patch = width * vision["spatial_merge_size"] ** 2, vision["patch_size"]
    norm = (lambda name: {name + ".weight": (width,)}) if is_newer else (lambda name: both(name, width))
    shapes = {"patch_embed.proj.weight": (width, 3, vision["temporal_patch_size"], patch, patch),
              **norm("merger.ln_q"), **both("merger.mlp.0", square, square), **both("merger.mlp.2", out, square)}
    for i in range(vision["depth"]):
        layer = f"blocks.{i}."
        shapes |= both(layer + "attn.qkv", 3 * width, width) | both(layer + "attn.proj", width, width)
        shapes |= norm(layer + "norm1") | norm(layer + "norm2")
        if is_newer:
            for name, shape in (("gate", (inner, width)), ("up", (inner, width)), ("down", (width, inner))):
                shapes |= both(f"{layer}mlp.{name}_proj", *shape)
        else:
            shapes |= both(layer + "mlp.fc1", inner, width) | both(layer + "mlp.fc2", width, inner)
    return within("visual", shapes)


def shapes_of(name, config):
    if name == "llava":
        out, seen = config["text_config"]["hidden_size"], config["vision_config"]["hidden_size"]
        projector = both("linear_1", out, seen) | both("linear_2", out, out)
        tower, text = clip_shapes(config["vision_config"]), text_shapes(config["text_config"])
        return (within("language_model", text) | within("multi_modal_projector", projector)
                | within("vision_tower.vision_model", tower))
    if name == "llava_original":
        out, seen = config["hidden_size"], config["mm_hidden_size"]
        projector = both("0", out, seen) | both("2", out, out)
        return text_shapes(config) | within("model.mm_projector", projector)
    if name == "qwen_vl":
        return qwen_shapes(config) | within("transformer.visual", qwen_visual_shapes(config["visual"]))
    if name.startswith("internvl"):
        llm = config["llm_config"]
        text = phi3_shapes(llm) if llm["model_type"] == "phi3" else text_shapes(llm)
        return within("language_model", text) | intern_vit_shapes(config)
    return text_shapes(config, bias=True) | qwen2_visual_shapes(config)
