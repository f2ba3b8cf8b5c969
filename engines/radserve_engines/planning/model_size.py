"""How large a model is, part by part: out of a config.json, a checkpoint folder's headers, or a name.

A folder's parameters are counted in the headers of its safetensors files, sharded or not, and no weight is read;
where there are none, or they are quantized already, the closed formulas over config.json stand in.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from radserve_engines.errors import PlanError
from radserve_engines.families import Family, family_named, read_settings
from radserve_engines.planning.headers import read_headers
from radserve_engines.planning.language import DEFAULTS, Language, read_language
from radserve_engines.planning.qwen_tower import TOWERS, read_qwen_tower
from radserve_engines.planning.shapes import SHAPES
from radserve_engines.planning.tiled_tower import TILED, read_tiled_tower
from radserve_engines.planning.vision import Vision

_TEXT_KINDS: Mapping[str, str] = {
    "qwen2_vl": "qwen2_vl_text",
    "qwen2_5_vl": "qwen2_5_vl_text",
    "qwen3_vl": "qwen3_vl_text",
    "qwen3_vl_moe": "qwen3_vl_moe_text",
    "llava": "llama",
    "llava_next": "llama",
    "llava_onevision": "qwen2",
    "gemma3": "gemma3_text",
    "blip-2": "opt",
    "internvl": "qwen2",
    "phi4_multimodal": "phi4_multimodal",
}
_AUDIO = 466_432_256  # Phi-4-multimodal's encoder of sound, by transformers' model; of one published size
# The bounds of the published processors of Qwen2-VL and Qwen2.5-VL, which a name or a bare config.json leaves out.
_PIXELS = {"min_pixels": 4 * 28 * 28, "max_pixels": 16384 * 28 * 28}


@dataclass(frozen=True, slots=True)
class ModelSize:
    """`vision` is None for a language model alone; `other` is what plays no part in a question: an encoder of sound."""

    name: str
    family: str
    language: Language
    vision: Vision | None
    counted: str
    other: int = 0
    notes: tuple[str, ...] = ()

    @property
    def parts(self) -> dict[str, int]:
        """Parameters by part; `head` is 0 where it is tied to the embeddings."""
        language, vision = self.language, self.vision
        return {
            "vision tower": vision.tower if vision else 0,
            "projector": vision.projector if vision else 0,
            "embeddings": language.embeddings,
            "layers": language.body,
            "head": 0 if language.tied else language.head,
            "other": self.other,
        }

    @property
    def parameters(self) -> int:
        """All that the checkpoint holds."""
        return sum(self.parts.values())

    def kv_bytes(self, value_bytes: int = 2, tensor_parallel: int = 1) -> int:
        """KV cache of one token on one GPU."""
        return self.language.kv_values(tensor_parallel) * value_bytes


def size_of(model: str) -> ModelSize:
    """A known name (any case), a checkpoint folder or a config.json; raises PlanError for anything else."""
    path = Path(model)
    if path.is_dir():
        return size_of_folder(path)
    if path.is_file():
        return size_of_config(_read_json(path), path.stem if path.stem != "config" else path.parent.name)
    name = (
        model.rsplit("/", 1)[-1].casefold().removesuffix("-instruct").removesuffix("-it").removesuffix("-hf")
    )
    if name in SHAPES:
        return size_of_config(SHAPES[name], name)
    known = ", ".join(SHAPES)
    raise PlanError(f"{model}: no such checkpoint folder, and no name known here: {known}", param="model")


def size_of_config(settings: Mapping[str, Any], name: str) -> ModelSize:
    """Counted by formula; "preprocessor" may hold the image processor's file.

    Raises PlanError for an unknown model type or a field that makes no sense.
    """
    family = settings.get("model_type")
    if not isinstance(family, str) or family not in {**_TEXT_KINDS, **DEFAULTS}:
        known = ", ".join(dict.fromkeys([*_TEXT_KINDS, *DEFAULTS]))
        raise PlanError(
            f"config.json: model_type {family!r} is not known here; known: {known}", param="model"
        )
    nested = settings.get("text_config") or {}
    kind = nested.get("model_type") or _TEXT_KINDS.get(family, family)
    kind = kind + "_text" if kind in ("qwen2_vl", "qwen2_5_vl", "gemma3") else kind
    text = nested or {key: value for key, value in settings.items() if not key.endswith("_config")}
    if "tie_word_embeddings" in settings:
        text = {"tie_word_embeddings": settings["tie_word_embeddings"], **text}
    language = read_language(text, kind)
    seen_as = "qwen3_vl" if family == "qwen3_vl_moe" else family
    vision = None
    if seen_as in TOWERS:
        vision = read_qwen_tower({"preprocessor": _PIXELS, **settings}, seen_as, language.hidden)
    elif family in TILED:
        vision = read_tiled_tower(settings, family, language.hidden)
    other = _AUDIO if family == "phi4_multimodal" else 0
    return ModelSize(name, family, language, vision, "config.json", other)


def size_of_folder(folder: Path) -> ModelSize:
    """Shape from config.json, counts from the safetensors headers. Raises PlanError for what cannot be read."""
    config = _read_json(folder / "config.json")
    size = size_of_config(read_settings(folder), folder.resolve().name)
    if config.get("quantization_config"):
        return replace(size, notes=("the folder is quantized already: counted by config.json",))
    known = (
        family_named("qwen3_vl" if size.family == "qwen3_vl_moe" else size.family) if size.vision else None
    )
    parts: dict[str, int] = {}
    for name, shape in read_headers(folder):
        part = part_of(name, known)
        parts[part] = parts.get(part, 0) + math.prod(shape)
    return _with_counts(size, parts) if parts else size


def part_of(tensor: str, family: Family | None) -> str:
    """The part of a model that a tensor's name stands for, as in `ModelSize.parts`."""
    part = family.part_of(tensor) if family else "language"
    if part != "language":
        return {"vision": "vision tower"}.get(part, part)
    if "lm_head" in tensor:
        return "head"
    words = ("embed_tokens", "word_embeddings", "embed_positions", "shared.weight")
    return "embeddings" if any(word in tensor for word in words) else "layers"


def _with_counts(size: ModelSize, parts: Mapping[str, int]) -> ModelSize:
    """The true counts in place of the formulas'; a head that is not stored is tied."""
    language, vision = size.language, size.vision
    linear = max(parts.get("layers", 0) - language.other, 0)
    scale = linear / language.linear
    language = replace(
        language,
        linear=linear,
        expert_linear=round(language.expert_linear * scale),
        encoder_linear=round(language.encoder_linear * scale),
        embeddings=parts.get("embeddings", 0),
        tied="head" not in parts,
    )
    if vision:
        vision = replace(vision, tower=parts.get("vision tower", 0), projector=parts.get("projector", 0))
    return replace(size, language=language, vision=vision, other=parts.get("other", 0), counted="safetensors")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PlanError(f"{path}: cannot be read as JSON: {error}", param="model") from error
    if not isinstance(read, dict):
        raise PlanError(f"{path}: not a JSON object", param="model")
    return read
