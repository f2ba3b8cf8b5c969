"""How the engine will see images, and be asked: from a file, from the checkpoint's own manifest, or derived."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from radserve_engines.errors import BuildRefused, ManifestError
from radserve_engines.families import Family, read_settings
from radserve_engines.generation import Sampling
from radserve_engines.manifest import FILE_NAME, EngineManifest, parse_manifest, read_manifest_bytes
from radserve_imaging import ImagePolicy, ImagingError, Window
from radserve_imaging.policy import Fit

_SOFT_TISSUE = Window(40, 400)
_QWEN_SIDE = (
    896  # 1,024 places of the context; the processors' own bound of 12.8 megapixels would take 16,384
)
_MOST_CONTEXT = 8192
_ANSWER_TOKENS = 256
DEMONSTRATION = "not stated by whoever built it: not for clinical use"


@dataclass(frozen=True, slots=True)
class Conduct:
    """What preprocessing and decoding obey; `origin` says in words where the image policy is from."""

    policy: ImagePolicy
    decoding: Sampling
    context_length: int
    intended_use: str
    origin: str


def choose_conduct(
    checkpoint: Path, family: Family, policy_file: Path | None, context_length: int | None
) -> Conduct:
    """`policy_file` before the checkpoint's engine.json before its preprocessor's size. Raises BuildRefused."""
    settings = read_settings(checkpoint)
    own = _own_manifest(checkpoint)
    if policy_file is not None:
        policy, origin = _read_policy(policy_file), str(policy_file.name)
    elif own is not None:
        policy, origin = own.image_policy, "the checkpoint's engine.json"
    else:
        policy, origin = derive_policy(family, settings), "derived from preprocessor_config.json"
    longest = _longest_context(settings)
    wanted = context_length or (own.context_length if own else min(longest, _MOST_CONTEXT))
    if wanted > longest:
        raise BuildRefused(f"--context {wanted} is longer than the checkpoint's own {longest} positions")
    return Conduct(
        policy=policy,
        decoding=own.decoding if own else Sampling(max_tokens=min(_ANSWER_TOKENS, wanted // 2)),
        context_length=wanted,
        intended_use=own.intended_use if own else DEMONSTRATION,
        origin=origin,
    )


def derive_policy(family: Family, settings: Mapping[str, Any]) -> ImagePolicy:
    """Qwen: the aspect kept, up to 896 × 896. LLaVA: the processor's square, letterboxed. Others: it, filled."""
    image = settings.get("preprocessor", {})
    if family.name.startswith("qwen"):
        multiple = int(image.get("patch_size", 14)) * int(image.get("merge_size", 2))
        most = image.get("max_pixels") or _size(image, "longest_edge") or _QWEN_SIDE**2
        side = min(_QWEN_SIDE, max(multiple, int(math.sqrt(most)) // multiple * multiple))
        return ImagePolicy(width=side, height=side, fit="within", multiple=multiple, ct_window=_SOFT_TISSUE)
    side = _side(image, settings)
    fit: Fit = "pad" if family.name.startswith("llava") else "stretch"
    return ImagePolicy(width=side, height=side, fit=fit, ct_window=_SOFT_TISSUE)


def _side(image: Mapping[str, Any], settings: Mapping[str, Any]) -> int:
    vision = settings.get("vision_config", {})
    found = _size(image, "height") or _size(image, "shortest_edge") or vision.get("image_size") or 448
    return int(found[0] if isinstance(found, list) else found)


def _size(image: Mapping[str, Any], name: str) -> int | None:
    size = image.get("size")
    return size.get(name) if isinstance(size, Mapping) else None


def _longest_context(settings: Mapping[str, Any]) -> int:
    text = settings.get("text_config") or settings
    for name in ("max_position_embeddings", "n_positions", "seq_length", "model_max_length"):
        if isinstance(value := text.get(name, settings.get(name)), int):
            return value
    return 2048  # BLOOM has no positions to run out of (ALiBi); it was trained on 2,048


def _own_manifest(checkpoint: Path) -> EngineManifest | None:
    path = checkpoint / FILE_NAME
    if not path.is_file():
        return None
    try:
        return parse_manifest(checkpoint, read_manifest_bytes(checkpoint))
    except ManifestError as error:
        raise BuildRefused(f"{path} cannot be read: {error}; mend it, or move it away") from error


def _read_policy(path: Path) -> ImagePolicy:
    try:
        return ImagePolicy.from_json(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, ImagingError) as error:
        raise BuildRefused(f"--policy {path}: {error}") from error
