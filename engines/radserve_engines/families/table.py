"""What each model family needs to know of itself. One row a family; a later family is one more row.

Paths: "llm-api" and "compiled" are TensorRT-LLM 1.2.1's, "openvino" and "torch" our own runtimes.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from radserve_engines.errors import CheckpointError, ManifestError
from radserve_engines.families import image_tokens as counting

HEAD = "*lm_head*"
Count = Callable[[Mapping[str, Any], int, int], int]

# Where the vision tower and the projector are.
_Parts = tuple[tuple[str, ...], tuple[str, ...]]
_QWEN: _Parts = (("*visual.*",), ("*visual.merger*", "*visual.deepstack_merger_list*"))
_LLAVA: _Parts = (("*vision_tower*",), ("*multi_modal_projector*", "*image_newline*"))
_BLIP: _Parts = (("*vision_model*",), ("*qformer*", "*query_tokens*", "*language_projection*"))
_PHI: _Parts = (("*image_embed.*",), ("*img_projection*", "*img_feature_extensor*"))


@dataclass(frozen=True, slots=True)
class Family:
    """One row. `architecture` is the class in transformers.

    `vision`, `projector` and `other` (an audio tower, built-in adapters) are wildcards of module names: those stay in
    bf16. `placeholder` stands for an image in the rendered prompt; `opening`, `image_token` once for each of the
    image's places, and `closing` take its seat before the prompt is tokenized. `builder_type` is TensorRT-LLM's
    `build_multimodal_engine.py --model_type`, None where there is none; `no_trtllm` says why TensorRT-LLM 1.2.1 takes
    no checkpoint of a family that it is said to know.
    """

    name: str
    architecture: str
    title: str
    placeholder: str
    paths: frozenset[str]
    vision: tuple[str, ...]
    projector: tuple[str, ...]
    count: Count
    count_many: Count | None = None
    other: tuple[str, ...] = ()
    image_token: str = ""
    opening: str = ""
    closing: str = ""
    builder_type: str | None = None
    no_trtllm: str = ""

    @property
    def excluded(self) -> tuple[str, ...]:
        """Wildcards of the modules that no quantization touches."""
        return (*self.vision, *self.projector, *self.other, HEAD)

    def image_tokens(self, settings: Mapping[str, Any], height: int, width: int, images: int = 1) -> int:
        """How many places of the context an image of this size in pixels takes, being one of `images`.

        `settings` is what `read_settings` gives; config.json alone will do where the processor has its defaults.
        """
        count = self.count_many if self.count_many and images > 1 else self.count
        return count(settings, height, width)

    def seat(self, text: str) -> str:
        """`text` with each placeholder as one image token between its opening and closing, to be tokenized."""
        seat = f"{self.opening}{self.image_token or self.placeholder}{self.closing}"
        return text.replace(self.placeholder, seat)

    def part_of(self, name: str) -> str:
        """vision, projector, other or language: where a module or tensor of this name belongs."""
        for part in ("projector", "other", "vision"):  # Qwen's merger lies within its tower
            if any(fnmatchcase(name, pattern) for pattern in getattr(self, part)):
                return part
        return "language"


def _row(names: tuple[str, str, str], placeholder: str, paths: str, parts: _Parts, **more: Any) -> Family:
    return Family(*names, placeholder, frozenset([*paths.split(), "torch"]), *parts, **more)


_FAMILIES = {
    family.name: family
    for family in (
        _row(
            ("qwen2_vl", "Qwen2VLForConditionalGeneration", "Qwen2-VL"),
            "<|image_pad|>",
            "llm-api compiled",
            _QWEN,
            count=counting.count_merged_patches,
            builder_type="qwen2_vl",
        ),
        _row(
            ("qwen2_5_vl", "Qwen2_5_VLForConditionalGeneration", "Qwen2.5-VL"),
            "<|image_pad|>",
            "llm-api openvino",
            _QWEN,
            count=counting.count_merged_patches,
        ),
        _row(
            ("qwen3_vl", "Qwen3VLForConditionalGeneration", "Qwen3-VL"),
            "<|image_pad|>",
            "llm-api",
            _QWEN,
            count=counting.count_qwen3_patches,
        ),
        _row(
            ("llava", "LlavaForConditionalGeneration", "LLaVA"),
            "<image>",
            "compiled",
            _LLAVA,
            count=counting.count_fixed_patches,
            builder_type="llava",
        ),
        _row(
            ("llava_next", "LlavaNextForConditionalGeneration", "LLaVA-Next"),
            "<image>",
            "llm-api compiled",
            _LLAVA,
            count=counting.count_tiles_unpadded,
            builder_type="llava_next",
        ),
        _row(
            ("llava_onevision", "LlavaOnevisionForConditionalGeneration", "LLaVA-OneVision"),
            "<image>",
            "compiled",
            _LLAVA,
            count=counting.count_tiles_bounded,
            count_many=counting.count_whole_image,
            builder_type="llava_onevision",
        ),
        _row(
            ("gemma3", "Gemma3ForConditionalGeneration", "Gemma 3 (MedGemma)"),
            "<start_of_image>",
            "llm-api",
            _LLAVA,
            count=counting.count_pooled,
            image_token="<image_soft_token>",
            opening="\n\n<start_of_image>",
            closing="<end_of_image>\n\n",
        ),
        _row(
            ("blip-2", "Blip2ForConditionalGeneration", "BLIP-2"),
            "<image>",
            "compiled",
            _BLIP,
            count=counting.count_queries,
            builder_type="blip2",
        ),
        _row(
            ("internvl", "InternVLForConditionalGeneration", "InternVL"),
            "<IMG_CONTEXT>",
            "",
            _LLAVA,
            count=counting.count_internvl_tiles,
            opening="<img>",
            closing="</img>",
            no_trtllm="its builder reads the authors' first checkpoints, with their remote code, not transformers'",
        ),
        _row(
            ("phi4_multimodal", "Phi4MultimodalForCausalLM", "Phi-4-MM"),
            "<|image|>",
            "",
            _PHI,
            count=counting.count_phi4_crops,
            other=("*audio_embed*", "*.lora_*"),
            no_trtllm="its LLM API registers the authors' own class (phi4mm), with remote code, not transformers'",
        ),
    )
}


def family_named(name: str) -> Family:
    """Raises ManifestError for a family that no runtime here knows."""
    if name not in _FAMILIES:
        raise ManifestError(f"model family {name!r} is not known here; known: {', '.join(_FAMILIES)}")
    return _FAMILIES[name]


def family_of(config: Mapping[str, Any]) -> Family:
    """By config.json's `model_type`. Raises CheckpointError listing what is known."""
    name = config.get("model_type")
    if name not in _FAMILIES:
        known = ", ".join(f"{family.name} ({family.title})" for family in _FAMILIES.values())
        raise CheckpointError(f"config.json: model_type {name!r} is of no family known here; known: {known}")
    return _FAMILIES[name]


def list_families() -> tuple[Family, ...]:
    """All rows, in the table's order."""
    return tuple(_FAMILIES.values())


def read_settings(folder: Path) -> dict[str, Any]:
    """config.json, and under "preprocessor" the image processor's file; what is not there is left out."""
    settings = _read(folder / "config.json")
    image = _read(folder / "preprocessor_config.json") or _read(folder / "processor_config.json").get(
        "image_processor"
    )
    return {**settings, "preprocessor": image or {}}


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} must hold a JSON object")
    return value
