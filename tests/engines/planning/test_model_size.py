"""Parameters by part: the formulas against transformers' own models, and folders against their headers."""

import json
import math
import warnings
from dataclasses import replace
from pathlib import Path

import pytest

from radserve_engines import assets
from radserve_engines.errors import PlanError
from radserve_engines.families import family_named
from radserve_engines.planning.headers import read_headers
from radserve_engines.planning.language import DEFAULTS
from radserve_engines.planning.model_size import ModelSize, part_of, size_of, size_of_config
from radserve_engines.planning.qwen_tower import TOWERS
from radserve_engines.planning.shapes import SHAPES

# A real config.json, as far as it decides sizes, and in the flat form that Qwen published it in.
QWEN2_5_VL_3B = {
    "architectures": ["Qwen2_5_VLForConditionalGeneration"],
    "model_type": "qwen2_5_vl",
    "hidden_size": 2048,
    "intermediate_size": 11008,
    "num_attention_heads": 16,
    "num_hidden_layers": 36,
    "num_key_value_heads": 2,
    "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]},
    "tie_word_embeddings": True,
    "vision_config": {
        "depth": 32,
        "hidden_size": 1280,
        "out_hidden_size": 2048,
        "intermediate_size": 3420,
        "num_heads": 16,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "window_size": 112,
        "fullatt_block_indexes": [7, 15, 23, 31],
    },
    "vocab_size": 151936,
}
TINY_TEXT = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
TINY_TEXT |= {"num_key_value_heads": 2, "vocab_size": 100}
TINY_VISION = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
TINY_QWEN = {"depth": 3, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "out_hidden_size": 64}
CLIP = {**TINY_VISION, "model_type": "clip_vision_model", "image_size": 56, "patch_size": 14}
SIGLIP = {**TINY_VISION, "model_type": "siglip_vision_model", "image_size": 56, "patch_size": 14}
ROPE = {"rope_type": "default", "mrope_section": [2, 3, 3]}
MOE = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24, "decoder_sparse_step": 1}
TINY = {
    "qwen2_vl": {
        "text_config": {**TINY_TEXT, "rope_scaling": ROPE},
        "vision_config": {"embed_dim": 32, "hidden_size": 64, "depth": 2, "num_heads": 2},
    },
    "qwen2_5_vl": {
        "text_config": {**TINY_TEXT, "rope_scaling": ROPE},
        "vision_config": {**TINY_QWEN, "fullatt_block_indexes": [1]},
    },
    "qwen3_vl": {
        "text_config": {**TINY_TEXT, "head_dim": 16, "rope_scaling": ROPE},
        "vision_config": {**TINY_QWEN, "deepstack_visual_indexes": [0, 1], "num_position_embeddings": 16},
    },
    "qwen3_vl_moe": {
        "text_config": {**TINY_TEXT, **MOE, "head_dim": 16, "rope_scaling": ROPE},
        "vision_config": {**TINY_QWEN, "deepstack_visual_indexes": [1], "num_position_embeddings": 16},
    },
    "llava": {"text_config": {**TINY_TEXT, "model_type": "llama"}, "vision_config": CLIP},
    "llava_next": {"text_config": {**TINY_TEXT, "model_type": "mistral"}, "vision_config": CLIP},
    "llava_onevision": {
        "text_config": {**TINY_TEXT, "model_type": "qwen2"},
        "vision_config": {**SIGLIP, "vision_use_head": False},
    },
    "gemma3": {
        "text_config": {**TINY_TEXT, "head_dim": 24, "model_type": "gemma3_text"},
        "vision_config": SIGLIP,
        "mm_tokens_per_image": 4,
    },
    "blip-2": {
        "text_config": {
            "model_type": "bloom",
            "hidden_size": 64,
            "n_layer": 2,
            "n_head": 4,
            "vocab_size": 100,
        },
        "vision_config": {**TINY_VISION, "image_size": 56, "patch_size": 14},
        "qformer_config": {**TINY_VISION, "num_hidden_layers": 3},
        "num_query_tokens": 5,
    },
    "internvl": {
        "text_config": {**TINY_TEXT, "model_type": "qwen2"},
        "vision_config": {
            **TINY_VISION,
            "image_size": [56, 56],
            "patch_size": [14, 14],
            "attention_bias": True,
        },
    },
}


