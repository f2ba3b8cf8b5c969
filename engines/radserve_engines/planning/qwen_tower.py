"""Qwen's vision towers: patches of an image at its own size, of two frames each, merged 2 × 2 by an MLP."""

from collections.abc import Mapping
from typing import Any

from radserve_engines.planning.language import whole
from radserve_engines.planning.vision import Sight, Vision

_SHARED: Mapping[str, Any] = {"depth": 32, "patch_size": 14, "spatial_merge_size": 2, "window_size": 112}
# What transformers assumes where a vision_config is silent.
TOWERS: Mapping[str, Mapping[str, Any]] = {
    "qwen2_vl": {**_SHARED, "embed_dim": 1280, "mlp_ratio": 4},
    "qwen2_5_vl": {
        **_SHARED,
        "hidden_size": 3584,
        "intermediate_size": 3420,
        "fullatt_block_indexes": [7, 15, 23, 31],
    },
    "qwen3_vl": {
        **_SHARED,
        "depth": 27,
        "hidden_size": 1152,
        "intermediate_size": 4304,
        "patch_size": 16,
        "num_position_embeddings": 2304,
        "deepstack_visual_indexes": [8, 16, 24],
    },
}


def read_qwen_tower(settings: Mapping[str, Any], family: str, text_hidden: int) -> Vision:
    """`family` is a key of TOWERS. Raises PlanError for a field that makes no sense."""
    fields = {**TOWERS[family], **(settings.get("vision_config") or {})}
    hidden = whole(fields, "embed_dim" if family == "qwen2_vl" else "hidden_size")
    middle = (
        hidden * whole(fields, "mlp_ratio") if family == "qwen2_vl" else whole(fields, "intermediate_size")
    )
    layers, patch, merge = (whole(fields, one) for one in ("depth", "patch_size", "spatial_merge_size"))
    windowed = family == "qwen2_5_vl"
    window = whole(fields, "window_size") // patch if windowed else 0
    linear, tower = _count_tower(fields, family, (layers, hidden, middle, patch))
    per_token, projector = _count_mergers(fields, family, (hidden, hidden * merge * merge, text_hidden))
    return Vision(
        layers=layers,
        hidden=hidden,
        intermediate=middle,
        gated=windowed,
        tower=tower,
        per_patch=linear,
        projector=projector,
        per_token=per_token,
        sight=Sight(settings, family, merge=merge),
        patch=patch,
        full_attention=len(fields["fullatt_block_indexes"]) if windowed else layers,
        window=window * window,
        rotary=True,
    )


def _count_tower(fields: Mapping[str, Any], family: str, shape: tuple[int, int, int, int]) -> tuple[int, int]:
    """(matrices, all parameters). Qwen2.5's blocks are gated and of RMSNorm, the others plain and of LayerNorm."""
    layers, hidden, middle, patch = shape
    gated = family == "qwen2_5_vl"
    linear = 3 * 2 * patch * patch * hidden
    linear += layers * (4 * hidden * hidden + (3 if gated else 2) * hidden * middle)
    biases = layers * (4 * hidden + (2 if gated else 1) * middle + hidden)
    norms = layers * (2 if gated else 4) * hidden
    positions = (1 + whole(fields, "num_position_embeddings")) * hidden if family == "qwen3_vl" else 0
    return linear, linear + biases + norms + positions


def _count_mergers(fields: Mapping[str, Any], family: str, shape: tuple[int, int, int]) -> tuple[int, int]:
    """(matrices, all parameters); Qwen3 merges the output of a few deep layers too."""
    hidden, wide, text_hidden = shape
    deep = len(fields["deepstack_visual_indexes"]) if family == "qwen3_vl" else 0
    linear = (1 + deep) * (wide * wide + wide * text_hidden)
    norms = (1 if family == "qwen2_5_vl" else 2) * hidden + deep * 2 * wide
    return linear, linear + (1 + deep) * (wide + text_hidden) + norms
