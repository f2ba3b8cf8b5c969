"""The vision side of a config.json: tower and projector by parameters, and what one image costs.

Two kinds of tower: Qwen's takes an image at its own size, in patches merged 2 × 2; the others (CLIP, SigLIP, EVA,
InternViT) see one or more square tiles. Recipes leave all of it in bf16.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from radserve_engines.planning.language import whole
from radserve_engines.planning.tiling import anyres, closest_grid


@dataclass(frozen=True, slots=True)
class Seen:
    """One image as the tower sees it: tiles, patches in all, and the places it takes in the context."""

    tiles: int
    patches: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Vision:
    """`tower` and `projector` count parameters; `per_patch` and `per_token` are those that multiply one of them."""

    layers: int
    hidden: int
    intermediate: int
    gated: bool
    tower: int
    per_patch: int
    projector: int
    per_token: int
    see: Callable[[int, int], Seen]
    full_attention: int  # layers in which every patch of a tile attends to every other
    window: int = 0  # patches of a window in the other layers
    rotary: bool = False

    @property
    def parameters(self) -> int:
        """Tower and projector."""
        return self.tower + self.projector

    def flops(self, height: int, width: int) -> float:
        """Multiplications and additions of one image: weights, then scores and values of attention."""
        seen = self.see(height, width)
        weights = 2 * (self.per_patch * seen.patches + self.per_token * seen.tokens)
        reach = (
            self.full_attention * seen.patches / seen.tiles
            + (self.layers - self.full_attention) * self.window
        )
        return weights + 4 * self.hidden * seen.patches * reach

    def activation_bytes(self, height: int, width: int) -> float:
        """Peak for one image in bf16: the widest moment of a block, beside pixels (fp32) and embeddings."""
        mlp = 2 * (2 * self.hidden + (3 if self.gated else 2) * self.intermediate)
        attention = 2 * 5 * self.hidden + (8 * self.hidden if self.rotary else 0)
        seen = self.see(height, width)
        return (
            seen.patches * max(mlp, attention)
            + 4 * 3 * 2 * height * width
            + 2 * seen.tokens * 5 * self.hidden
        )


def read_vision(config: Mapping[str, Any], family: str, text_hidden: int) -> Vision:
    """Out of a whole config.json; raises PlanError for a field that makes no sense."""
    fields = {key: value for key, value in config["vision_config"].items() if value is not None}
    if family in ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe"):
        return _qwen(fields, family, text_hidden)
    return _tiled(config, fields, family, text_hidden)


_QWEN: Mapping[str, Any] = {
    "depth": 32,
    "num_heads": 16,
    "patch_size": 14,
    "spatial_merge_size": 2,
    "mlp_ratio": 4,
}
_QWEN_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "qwen2_vl": {**_QWEN, "embed_dim": 1280},
    "qwen2_5_vl": {
        **_QWEN,
        "hidden_size": 3584,
        "intermediate_size": 3420,
        "fullatt_block_indexes": [7, 15, 23, 31],
    },
    "qwen3_vl": {
        **_QWEN,
        "depth": 27,
        "hidden_size": 1152,
        "intermediate_size": 4304,
        "patch_size": 16,
        "num_position_embeddings": 2304,
        "deepstack_visual_indexes": [8, 16, 24],
    },
}


def _qwen(given: Mapping[str, Any], family: str, text_hidden: int) -> Vision:
    """Own-size patches (two frames of 3 channels), merged by an MLP; Qwen3 merges deep features a few times more."""
    third, gated = family.startswith("qwen3"), family == "qwen2_5_vl"
    fields = {**_QWEN_DEFAULTS["qwen3_vl" if third else family], **given}
    hidden = whole(fields, "embed_dim" if family == "qwen2_vl" else "hidden_size")
    middle = (
        hidden * whole(fields, "mlp_ratio") if family == "qwen2_vl" else whole(fields, "intermediate_size")
    )
    layers, patch, merge = (
        whole(fields, "depth"),
        whole(fields, "patch_size"),
        whole(fields, "spatial_merge_size"),
    )
    embed, wide = 3 * 2 * patch * patch * hidden, hidden * merge * merge
    linear = layers * (4 * hidden * hidden + (3 if gated else 2) * hidden * middle)
    biases = layers * (4 * hidden + (2 if gated else 1) * middle + hidden)
    norms = layers * (2 if gated else 4) * hidden
    extra = hidden + whole(fields, "num_position_embeddings") * hidden if third else 0
    merger = wide * wide + wide + wide * text_hidden + text_hidden
    deep = len(fields["deepstack_visual_indexes"]) if third else 0
    windowed = family == "qwen2_5_vl"
    window = whole({"window_size": 112, **fields}, "window_size") // patch if windowed else 0
    return Vision(
        layers=layers,
        hidden=hidden,
        intermediate=middle,
        gated=gated,
        tower=embed + linear + biases + norms + extra,
        per_patch=embed + linear,
        projector=(1 + deep) * merger + (1 if gated else 2) * hidden + deep * 2 * wide,
        per_token=(1 + deep) * merger,
        see=partial(_see_patches, patch=patch, merge=merge),
        full_attention=len(fields["fullatt_block_indexes"]) if windowed else layers,
        window=window * window,
        rotary=True,
    )


def _see_patches(height: int, width: int, patch: int, merge: int) -> Seen:
    """Sides are rounded to whole merged patches."""
    rows, columns = (max(1, round(side / (patch * merge))) for side in (height, width))
    return Seen(1, rows * columns * merge * merge, rows * columns)


@dataclass(frozen=True, slots=True)
class _Tower:
    """What distinguishes one tiled tower from another; defaults are those of the family's own config class."""

    hidden: int
    middle: int
    layers: int
    image: int
    class_token: bool
    norms: int = 1  # LayerNorms outside the layers
    patch_bias: bool = True
    layer_scale: bool = False
    pooling_head: bool = False