def meta_parts(config: dict, size: ModelSize) -> dict[str, int]:
    """Parameters of transformers' own model by part, without memory for one of them."""
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, AutoModelForSeq2SeqLM
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    kind = config["model_type"]
    real = CONFIG_MAPPING[kind](**{key: value for key, value in config.items() if key != "model_type"})
    auto = AutoModelForSeq2SeqLM if kind == "t5" else AutoModelForCausalLM
    if "vision_config" in config and kind != "phi4_multimodal":
        auto = AutoModelForImageTextToText
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = auto.from_config(real)
        model.tie_weights()
    family = family_named("qwen3_vl" if kind == "qwen3_vl_moe" else kind) if size.vision else None
    parts = dict.fromkeys(size.parts, 0)
    for name, parameter in model.named_parameters():
        parts[part_of(name, family)] += parameter.numel()
    return parts


def test_the_3b_s_parts_are_those_that_the_project_reckons_with():
    size = size_of_config(QWEN2_5_VL_3B, "3b")
    assert size.parts == meta_parts(QWEN2_5_VL_3B, size)
    assert round(size.language.body / 1e9, 3) == 2.775
    assert round(size.language.head / 1e9, 3) == 0.311 and size.language.tied
    assert size.vision.parameters / 1e9 == pytest.approx(0.668, abs=1e-3)
    assert size.kv_bytes() == 36_864
    assert size_of("Qwen/Qwen2.5-VL-3B-Instruct").parts == size.parts


@pytest.mark.parametrize("kind", TINY)
def test_formulas_count_what_transformers_builds(kind):
    config = {"model_type": kind, **TINY[kind]}
    size = size_of_config(config, kind)
    assert size.parts == meta_parts(config, size)


@pytest.mark.parametrize(
    "kind", ["llama", "mistral", "qwen2", "qwen3", "gemma3_text", "phi3", "opt", "bloom", "t5"]
)
def test_a_bare_language_model_has_transformers_defaults(kind):
    config = {"model_type": kind}
    size = size_of_config(config, kind)
    assert size.vision is None
    assert size.parts == meta_parts(config, size)


def test_phi_4_counts_its_encoder_of_sound_apart():
    config = {
        "model_type": "phi4_multimodal",
        "vision_config": {},
        "audio_config": {},
        "tie_word_embeddings": True,
    }
    size = size_of_config(config, "phi")
    assert size.parts == meta_parts(config, size)
    assert size.other > 0


def test_defaults_are_those_of_transformers_config_classes():
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    known = {**DEFAULTS, **{f"{name}#vision": tower for name, tower in TOWERS.items()}}
    for name, defaults in known.items():
        kind, _, vision = name.partition("#")
        config = CONFIG_MAPPING[kind.removesuffix("_text") if kind.startswith("qwen") else kind]()
        config = config.vision_config if vision else getattr(config, "text_config", config)
        for field, value in defaults.items():
            if hasattr(config, field):
                assert getattr(config, field) == value, (name, field)


@pytest.mark.parametrize(
    ("name", "billions"),
    [
        ("qwen2.5-vl-7b", 8.292),
        ("qwen2.5-vl-32b", 33.453),
        ("qwen2.5-vl-72b", 73.411),
        ("qwen2-vl-2b", 2.209),
        ("qwen3-vl-8b", 8.767),
        ("medgemma-4b", 4.300),
        ("llava-1.5-13b", 13.351),
        ("blip2-opt-2.7b", 3.745),
        ("bloom-7b1", 7.069),
        ("dense-120b", 120.564),
    ],
)
def test_names_have_the_sizes_of_the_published_checkpoints(name, billions):
    assert size_of(name).parameters / 1e9 == pytest.approx(billions, abs=5e-4)


