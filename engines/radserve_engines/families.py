"""What each model family needs to know of itself. One row a family; a later family is one more row."""

from collections.abc import Callable
from dataclasses import dataclass

from radserve_engines.errors import ManifestError


@dataclass(frozen=True, slots=True)
class Family:
    """`image_tokens(height, width)` in pixels: how many places of the context one image takes."""

    name: str
    image_tokens: Callable[[int, int], int]


def _merged_patches(height: int, width: int) -> int:
    """Qwen2.5-VL: patches of 14 px, merged 2 × 2 (sides are multiples of 28 by the image policy)."""
    return (height // 28) * (width // 28)


_FAMILIES = {family.name: family for family in (Family("qwen2_5_vl", _merged_patches),)}


def family_named(name: str) -> Family:
    """Raises ManifestError for a family that no runtime here knows."""
    if name not in _FAMILIES:
        raise ManifestError(f"model family {name!r} is not known here; known: {', '.join(_FAMILIES)}")
    return _FAMILIES[name]
