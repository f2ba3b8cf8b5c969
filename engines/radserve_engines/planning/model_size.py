"""How large a model is, part by part: out of a config.json, a checkpoint folder's headers, or a name.

A folder's parameters are counted in the headers of its safetensors files, sharded or not, and no weight is read;
where there are none, or they are quantized already, the closed formulas over config.json stand in.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from radserve_engines.errors import PlanError
from radserve_engines.planning.language import DEFAULTS, Language, read_language
from radserve_engines.planning.shapes import SHAPES
from radserve_engines.planning.vision import TILED, Vision, read_vision

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
_HEADER_LIMIT = 100_000_000  # bytes; the format's own bound


@dataclass(frozen=True, slots=True)
class ModelSize:
    """`vision` is None for a language model alone; `audio` counts what is there and plays no part in a question."""

    name: str
    family: str
    language: Language
    vision: Vision | None
    counted: str
    audio: int = 0
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
            "audio": self.audio,
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


def size_of_config(config: Mapping[str, Any], name: str) -> ModelSize:
    """Counted by formula. Raises PlanError for an unknown model type or a field that makes no sense."""
    family = config.get("model_type")
    if not isinstance(family, str) or family not in {**_TEXT_KINDS, **DEFAULTS}:
        known = ", ".join(dict.fromkeys([*_TEXT_KINDS, *DEFAULTS]))
        raise PlanError(
            f"config.json: model_type {family!r} is not known here; known: {known}", param="model"
        )
    nested = config.get("text_config") or {}
    kind = nested.get("model_type") or _TEXT_KINDS.get(family, family)
    kind = kind + "_text" if kind in ("qwen2_vl", "qwen2_5_vl", "gemma3") else kind
    text = nested or {key: value for key, value in config.items() if not key.endswith("_config")}
    if "tie_word_embeddings" in config:
        text = {"tie_word_embeddings": config["tie_word_embeddings"], **text}
    language = read_language(text, kind)
    sighted = family in TILED or (family.startswith("qwen") and family in _TEXT_KINDS)
    vision = None
    if sighted:
        with_tower = {**config, "vision_config": config.get("vision_config") or {}}
        vision = read_vision(with_tower, family, language.hidden)
    return ModelSize(
        name, family, language, vision, "config.json", _AUDIO if family == "phi4_multimodal" else 0
    )


def size_of_folder(folder: Path) -> ModelSize:
    """Shape from config.json, counts from the safetensors headers. Raises PlanError for what cannot be read."""
    config = _read_json(folder / "config.json")
    size = size_of_config(config, folder.resolve().name)
    if config.get("quantization_config"):
        return replace(size, notes=("the folder is quantized already: counted by config.json",))
    parts: dict[str, int] = {}
    for name, shape in read_headers(folder):
        part = part_of(name)
        parts[part] = parts.get(part, 0) + math.prod(shape)
    return _with_counts(size, parts) if parts else size


def read_headers(folder: Path) -> Iterator[tuple[str, list[int]]]:
    """(name, shape) of every tensor in the folder's *.safetensors; a name that comes twice counts once."""
    seen: set[str] = set()
    for path in sorted(folder.glob("*.safetensors")):
        if path.name.startswith("adapter_"):
            continue
        try:
            with path.open("rb") as file:
                length = int.from_bytes(file.read(8), "little")
                header: dict[str, Any] = json.loads(file.read(length)) if 1 < length <= _HEADER_LIMIT else {}
            tensors = [(name, one["shape"]) for name, one in header.items() if name != "__metadata__"]
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise PlanError(
                f"{path}: not a safetensors file, or cut short: fetch it again", param="model"
            ) from error
        yield from ((name, shape) for name, shape in tensors if name not in seen)
        seen.update(name for name, _ in tensors)


def part_of(tensor: str) -> str:
    """The part of a model that a tensor's name stands for."""
    if "audio" in tensor:
        return "audio"
    if any(word in tensor for word in _PROJECTORS):
        return "projector"
    if any(
        word in tensor for word in ("visual.", "vision_tower", "vision_model", "image_embed.img_processor")
    ):
        return "vision tower"
    if "lm_head" in tensor or tensor == "output_projection.weight":
        return "head"
    words = ("embed_tokens", "word_embeddings", "embed_positions", "shared.weight")
    return "embeddings" if any(word in tensor for word in words) else "layers"


_PROJECTORS = (
    "merger",
    "multi_modal_projector",
    "qformer",
    "query_tokens",
    "language_projection",
    "image_newline",
    "img_projection",
    "img_feature_extensor",
)


def _with_counts(size: ModelSize, parts: Mapping[str, int]) -> ModelSize:
    """The true counts in place of the formulas'; a head that is not stored is tied."""
    language, vision = size.language, size.vision
    layers = parts.get("layers", 0)
    scale = max(layers - language.other, 0) / language.linear
    language = replace(
        language,
        linear=max(layers - language.other, 0),
        expert_linear=round(language.expert_linear * scale),
        encoder_linear=round(language.encoder_linear * scale),
        embeddings=parts.get("embeddings", 0),
        tied="head" not in parts,
    )
    if vision:
        vision = replace(vision, tower=parts.get("vision tower", 0), projector=parts.get("projector", 0))
    return replace(size, language=language, vision=vision, audio=parts.get("audio", 0), counted="safetensors")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PlanError(f"{path}: cannot be read as JSON: {error}", param="model") from error
    if not isinstance(read, dict):
        raise PlanError(f"{path}: not a JSON object", param="model")
    return read
