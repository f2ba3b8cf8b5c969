"""Models that can be planned by name alone: their config.json, as far as it decides sizes.

Values are those of the published checkpoints; `dense-120b` is an example, near Mistral Large's shape, with
Qwen2.5-VL's vision tower.
"""

from collections.abc import Mapping
from typing import Any

Config = Mapping[str, Any]


def _text(kind: str, hidden: int, middle: int, layers: int, heads: tuple[int, int], **more: Any) -> Config:
    return {
        "model_type": kind,
        "hidden_size": hidden,
        "intermediate_size": middle,
        "num_hidden_layers": layers,
        "num_attention_heads": heads[0],
        "num_key_value_heads": heads[1],
        **more,
    }


def _qwen2(hidden: int, middle: int, layers: int, heads: tuple[int, int], tied: bool) -> Config:
    words = 151936 if tied else 152064
    text = _text("qwen2_vl_text", hidden, middle, layers, heads, vocab_size=words, tie_word_embeddings=tied)
    return {"model_type": "qwen2_vl", "text_config": text, "vision_config": {"embed_dim": 1280, "depth": 32}}


def _qwen2_5(
    hidden: int, middle: int, layers: int, heads: tuple[int, int], vision: int = 3420, words: int = 152064
) -> Config:
    text = _text("qwen2_5_vl_text", hidden, middle, layers, heads, vocab_size=words)
    text = {**text, "tie_word_embeddings": words == 151936}
    tower = {"hidden_size": 1280, "intermediate_size": vision, "depth": 32, "window_size": 112}
    return {"model_type": "qwen2_5_vl", "text_config": text, "vision_config": tower}


def _qwen3(hidden: int, middle: int, layers: int, heads: tuple[int, int]) -> Config:
    text = _text("qwen3_vl_text", hidden, middle, layers, heads, head_dim=128, vocab_size=151936)
    tower = {
        "hidden_size": 1152,
        "intermediate_size": 4304,
        "depth": 27,
        "deepstack_visual_indexes": [8, 16, 24],
    }
    return {"model_type": "qwen3_vl", "text_config": text, "vision_config": tower}


def _gemma3(hidden: int, middle: int, layers: int, heads: tuple[int, int], head_dim: int) -> Config:
    text = _text("gemma3_text", hidden, middle, layers, heads, head_dim=head_dim, vocab_size=262208)
    tower = {
        "hidden_size": 1152,
        "intermediate_size": 4304,
        "num_hidden_layers": 27,
        "vision_use_head": False,
    }
    return {"model_type": "gemma3", "text_config": {**text, "sliding_window": 1024}, "vision_config": tower}


def _llava(hidden: int, middle: int, layers: int, heads: int) -> Config:
    text = _text("llama", hidden, middle, layers, (heads, heads), vocab_size=32064)
    return {"model_type": "llava", "text_config": text, "vision_config": {"model_type": "clip_vision_model"}}


_OPT = {
    "model_type": "opt",
    "hidden_size": 2560,
    "ffn_dim": 10240,
    "num_hidden_layers": 32,
    "vocab_size": 50304,
}
_T5 = {
    "model_type": "t5",
    "d_model": 2048,
    "d_ff": 5120,
    "num_layers": 24,
    "num_heads": 32,
    "feed_forward_proj": "gated-gelu",
    "tie_word_embeddings": False,
}
SHAPES: Mapping[str, Config] = {
    "qwen2.5-vl-3b": _qwen2_5(2048, 11008, 36, (16, 2), words=151936),
    "qwen2.5-vl-7b": _qwen2_5(3584, 18944, 28, (28, 4)),
    "qwen2.5-vl-32b": _qwen2_5(5120, 27648, 64, (40, 8), vision=3456),
    "qwen2.5-vl-72b": _qwen2_5(8192, 29568, 80, (64, 8), vision=3456),
    "qwen2-vl-2b": _qwen2(1536, 8960, 28, (12, 2), tied=True),
    "qwen2-vl-7b": _qwen2(3584, 18944, 28, (28, 4), tied=False),
    "qwen3-vl-8b": _qwen3(4096, 12288, 36, (32, 8)),
    "qwen3-vl-32b": _qwen3(5120, 25600, 64, (64, 8)),
    "medgemma-4b": _gemma3(2560, 10240, 34, (8, 4), 256),
    "medgemma-27b": _gemma3(5376, 21504, 62, (32, 16), 128),
    "llava-1.5-7b": _llava(4096, 11008, 32, 32),
    "llava-1.5-13b": _llava(5120, 13824, 40, 40),
    "blip2-opt-2.7b": {
        "model_type": "blip-2",
        "text_config": {**_OPT, "num_attention_heads": 32},
        "vision_config": {},
        "qformer_config": {},
    },
    "blip2-flan-t5-xl": {
        "model_type": "blip-2",
        "text_config": _T5,
        "vision_config": {},
        "qformer_config": {},
    },
    "bloom-7b1": {
        "model_type": "bloom",
        "hidden_size": 4096,
        "n_layer": 30,
        "n_head": 32,
        "vocab_size": 250880,
    },
    "dense-120b": _qwen2_5(12288, 28672, 86, (96, 8), words=32768),
}
