"""A vision tower with its projector: parameters, and what one image costs in places, arithmetic and memory.

Two kinds of tower: Qwen's takes an image at its own size, in patches merged 2 × 2; the others (CLIP, SigLIP, EVA,
InternViT) see one or more square tiles. Recipes leave all of it in bf16.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from radserve_engines.families import family_named
from radserve_engines.families.image_tokens import internvl_grid, phi4_grid, select_grid


@dataclass(frozen=True, slots=True)
class Seen:
    """One image: tiles, patches in all of them (class tokens included), and the places it takes in the context."""

    tiles: int
    patches: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Sight:
    """How an image is cut; `settings` is config.json with the image processor's file under "preprocessor".

    `merge` is for a tower that takes images at their own size; else a `tile`'s side in pixels, and its patches.
    """

    settings: Mapping[str, Any]
    family: str
    merge: int = 0
    tile: int = 0
    tile_patches: int = 0

    def see(self, height: int, width: int, images: int) -> Seen:
        """One of `images` of this size in pixels."""
        tokens = family_named(self.family).image_tokens(self.settings, height, width, images)
        if self.merge:
            return Seen(1, tokens * self.merge * self.merge, tokens)
        tiles = self._tiles(height, width, images)
        return Seen(tiles, tiles * self.tile_patches, tokens)

    def _tiles(self, height: int, width: int, images: int) -> int:
        image = self.settings.get("preprocessor") or {}
        if self.family == "llava_next" or (self.family == "llava_onevision" and images == 1):
            points = image.get("image_grid_pinpoints") or self.settings["image_grid_pinpoints"]
            rows, columns = select_grid(height, width, points)
            return 1 + (rows // self.tile) * (columns // self.tile)
        if self.family == "internvl" and image.get("crop_to_patches"):
            columns, rows = internvl_grid(image, height, width)
            return rows * columns + (rows * columns > 1)
        if self.family == "phi4_multimodal":
            columns, rows = phi4_grid(height, width, self.tile, image.get("dynamic_hd", 36))
            return 1 + rows * columns
        return 1


@dataclass(frozen=True, slots=True)
class Vision:
    """`tower` and `projector` count parameters; `per_patch` and `per_token` are those that multiply one of them.

    `full_attention` is the number of layers in which a tile's patches all attend to each other, `window` the patches
    of a window in the others. `rotary`: positions turn queries and keys in fp32, and a patch spans two frames.
    """

    layers: int
    hidden: int
    intermediate: int
    gated: bool
    tower: int
    per_patch: int
    projector: int
    per_token: int
    sight: Sight
    patch: int
    full_attention: int
    window: int = 0
    rotary: bool = False

    @property
    def parameters(self) -> int:
        """Tower and projector."""
        return self.tower + self.projector

    def see(self, height: int, width: int, images: int = 1) -> Seen:
        """One of `images` of this size in pixels."""
        return self.sight.see(height, width, images)

    def flops(self, seen: Seen) -> float:
        """Multiplications and additions of one image: weights, then scores and values of attention."""
        weights = 2 * (self.per_patch * seen.patches + self.per_token * seen.tokens)
        whole_tile = self.full_attention * seen.patches / seen.tiles
        reach = whole_tile + (self.layers - self.full_attention) * self.window
        return weights + 4 * self.hidden * seen.patches * reach

    def activation_bytes(self, seen: Seen) -> float:
        """Peak for one image in bf16: the widest moment of a block, beside pixels (fp32) and embeddings."""
        mlp = 2 * (2 * self.hidden + (3 if self.gated else 2) * self.intermediate)
        attention = 2 * 5 * self.hidden + (8 * self.hidden if self.rotary else 0)
        pixels = 4 * 3 * self.patch * self.patch * (2 if self.rotary else 1)
        return seen.patches * (max(mlp, attention) + pixels) + 2 * seen.tokens * 5 * self.hidden
