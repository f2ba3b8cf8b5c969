"""An image's pixel values as each family's own processor makes them, without torchvision."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from radserve_engines.errors import CheckpointError
from radserve_engines.families import Family
from radserve_engines.families.image_tokens import qwen_bounds

Features = Callable[[Sequence[NDArray[np.uint8]]], dict[str, torch.Tensor]]

_PROCESSORS = {
    "qwen2_vl": "Qwen2VLImageProcessor",
    "qwen2_5_vl": "Qwen2VLImageProcessor",
    "qwen3_vl": "Qwen2VLImageProcessor",
    "llava_next": "LlavaNextImageProcessor",
    "llava_onevision": "LlavaOnevisionImageProcessor",
    "gemma3": "Gemma3ImageProcessor",
    "blip-2": "BlipImageProcessor",
    "internvl": "GotOcr2ImageProcessor",
}
_KEPT = ("pixel_values", "image_grid_thw", "image_sizes", "batch_num_images")


def load_features(family: Family, folder: Path, settings: Mapping[str, Any]) -> Features:
    """A function of the images of one question. Raises CheckpointError naming the processor's file."""
    if family.name == "phi4_multimodal":
        from radserve_engines.families.phi4_crops import Phi4Crops

        return Phi4Crops(settings)
    name = _PROCESSORS.get(family.name) or _tower_processor(settings)
    processor = _load_processor(name, folder)
    if name == "Qwen2VLImageProcessor":  # the slow one overlooks them under `size`, where Qwen3-VL has them
        processor.min_pixels, processor.max_pixels = qwen_bounds(settings.get("preprocessor") or {})

    def make(images: Sequence[NDArray[np.uint8]]) -> dict[str, torch.Tensor]:
        listed: list[Any] = list(images)
        if family.count_many and len(images) > 1:  # they belong to one question
            listed = [listed]
        made = processor(images=listed, return_tensors="pt", input_data_format="channels_last")
        return {key: made[key] for key in _KEPT if key in made}

    return make


def _tower_processor(settings: Mapping[str, Any]) -> str:
    """LLaVA takes whatever its tower was trained on."""
    given = str((settings.get("preprocessor") or {}).get("image_processor_type", "CLIPImageProcessor"))
    return given.removesuffix("Fast")


def _load_processor(name: str, folder: Path) -> Any:
    import transformers

    kind = getattr(transformers, name, None)
    if kind is None:
        raise CheckpointError(
            f"{folder / 'preprocessor_config.json'}: image_processor_type {name!r} is not known"
        )
    try:
        return kind.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointError(f"{folder / 'preprocessor_config.json'} cannot be used: {error}") from error