_CLIP = _Tower(1024, 4096, 24, 336, class_token=True, norms=2, patch_bias=False)
_SIGLIP = _Tower(1152, 4304, 27, 384, class_token=False, pooling_head=True)
_TOWERS: Mapping[str, _Tower] = {
    "llava": _CLIP,
    "llava_next": _CLIP,
    "llava_onevision": _SIGLIP,
    "gemma3": _Tower(1152, 4304, 27, 896, class_token=False, pooling_head=True),
    "blip-2": _Tower(1408, 6144, 39, 224, class_token=True),
    "internvl": _Tower(1024, 4096, 24, 448, class_token=True, norms=0, layer_scale=True),
    "phi4_multimodal": _Tower(1152, 4304, 27, 448, class_token=False, pooling_head=True),
}
TILED = tuple(_TOWERS)


def _tiled(config: Mapping[str, Any], given: Mapping[str, Any], family: str, text_hidden: int) -> Vision:
    kind = given.get("model_type", "")
    tower = (
        _CLIP
        if kind == "clip_vision_model"
        else _SIGLIP
        if kind == "siglip_vision_model"
        else _TOWERS[family]
    )
    own = {"hidden_size": tower.hidden, "intermediate_size": tower.middle, "num_hidden_layers": tower.layers}
    fields = {**own, "image_size": _TOWERS[family].image, "patch_size": 14, **given}
    for name in ("image_size", "patch_size"):  # InternVL writes both sides
        fields[name] = fields[name][0] if isinstance(fields[name], list) else fields[name]
    hidden, middle = whole(fields, "hidden_size"), whole(fields, "intermediate_size")
    layers, image, patch = (whole(fields, name) for name in ("num_hidden_layers", "image_size", "patch_size"))
    side, embed, linear = (
        image // patch,
        3 * patch * patch * hidden,
        4 * hidden * hidden + 2 * hidden * middle,
    )
    no_attention_bias = family == "internvl" and not fields.get("attention_bias")
    other = (hidden if no_attention_bias else 4 * hidden) + middle + hidden + 4 * hidden
    other += 2 * hidden if tower.layer_scale else 0
    outside = 2 * hidden * tower.norms + (hidden if tower.patch_bias else 0)
    outside += (side * side + tower.class_token) * hidden + (hidden if tower.class_token else 0)
    if tower.pooling_head and fields.get("vision_use_head", True):
        outside += hidden + linear + 4 * hidden + 2 * hidden + middle + hidden
    projector, per_token = _projector(config, family, hidden, text_hidden)
    return Vision(
        layers=layers,
        hidden=hidden,
        intermediate=middle,
        gated=False,
        tower=embed + layers * (linear + other) + outside,
        per_patch=embed + layers * linear,
        projector=projector,
        per_token=per_token,
        see=_sight(config, family, image, side, int(tower.class_token)),
        full_attention=layers,
    )


