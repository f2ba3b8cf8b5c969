"""Miniatures: each family's real transformers class with random weights, so small that a build of it takes seconds.

They try a build out, on a new machine or in a test; their answers mean nothing. Widths are multiples of 128, the
largest group of any precision here.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from radserve_engines.errors import CheckpointError
from radserve_engines.families import family_named

VOCABULARY = 384
IMAGE_SIDE = 56
_WIDTH = 128
_TEXT = {
    "vocab_size": VOCABULARY,
    "hidden_size": _WIDTH,
    "intermediate_size": 2 * _WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
_TOWER = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": IMAGE_SIDE,
    "patch_size": 14,
}
_GRIDS = [[56, 112], [112, 56], [112, 112]]
_CONTROL = ("<pad>", "<s>", "</s>")
# Qwen finds its images by what stands around them in the chat template.
_AROUND = dict.fromkeys(("qwen2_vl", "qwen2_5_vl", "qwen3_vl"), ("<|vision_start|>", "<|vision_end|>"))
_TEMPLATE = (
    "{%% for message in messages %%}{%% if message['content'] is string %%}{{ message['content'] }}"
    "{%% else %%}{%% for part in message['content'] %%}{%% if part['type'] == 'image' %%}%s"
    "{%% else %%}{{ part['text'] }}{%% endif %%}{%% endfor %%}{%% endif %%}\n{%% endfor %%}"
)


def list_miniatures() -> tuple[str, ...]:
    """Family names; BLIP-2 has one for each kind of language model, as in blip-2/bloom."""
    return tuple(_CONFIGS)


def make_miniature(name: str, folder: Path, *, shard: str = "200KB", seed: int = 0) -> Path:
    """Write a checkpoint (bfloat16, sharded) with tokenizer, chat template and image processor; returns `folder`.

    Raises CheckpointError for a name that `list_miniatures` does not have.
    """
    import torch
    from transformers import GenerationConfig

    family = family_named(name.partition("/")[0])
    seats = {family.placeholder, family.image_token, family.opening.strip(), family.closing.strip()}
    around = _AROUND.get(family.name, ())
    tokenizer = _make_tokenizer(sorted({*seats, *around} - {""}))
    torch.manual_seed(seed)
    image = tokenizer.convert_tokens_to_ids(family.image_token or family.placeholder)
    model = make_model(name, image).to(torch.bfloat16)
    if around:
        model.config.vision_start_token_id, model.config.vision_end_token_id = (
            tokenizer.convert_tokens_to_ids(list(around))
        )
    model.generation_config = GenerationConfig(bos_token_id=1, eos_token_id=2, pad_token_id=0)
    model.save_pretrained(folder, max_shard_size=shard)
    tokenizer.chat_template = _TEMPLATE % family.placeholder.join(around or ("", ""))
    tokenizer.save_pretrained(folder)
    processor = _PROCESSORS[family.name]
    (folder / "preprocessor_config.json").write_text(json.dumps(processor, indent=2) + "\n", "utf-8")
    return folder


def make_model(name: str, image_token: int = VOCABULARY - 1) -> Any:
    """The model alone, float32 with random weights. Raises CheckpointError for an unknown name."""
    if name not in _CONFIGS:
        raise CheckpointError(f"no miniature {name!r}; there are: {', '.join(_CONFIGS)}")
    return _CONFIGS[name](image_token)


def _make_tokenizer(seats: list[str]) -> Any:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE({sign: place for place, sign in enumerate([*_CONTROL, *alphabet])}, []))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token in (*_CONTROL, *seats)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", bos_token="<s>", eos_token="</s>", model_max_length=512
    )


def _qwen2_vl(image: int) -> Any:
    from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration

    vision = {
        "depth": 2,
        "embed_dim": 32,
        "hidden_size": _WIDTH,
        "num_heads": 2,
        "mlp_ratio": 2,
        "patch_size": 14,
    }
    text = {**_TEXT, "rope_scaling": _mrope([4, 6, 6])}
    config = Qwen2VLConfig(text_config=text, vision_config=vision, image_token_id=image, video_token_id=380)
    return Qwen2VLForConditionalGeneration(config)


def _qwen2_5_vl(image: int) -> Any:
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    vision = {
        **{"depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "patch_size": 14},
        **{"out_hidden_size": _WIDTH, "window_size": 56, "fullatt_block_indexes": [1]},
    }
    text = {**_TEXT, "rope_scaling": _mrope([4, 6, 6])}
    config = Qwen2_5_VLConfig(
        text_config=text, vision_config=vision, image_token_id=image, video_token_id=380
    )
    return Qwen2_5_VLForConditionalGeneration(config)


def _qwen3_vl(image: int) -> Any:
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    vision = {
        **{"depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "patch_size": 16},
        **{"out_hidden_size": _WIDTH, "num_position_embeddings": 16, "deepstack_visual_indexes": [0]},
    }
    text = {**_TEXT, "head_dim": 32, "rope_scaling": _mrope([6, 5, 5])}
    config = Qwen3VLConfig(text_config=text, vision_config=vision, image_token_id=image, video_token_id=380)
    return Qwen3VLForConditionalGeneration(config)


def _mrope(sections: list[int]) -> dict[str, Any]:
    return {"type": "default", "rope_type": "default", "mrope_section": sections}


def _llava(image: int) -> Any:
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

    config = LlavaConfig(CLIPVisionConfig(**_TOWER), LlamaConfig(**_TEXT), image_token_index=image)
    return LlavaForConditionalGeneration(config)


def _llava_next(image: int) -> Any:
    from transformers import (
        CLIPVisionConfig,
        LlavaNextConfig,
        LlavaNextForConditionalGeneration,
        MistralConfig,
    )

    parts = (CLIPVisionConfig(**_TOWER), MistralConfig(**_TEXT))
    config = LlavaNextConfig(*parts, image_token_index=image, image_grid_pinpoints=_GRIDS)
    return LlavaNextForConditionalGeneration(config)


def _llava_onevision(image: int) -> Any:
    from transformers import (
        LlavaOnevisionConfig,
        LlavaOnevisionForConditionalGeneration,
        Qwen2Config,
        SiglipVisionConfig,
    )

    tower = SiglipVisionConfig(**_TOWER, vision_use_head=False)
    config = LlavaOnevisionConfig(
        *(tower, Qwen2Config(**_TEXT)),
        image_token_index=image,
        video_token_index=380,
        image_grid_pinpoints=_GRIDS,
        vision_feature_select_strategy="full",
    )
    return LlavaOnevisionForConditionalGeneration(config)


def _gemma3(image: int) -> Any:
    from transformers import (
        Gemma3Config,
        Gemma3ForConditionalGeneration,
        Gemma3TextConfig,
        SiglipVisionConfig,
    )

    text = Gemma3TextConfig(**_TEXT, head_dim=32, sliding_window=64)
    tower = SiglipVisionConfig(**_TOWER, vision_use_head=False)
    config = Gemma3Config(text, tower, mm_tokens_per_image=4, image_token_index=image)
    return Gemma3ForConditionalGeneration(config)


def _blip2(language: Any, image: int) -> Any:
    from transformers import Blip2Config, Blip2ForConditionalGeneration, Blip2QFormerConfig, Blip2VisionConfig

    former = {key: _TOWER[key] for key in ("hidden_size", "intermediate_size", "num_hidden_layers")}
    config = Blip2Config.from_vision_qformer_text_configs(
        Blip2VisionConfig(**_TOWER),
        Blip2QFormerConfig(**former, num_attention_heads=2, encoder_hidden_size=32, vocab_size=VOCABULARY),
        language,
        num_query_tokens=4,
        image_token_index=image,
    )
    return Blip2ForConditionalGeneration(config)


def _blip2_opt(image: int) -> Any:
    from transformers import OPTConfig

    sizes = {"hidden_size": _WIDTH, "word_embed_proj_dim": _WIDTH, "ffn_dim": 2 * _WIDTH}
    ends = {key: _TEXT[key] for key in ("vocab_size", "bos_token_id", "eos_token_id", "pad_token_id")}
    return _blip2(OPTConfig(**sizes, **ends, num_hidden_layers=2, num_attention_heads=4), image)


def _blip2_bloom(image: int) -> Any:
    from transformers import BloomConfig

    ends = {key: _TEXT[key] for key in ("vocab_size", "bos_token_id", "eos_token_id", "pad_token_id")}
    return _blip2(BloomConfig(hidden_size=_WIDTH, n_layer=2, n_head=4, **ends), image)


def _blip2_t5(image: int) -> Any:
    from transformers import T5Config

    ends = {"vocab_size": VOCABULARY, "eos_token_id": 2, "pad_token_id": 0, "decoder_start_token_id": 0}
    sizes = {"d_model": _WIDTH, "d_kv": 32, "d_ff": 2 * _WIDTH, "num_layers": 2, "num_heads": 4}
    return _blip2(T5Config(**sizes, **ends, feed_forward_proj="gated-gelu"), image)


def _internvl(image: int) -> Any:
    from transformers import (
        InternVLConfig,
        InternVLForConditionalGeneration,
        InternVLVisionConfig,
        Qwen2Config,
    )

    tower = InternVLVisionConfig(**_TOWER)
    config = InternVLConfig(tower, Qwen2Config(**_TEXT), image_token_id=image, image_seq_length=4)
    return InternVLForConditionalGeneration(config)


def _phi4_multimodal(image: int) -> Any:
    from transformers import Phi4MultimodalConfig, Phi4MultimodalForCausalLM

    tower = {**_TOWER, "crop_size": IMAGE_SIDE, "image_token_id": image, "num_img_tokens": 4}
    audio = {
        **{"hidden_size": 32, "intermediate_size": 64, "num_blocks": 1, "num_attention_heads": 2},
        **{"ext_pw_out_channel": 32, "depthwise_separable_out_channel": 32, "nemo_conv_channels": 32},
        "audio_token_id": 381,
    }
    return Phi4MultimodalForCausalLM(Phi4MultimodalConfig(**_TEXT, vision_config=tower, audio_config=audio))


_CONFIGS: dict[str, Callable[[int], Any]] = {
    "qwen2_vl": _qwen2_vl,
    "qwen2_5_vl": _qwen2_5_vl,
    "qwen3_vl": _qwen3_vl,
    "llava": _llava,
    "llava_next": _llava_next,
    "llava_onevision": _llava_onevision,
    "gemma3": _gemma3,
    "blip-2/opt": _blip2_opt,
    "blip-2/bloom": _blip2_bloom,
    "blip-2/t5": _blip2_t5,
    "internvl": _internvl,
    "phi4_multimodal": _phi4_multimodal,
}

_SQUARE = {"height": IMAGE_SIDE, "width": IMAGE_SIDE}
_QWEN_IMAGE = {
    "image_processor_type": "Qwen2VLImageProcessor",
    "min_pixels": 28 * 28,
    "max_pixels": 2 * IMAGE_SIDE * IMAGE_SIDE,
}
_CLIP_IMAGE = {"size": {"shortest_edge": IMAGE_SIDE}, "crop_size": _SQUARE, "do_center_crop": True}
_PROCESSORS: dict[str, dict[str, Any]] = {
    "qwen2_vl": _QWEN_IMAGE,
    "qwen2_5_vl": _QWEN_IMAGE,
    "qwen3_vl": {**_QWEN_IMAGE, "patch_size": 16},
    "llava": {"image_processor_type": "CLIPImageProcessor", **_CLIP_IMAGE},
    "llava_next": {
        "image_processor_type": "LlavaNextImageProcessor",
        **_CLIP_IMAGE,
        "image_grid_pinpoints": _GRIDS,
    },
    "llava_onevision": {
        "image_processor_type": "LlavaOnevisionImageProcessor",
        "size": _SQUARE,
        "image_grid_pinpoints": _GRIDS,
    },
    "gemma3": {"image_processor_type": "Gemma3ImageProcessor", "size": _SQUARE},
    "blip-2": {"image_processor_type": "BlipImageProcessor", "size": _SQUARE},
    "internvl": {
        **{"image_processor_type": "GotOcr2ImageProcessor", "size": _SQUARE},
        **{"crop_to_patches": True, "min_patches": 1, "max_patches": 6},
    },
    "phi4_multimodal": {"image_processor_type": "Phi4MultimodalImageProcessorFast", "size": _SQUARE},
}
