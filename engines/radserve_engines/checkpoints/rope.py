"""Rotary embeddings as transformers 5 writes them into config.json, in the words that transformers 4 reads.

The newer one keeps base, scaling and share in one `rope_parameters`, for each kind of layer where kinds differ. The
older one, and TensorRT-LLM with it, passes over that without a word and takes its class's default base: another model,
in the reference of a gate too.
"""

from collections.abc import Mapping
from typing import Any

_NEW = "rope_parameters"


def restore_rope(config: Mapping[str, Any]) -> dict[str, Any]:
    """A copy with `rope_theta`, `rope_scaling` and kin in place of `rope_parameters`, in its parts as well."""
    parts = {
        name: restore_rope(value) if isinstance(value, dict) else value for name, value in config.items()
    }
    given = parts.pop(_NEW, None)
    return {**parts, **_older(given)} if isinstance(given, dict) and given else parts


def _older(given: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if isinstance(sliding := given.get("sliding_attention"), dict):
        found["rope_local_base_freq"] = sliding["rope_theta"]
    whole = dict(given.get("full_attention", given))
    for name in ("rope_theta", "partial_rotary_factor"):
        if name in whole:
            found[name] = whole.pop(name)
    plain = whole == {"rope_type": "default"} or not whole
    return {**found, "rope_scaling": None if plain else whole}
