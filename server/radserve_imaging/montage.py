"""Several slices on one canvas, row by row from the top left: for models that take a single image."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radserve_imaging.errors import PolicyError
from radserve_imaging.policy import ImagePolicy
from radserve_imaging.record import RENDERER, Placement, RenderingRecord, digest_pixels
from radserve_imaging.render import Rendering


@dataclass(frozen=True, slots=True)
class MontageRecord:
    """The records of all tiles, and the cell of each on the canvas; each tile's placement is within its cell."""

    tiles: tuple[RenderingRecord, ...]
    cells: tuple[Placement, ...]
    size_out: tuple[int, int]
    pixels_sha256: str
    policy_sha256: str
    warnings: tuple[str, ...]
    renderer: str = RENDERER

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "montage": True,
            "tiles": [tile.to_json() for tile in self.tiles],
            "cells": [asdict(cell) for cell in self.cells],
            "size_out": list(self.size_out),
            "pixels_sha256": self.pixels_sha256,
            "policy_sha256": self.policy_sha256,
            "warnings": list(self.warnings),
            "renderer": self.renderer,
        }


@dataclass(frozen=True, slots=True)
class Montage:
    """`pixels` is RGB, (H, W, 3) uint8, C-contiguous."""

    pixels: NDArray[np.uint8]
    record: MontageRecord


def tile_policy(policy: ImagePolicy, tiles: int) -> ImagePolicy:
    """The policy for one of so many tiles: the same, but for a cell of the canvas."""
    columns, rows = _grid(policy, tiles)
    width, height = policy.width // columns, policy.height // rows
    if min(width, height) < 16:
        raise PolicyError(f"{tiles} tiles on {policy.width} × {policy.height} px are too small to be seen")
    return replace(policy, width=width, height=height, fit="pad")


def arrange(renderings: Sequence[Rendering], policy: ImagePolicy) -> Montage:
    """Put tiles rendered by `tile_policy` on one canvas."""
    columns, _ = _grid(policy, len(renderings))
    canvas = np.full((policy.height, policy.width, 3), policy.background, np.uint8)
    cells = []
    for index, rendering in enumerate(renderings):
        height, width = rendering.pixels.shape[:2]
        cell = Placement(index % columns * width, index // columns * height, width, height)
        canvas[cell.y : cell.y + height, cell.x : cell.x + width] = rendering.pixels
        cells.append(cell)
    digest = policy.digest()  # the engine's; that of a tile's own policy would be no engine's
    records = tuple(replace(rendering.record, policy_sha256=digest) for rendering in renderings)
    record = MontageRecord(
        tiles=records,
        cells=tuple(cells),
        size_out=(policy.width, policy.height),
        pixels_sha256=digest_pixels(canvas),
        policy_sha256=digest,
        warnings=tuple(dict.fromkeys(warning for tile in records for warning in tile.warnings)),
    )
    return Montage(canvas, record)


def _grid(policy: ImagePolicy, tiles: int) -> tuple[int, int]:
    """Columns and rows whose cells are nearest to square."""
    best = min(
        range(1, tiles + 1),
        key=lambda columns: abs(
            math.log(policy.width / columns * math.ceil(tiles / columns) / policy.height)
        ),
    )
    return best, math.ceil(tiles / best)
