"""The tiny checkpoints: configurations as real ones have them."""
from networks import CLIP, IMAGENET

BEGIN, END, FIRST = 316, 317, 318
# Small images of awkward sides: larger and smaller than networks look at, wide, tall and narrow.
SIZES = {"image0.png": (41, 33), "image1.jpg": (25, 38), "image2.webp": (9, 170), "image3.png": (5, 6)}
CASES = [["image0.png"], ["image1.jpg"], ["image2.webp"], ["image3.png"], ["image1.jpg", "image0.png"], []]

TEXT = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "max_position_embeddings": 512,
    "hidden_act": "silu", "bos_token_id": BEGIN, "eos_token_id": END, "tie_word_embeddings": False,
    "torch_dtype": "float32",
}
CLIP_TOWER = {
    "model_type": "clip_vision_model", "hidden_size": 24, "image_size": 16, "intermediate_size": 40,
    "num_attention_heads": 3, "num_hidden_layers": 3, "patch_size": 4, "projection_dim": 24,
}
INTERN_VIT = {
    "model_type": "intern_vit_6b", "hidden_size": 40, "image_size": 16, "intermediate_size": 56,
    "num_attention_heads": 5, "num_hidden_layers": 2, "patch_size": 4, "hidden_act": "gelu",
    "layer_norm_eps": 1e-6, "initializer_factor": 1.0, "num_channels": 3, "use_flash_attn": False,
}


def statistics(pair):
    return {"image_mean": pair[0], "image_std": pair[1]}


CLIP_PREPROCESSOR = {
    "crop_size": {"height": 16, "width": 16}, "do_center_crop": True, "do_convert_rgb": True, "do_normalize": True,
    "do_rescale": True, "do_resize": True, "image_processor_type": "CLIPImageProcessor", "resample": 3,
    "rescale_factor": 1 / 255, "size": {"shortest_edge": 16}, **statistics(CLIP),
}
LLAVA = {
    "model_type": "llava", "architectures": ["LlavaForConditionalGeneration"], "image_token_index": FIRST,
    "ignore_index": -100, "projector_hidden_act": "gelu", "vision_feature_layer": -2,
    "vision_feature_select_strategy": "default", "torch_dtype": "float32", "tie_word_embeddings": False,
    "text_config": {**TEXT, "model_type": "llama", "vocab_size": FIRST + 1}, "vision_config": CLIP_TOWER,
}
TOWER = "clip-vit-tiny-patch4"
LLAVA_ORIGINAL = {
    **TEXT, "model_type": "llava_llama", "architectures": ["LlavaLlamaForCausalLM"], "vocab_size": FIRST,
    "mm_hidden_size": 24, "mm_projector_type": "mlp2x_gelu", "mm_use_im_patch_token": False,
    "mm_use_im_start_end": False, "mm_vision_select_feature": "patch", "mm_vision_select_layer": -2,
    "mm_vision_tower": "./" + TOWER, "image_aspect_ratio": "pad", "rope_scaling": None, "use_mm_proj": True,
}
QWEN_VL = {
    "model_type": "qwen", "architectures": ["QWenLMHeadModel"], "hidden_size": 32, "intermediate_size": 96,
    "num_hidden_layers": 2, "num_attention_heads": 4, "kv_channels": 8, "layer_norm_epsilon": 1e-6,
    "max_position_embeddings": 512, "rotary_emb_base": 10000, "rotary_pct": 1.0, "seq_length": 512, "no_bias": True,
    "use_dynamic_ntk": True, "use_logn_attn": True, "tie_word_embeddings": False, "torch_dtype": "float32",
    "vocab_size": FIRST + 3, "bos_token_id": BEGIN, "eos_token_id": END,
    "visual": {"heads": 3, "image_size": 24, "image_start_id": FIRST, "layers": 2, "mlp_ratio": 1.5,
               "n_queries": 16, "output_dim": 32, "patch_size": 4, "width": 24},
}
QWEN2 = {
    **TEXT, "rms_norm_eps": 1e-6, "rope_theta": 1000000.0, "vocab_size": FIRST + 4, "vision_start_token_id": FIRST,
    "vision_end_token_id": FIRST + 1, "image_token_id": FIRST + 2, "video_token_id": FIRST + 3,
    "rope_scaling": {"type": "mrope", "mrope_section": [2, 3, 3]}, "use_sliding_window": False,
    "sliding_window": 512, "max_window_layers": 2,
}
QWEN2_PATCHES = {"patch_size": 4, "spatial_patch_size": 4, "spatial_merge_size": 2, "temporal_patch_size": 2,
                 "in_chans": 3}