def _projector(config: Mapping[str, Any], family: str, hidden: int, text: int) -> tuple[int, int]:
    """(parameters, those that multiply one image token)."""
    if family == "gemma3":
        return hidden * text + hidden, hidden * text
    if family == "blip-2":
        return _q_former(config, hidden, text)
    if family == "internvl":
        wide = hidden * 4
        return 2 * wide + wide * text + text + text * text + text, wide * text + text * text
    linear = hidden * text + text * text
    if family == "phi4_multimodal":
        return linear + 2 * text + 2 * hidden, linear
    newline = 0 if family == "llava" else text
    return linear + 2 * text + newline, linear


def _q_former(config: Mapping[str, Any], seen: int, text: int) -> tuple[int, int]:
    """BLIP-2: layers over the query tokens, every few of them with cross-attention to the tower's output."""
    defaults = {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "cross_attention_frequency": 2,
    }
    fields = {**defaults, **config.get("qformer_config", {})}
    width, middle = whole(fields, "hidden_size"), whole(fields, "intermediate_size")
    layers = whole(fields, "num_hidden_layers")
    crossed = -(-layers // whole(fields, "cross_attention_frequency"))
    own = 4 * (width * width + width) + 2 * width
    cross = 2 * (width * width + width) + 2 * (seen * width + width) + 2 * width
    mlp = 2 * width * middle + middle + width + 2 * width
    queries = whole({"num_query_tokens": 32, **config}, "num_query_tokens") * width
    multiplied = layers * (own + mlp) + crossed * cross + width * text
    return queries + multiplied + text + 2 * width, multiplied


def _sight(
    config: Mapping[str, Any], family: str, image: int, side: int, extra: int
) -> Callable[[int, int], Seen]:
    fixed = {"llava": side * side, "gemma3": config.get("mm_tokens_per_image", 256)}
    fixed["blip-2"] = config.get("num_query_tokens", 32)
    patches = side * side + extra
    if family in fixed:
        return partial(_see_whole, seen=Seen(1, patches, fixed[family]))
    if family in ("llava_next", "llava_onevision"):
        most = 9 if family == "llava_onevision" else None
        steps = range(1, 7) if most else ()
        canvases = [[image * r, image * c] for r in steps for c in steps] or [
            [image * r, image * c] for r, c in ((1, 2), (2, 1), (2, 2), (3, 1), (1, 3))
        ]
        chosen = config.get("image_grid_pinpoints") or canvases
        return partial(_see_canvas, image=image, side=side, patches=patches, canvases=chosen, most=most)
    return partial(_see_grid, family=family, image=image, side=side, patches=patches)


def _see_whole(height: int, width: int, seen: Seen) -> Seen:
    return seen


def _see_canvas(
    height: int, width: int, image: int, side: int, patches: int, canvases: list[list[int]], most: int | None
) -> Seen:
    tiles, tokens = anyres(height, width, image, side, canvases, most)
    return Seen(tiles, tiles * patches, tokens)


def _see_grid(height: int, width: int, family: str, image: int, side: int, patches: int) -> Seen:
    """InternVL: up to 12 tiles and a thumbnail; Phi-4: up to 36 and the whole, with a newline to each row."""
    each = (side // 2) ** 2
    if family == "internvl":
        rows, columns = closest_grid(height, width, image, 12)
        tiles = rows * columns + (1 if rows * columns > 1 else 0)
        return Seen(tiles, tiles * patches, tiles * each)
    rows, columns = -(-height // image), -(-width // image)
    if rows * columns > 36:
        rows, columns = closest_grid(height, width, image, 36)
    tiles = 1 + rows * columns
    return Seen(tiles, tiles * patches, tiles * each + 1 + (side // 2) * (rows + 1))
