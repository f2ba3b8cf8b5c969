"""Vision towers that see square tiles: CLIP, SigLIP, EVA (BLIP-2) and InternViT."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from radserve_engines.planning.language import whole
from radserve_engines.planning.projectors import count_projector
from radserve_engines.planning.vision import Sight, Vision


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
# LLaVA-NeXT's and OneVision's canvases where config.json has none, in tiles.
_CANVASES: Mapping[str, list[tuple[int, int]]] = {
    "llava_next": [(1, 2), (2, 1), (2, 2), (3, 1), (1, 3)],
    "llava_onevision": [(rows, columns) for rows in range(1, 7) for columns in range(1, 7)],
}


def read_tiled_tower(settings: Mapping[str, Any], family: str, text_hidden: int) -> Vision:
    """`family` is one of TILED. Raises PlanError for a field that makes no sense."""
    given = {key: value for key, value in (settings.get("vision_config") or {}).items() if value is not None}
    kinds = {"clip_vision_model": _CLIP, "siglip_vision_model": _SIGLIP}
    tower = kinds.get(given.get("model_type", ""), _TOWERS[family])
    own = {"hidden_size": tower.hidden, "intermediate_size": tower.middle, "num_hidden_layers": tower.layers}
    fields = {**own, "image_size": _TOWERS[family].image, "patch_size": 14, **given}
    for name in ("image_size", "patch_size"):  # InternVL writes both sides
        fields[name] = fields[name][0] if isinstance(fields[name], list) else fields[name]
    layers, hidden, image, patch = (
        whole(fields, name) for name in ("num_hidden_layers", "hidden_size", "image_size", "patch_size")
    )
    patches = (image // patch) ** 2
    projector, per_token = count_projector(settings, family, hidden, text_hidden)
    linear, parameters = _count(tower, fields, family, patches)
    canvases = [[image * rows, image * columns] for rows, columns in _CANVASES.get(family, [])]
    return Vision(
        layers=layers,
        hidden=hidden,
        intermediate=whole(fields, "intermediate_size"),
        gated=False,
        tower=parameters,
        per_patch=linear,
        projector=projector,
        per_token=per_token,
        sight=Sight(
            {"image_grid_pinpoints": canvases, **settings},
            family,
            tile=image,
            tile_patches=patches + tower.class_token,
        ),
        patch=patch,
        full_attention=layers,
    )


def _count(tower: _Tower, fields: Mapping[str, Any], family: str, patches: int) -> tuple[int, int]:
    """(matrices that every patch passes, all parameters)."""
    layers, hidden, middle = (
        whole(fields, "num_hidden_layers"),
        fields["hidden_size"],
        fields["intermediate_size"],
    )
    block = 4 * hidden * hidden + 2 * hidden * middle
    linear = 3 * fields["patch_size"] ** 2 * hidden + layers * block
    bare = family == "internvl" and not fields.get("attention_bias")
    biases = (hidden if bare else 4 * hidden) + middle + hidden
    each = biases + 4 * hidden + (2 * hidden if tower.layer_scale else 0)
    outside = 2 * hidden * tower.norms + (hidden if tower.patch_bias else 0)
    outside += (patches + 2 * tower.class_token) * hidden
    if tower.pooling_head and fields.get("vision_use_head", True):
        outside += hidden + block + 4 * hidden + 2 * hidden + middle + hidden
    return linear, linear + layers * each + outside