QWEN2_VL = {
    **QWEN2, "model_type": "qwen2_vl", "architectures": ["Qwen2VLForConditionalGeneration"],
    "num_attention_heads": 2, "num_key_value_heads": 2,
    "vision_config": {"depth": 2, "embed_dim": 24, "hidden_size": 32, "mlp_ratio": 2, "num_heads": 3, **QWEN2_PATCHES},
}
QWEN2_5_VL = {
    **QWEN2, "model_type": "qwen2_5_vl", "architectures": ["Qwen2_5_VLForConditionalGeneration"],
    "hidden_size": 48, "num_attention_heads": 3, "num_key_value_heads": 1, "tie_word_embeddings": True,
    "vision_config": {"model_type": "qwen2_5_vl", "depth": 3, "hidden_size": 24, "intermediate_size": 34,
                      "num_heads": 2, "out_hidden_size": 48, "hidden_act": "silu", "window_size": 24,
                      "fullatt_block_indexes": [1], "tokens_per_second": 2, **QWEN2_PATCHES},
}
QWEN2_PREPROCESSOR = {
    "min_pixels": 6 * 64, "max_pixels": 20 * 64, "patch_size": 4, "temporal_patch_size": 2, "merge_size": 2,
    "image_processor_type": "Qwen2VLImageProcessor", "processor_class": "Qwen2VLProcessor", **statistics(CLIP),
}
INTERNVL = {
    "model_type": "internvl_chat", "architectures": ["InternVLChatModel"], "downsample_ratio": 0.5,
    "dynamic_image_size": True, "min_dynamic_patch": 1, "max_dynamic_patch": 4, "use_thumbnail": True,
    "pad2square": False, "select_layer": -1, "torch_dtype": "float32",
}
INTERNVL_PHI3 = {
    **INTERNVL, "force_image_size": 16, "ps_version": "v2", "template": "phi3-chat",
    "llm_config": {**TEXT, "model_type": "phi3", "architectures": ["Phi3ForCausalLM"], "num_key_value_heads": 4,
                   "original_max_position_embeddings": 512, "sliding_window": 511, "rope_scaling": None,
                   "vocab_size": FIRST + 3},
    "vision_config": {**INTERN_VIT, "norm_type": "layer_norm", "qk_normalization": False, "qkv_bias": True},
}
# Tiles are larger than those that the positions were trained with.
INTERNVL_6B = {
    **INTERNVL, "force_image_size": 24, "ps_version": "v1", "template": "Hermes-2",
    "llm_config": {**TEXT, "model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": FIRST + 3},
    "vision_config": {**INTERN_VIT, "norm_type": "rms_norm", "qk_normalization": True, "qkv_bias": False},
}
INTERNVL_PREPROCESSOR = {
    "crop_size": 24, "do_center_crop": True, "do_normalize": True, "do_resize": True,
    "feature_extractor_type": "CLIPFeatureExtractor", "resample": 3, "size": 24, **statistics(IMAGENET),
}
QWEN2_MARKS = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
INTERNVL_MARKS = ["<img>", "</img>", "<IMG_CONTEXT>"]

# Each with its configuration, that of its preprocessor, and the tokens that its tokenizer has besides words.
CHECKPOINTS = {
    "llava": (LLAVA, CLIP_PREPROCESSOR, ["<image>"]),
    "llava_original": (LLAVA_ORIGINAL, None, []),
    "qwen_vl": (QWEN_VL, None, ["<img>", "</img>", "<imgpad>"]),
    "qwen2_vl": (QWEN2_VL, QWEN2_PREPROCESSOR, QWEN2_MARKS),
    "qwen2_5_vl": (QWEN2_5_VL, QWEN2_PREPROCESSOR, QWEN2_MARKS),
    "internvl_phi3": (INTERNVL_PHI3, None, INTERNVL_MARKS),
    "internvl_6b": (INTERNVL_6B, INTERNVL_PREPROCESSOR, INTERNVL_MARKS),
}
