"""The demo checkpoint's shape: a Qwen2.5-VL of about 12 million parameters, and how it is saved."""

import json
from pathlib import Path
from typing import Any

IMAGE_SIDE = 224
PATCH = 14
MERGE = 2
GRID = IMAGE_SIDE // PATCH
CELLS = GRID // MERGE
IMAGE_TOKENS = CELLS * CELLS
CONTEXT = 2048
VOCABULARY = 4096

# The normalisation that Qwen2-VL's image processor applies (OpenAI CLIP's).
IMAGE_MEAN = (0.48145466, 0.4578275, 0.40821073)
IMAGE_STD = (0.26862954, 0.26130258, 0.27577711)


def make_config(tokenizer: Any) -> Any:
    """Return the `Qwen2_5_VLConfig` of the demo model for this tokenizer's special tokens."""
    from transformers import Qwen2_5_VLConfig

    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in tokenizer.additional_special_tokens}
    text = {
        "vocab_size": VOCABULARY,
        "hidden_size": 256,
        "intermediate_size": 768,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": CONTEXT,
        "rope_theta": 10000.0,
        "rope_scaling": {"type": "mrope", "mrope_section": [8, 12, 12]},
        "tie_word_embeddings": True,
        "bos_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {
        "depth": 8,
        "hidden_size": 256,
        "intermediate_size": 768,
        "num_heads": 4,
        "patch_size": PATCH,
        "spatial_merge_size": MERGE,
        "temporal_patch_size": 2,
        "out_hidden_size": 256,
        # One window covers the whole image, so windowed and full attention are the same at 224 x 224.
        "window_size": IMAGE_SIDE,
        "fullatt_block_indexes": [1, 3, 5, 7],
    }
    return Qwen2_5_VLConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=True,
        bos_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def make_model(tokenizer: Any, seed: int) -> Any:
    """Return a freshly initialised model in float32."""
    import torch
    from transformers import Qwen2_5_VLForConditionalGeneration

    torch.manual_seed(seed)
    return Qwen2_5_VLForConditionalGeneration(make_config(tokenizer))


def save_checkpoint(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write the model in bfloat16 with its tokenizer, chat template and preprocessing to `folder`."""
    import torch
    from transformers import GenerationConfig, Qwen2_5_VLForConditionalGeneration

    copy = Qwen2_5_VLForConditionalGeneration(model.config).to(torch.bfloat16)
    copy.load_state_dict(model.state_dict())
    copy.generation_config = GenerationConfig(
        do_sample=False,
        max_new_tokens=64,
        bos_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    copy.save_pretrained(folder)
    _name_architecture(folder / "config.json")
    (folder / "model.safetensors").chmod(0o644)
    tokenizer.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(_preprocessor(), indent=2) + "\n")


def load_checkpoint(folder: Path) -> tuple[Any, Any]:
    """Return the model (float32, evaluation mode) and tokenizer saved in `folder`."""
    import torch
    from transformers import AutoTokenizer, Qwen2_5_VLForConditionalGeneration

    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    return model.eval(), AutoTokenizer.from_pretrained(folder)


def _name_architecture(path: Path) -> None:
    """Put `architectures` at the top, where servers look for it; transformers 4.57 nests it."""
    config = json.loads(path.read_text())
    config["text_config"].pop("architectures", None)
    config = {"architectures": ["Qwen2_5_VLForConditionalGeneration"], **config}
    path.write_text(json.dumps(config, indent=2) + "\n")


def _preprocessor() -> dict[str, Any]:
    pixels = IMAGE_SIDE * IMAGE_SIDE
    return {
        "image_processor_type": "Qwen2VLImageProcessor",
        "processor_class": "Qwen2_5_VLProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "do_rescale": True,
        "do_normalize": True,
        "resample": 3,
        "rescale_factor": 1 / 255,
        "image_mean": list(IMAGE_MEAN),
        "image_std": list(IMAGE_STD),
        "min_pixels": pixels,
        "max_pixels": pixels,
        "size": {"shortest_edge": pixels, "longest_edge": pixels},
        "patch_size": PATCH,
        "temporal_patch_size": 2,
        "merge_size": MERGE,
    }