def test_kv_heads_are_repeated_where_gpus_outnumber_them():
    language = size_of("qwen2.5-vl-3b").language  # two KV heads
    assert language.kv_values(2) == language.kv_values() / 2
    assert language.kv_values(8) == language.kv_values(2)


def test_experts_are_read_as_answers_touch_them():
    language = size_of_config({"model_type": "qwen3_vl_moe", **TINY["qwen3_vl_moe"]}, "moe").language
    assert language.decoded == language.linear - language.expert_linear / 2  # two of four
    assert language.decoded < language.streamed(3) < language.streamed(30) <= language.linear


@pytest.fixture
def demo_checkpoint() -> Path:
    return assets.demo_checkpoint()


def test_a_folder_counts_what_its_shards_hold(demo_checkpoint):
    size = size_of(str(demo_checkpoint))
    assert size.counted == "safetensors"
    assert size.parameters == sum(math.prod(shape) for _, shape in read_headers(demo_checkpoint))
    settings = json.loads((demo_checkpoint / "config.json").read_text())
    assert size.parts == size_of_config(settings, "demo").parts


def test_shards_are_summed_and_truth_goes_before_the_formula(tmp_path):
    import numpy as np
    from safetensors.numpy import save_file

    config = {"model_type": "llama", **TINY_TEXT}
    (tmp_path / "config.json").write_text(json.dumps(config))
    extra = {"model.layers.0.self_attn.extra": np.zeros(10, np.float32)}
    half = {"model.embed_tokens.weight": np.zeros((100, 64), np.float32)}
    full = {"model.layers.0.mlp.weight": np.zeros((30_000, 2), np.float32), **extra}
    save_file(half, tmp_path / "model-00001-of-00002.safetensors")
    save_file({**full, **half}, tmp_path / "model-00002-of-00002.safetensors")
    size = size_of(str(tmp_path))
    assert size.parts["embeddings"] == 6_400  # once, though in two files
    assert size.parts["layers"] == 60_010
    assert size.language.tied  # no head is stored


def test_what_is_quantized_already_is_counted_by_formula(tmp_path, demo_checkpoint):
    settings = json.loads((demo_checkpoint / "config.json").read_text())
    (tmp_path / "config.json").write_text(
        json.dumps({**settings, "quantization_config": {"quant_algo": "FP8"}})
    )
    (tmp_path / "model.safetensors").write_bytes(b"packed")
    size = size_of(str(tmp_path))
    assert replace(size, name="", notes=()).parts == size_of(str(demo_checkpoint)).parts
    assert "quantized already" in size.notes[0]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "config.json"),
        ({"config.json": "{"}, "config.json"),
        ({"config.json": '{"model_type": "mamba"}'}, "'mamba' is not known here; known: qwen2_vl"),
        ({"config.json": '{"model_type": "llama", "hidden_size": "4k"}'}, "hidden_size is '4k'"),
        ({"config.json": '{"model_type": "llama"}', "model.safetensors": "no header"}, "model.safetensors"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, files, said):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(PlanError, match=said):
        size_of(str(tmp_path))


def test_a_file_cut_short_is_named(tmp_path, demo_checkpoint):
    (tmp_path / "config.json").write_text((demo_checkpoint / "config.json").read_text())
    whole = (demo_checkpoint / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[:-1000])
    with pytest.raises(PlanError, match=r"model\.safetensors: cut short"):
        size_of(str(tmp_path))


def test_a_stranger_s_name_is_answered_with_those_known():
    with pytest.raises(PlanError, match=r"gpt-9: no such checkpoint folder.*qwen2\.5-vl-3b") as caught:
        size_of("gpt-9")
    assert caught.value.param == "model"
    assert all(size_of(name).parameters for name in SHAPES)
