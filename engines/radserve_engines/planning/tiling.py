"""How many tiles a fixed-size vision tower gets of one image, and what is left of them as tokens.

`anyres` is LLaVA-NeXT's and LLaVA-OneVision's choice of a canvas, `closest_grid` InternVL's and Phi-4's of a grid.
"""

import math
from collections.abc import Sequence


def anyres(
    height: int, width: int, tile: int, side: int, canvases: Sequence[Sequence[int]], most: int | None
) -> tuple[int, int]:
    """(tiles, tokens) of an image on the best of `canvases` ((height, width) in pixels).

    `tile` is a tile's side in pixels, `side` in tokens; padding is cut off again, every row of tokens gets one
    newline, and `most` tiles' worth of tokens is what longer ones are shrunk to (LLaVA-OneVision).
    """
    canvas = max(canvases, key=lambda one: _usefulness(height, width, one))
    rows, columns = canvas[0] // tile * side, canvas[1] // tile * side
    if width / height > columns / rows:
        kept = int(round(height * columns / width, 7))
        rows -= 2 * ((rows - kept) // 2)
    else:
        kept = int(round(width * rows / height, 7))
        columns -= 2 * ((columns - kept) // 2)
    ratio = math.sqrt(rows * columns / (most * side * side)) if most else 1.0
    if ratio > 1.1:
        rows, columns = int(rows // ratio), int(columns // ratio)
    tiles = (canvas[0] // tile) * (canvas[1] // tile)
    return 1 + tiles, side * side + rows * columns + rows


def closest_grid(height: int, width: int, tile: int, most: int) -> tuple[int, int]:
    """(rows, columns) of at most `most` tiles, nearest to the image's aspect; of equals the largest it can fill."""
    aspect, best, least = width / height, (1, 1), math.inf
    grids = [(r, c) for r in range(1, most + 1) for c in range(1, most + 1) if r * c <= most]
    for rows, columns in sorted(grids, key=lambda one: one[0] * one[1]):
        distance = abs(aspect - columns / rows)
        fills = height * width > 0.5 * tile * tile * rows * columns
        if distance < least or (distance == least and fills):
            best, least = (rows, columns), distance
    return best


def _usefulness(height: int, width: int, canvas: Sequence[int]) -> tuple[int, int]:
    """Pixels of the image that survive on the canvas, then how little of the canvas is wasted."""
    scale = min(canvas[1] / width, canvas[0] / height)
    kept = min(int(width * scale) * int(height * scale), width * height)
    return kept, -(canvas[0] * canvas[1] - kept)
