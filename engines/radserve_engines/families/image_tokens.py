"""How many places of the context an image takes, in each family, from its settings and the image's size alone.

`settings` is what `families.read_settings` gives: config.json, the image processor's file under "preprocessor".
Absent values are the defaults of the transformers 4.57 classes. No torch here: the serving path counts with it.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

Settings = Mapping[str, Any]

_QWEN_PIXELS = (56 * 56, 28 * 28 * 1280)  # Qwen2VLImageProcessor's least and most


def count_merged_patches(settings: Settings, height: int, width: int, patch: int = 14) -> int:
    """Qwen-VL: patches of `patch` pixels merged 2 × 2, after the processor's own resize."""
    image, vision = _image(settings), _vision(settings)
    patch = int(image.get("patch_size") or vision.get("patch_size") or patch)
    merge = int(image.get("merge_size") or vision.get("spatial_merge_size") or 2)
    side = patch * merge
    if image.get("do_resize", True):
        height, width = _qwen_size(height, width, side, *qwen_bounds(image))
    return (height // side) * (width // side)


def count_qwen3_patches(settings: Settings, height: int, width: int) -> int:
    """Qwen3-VL: as its forerunners, with patches of 16 pixels."""
    return count_merged_patches(settings, height, width, patch=16)


def count_fixed_patches(settings: Settings, height: int, width: int) -> int:
    """LLaVA-1.5: every image is resized to the tower's square; CLIP's class token goes unless "full" keeps it."""
    return (_tower_side(settings, 336) // _patch(settings, 14)) ** 2 + _class_tokens(settings)


def count_tiles_unpadded(settings: Settings, height: int, width: int) -> int:
    """LLaVA-Next: the whole image, and tiles of the best-fitting grid without their padding, one newline a row."""
    grid = _tower_side(settings, 336) // _patch(settings, 14)
    rows, columns = _unpadded(settings, height, width, grid)
    return grid * grid + _class_tokens(settings) + rows * columns + rows


def count_tiles_bounded(settings: Settings, height: int, width: int) -> int:
    """LLaVA-OneVision: as LLaVA-Next, and tiles beyond `vision_aspect_ratio`'s number are interpolated down."""
    grid = _tower_side(settings, 384) // _patch(settings, 14)
    rows, columns = _unpadded(settings, height, width, grid)
    most = int(str(settings.get("vision_aspect_ratio", "anyres_max_9")).rsplit("_", 1)[-1])
    ratio = math.sqrt(rows * columns / (most * grid * grid))
    if ratio > 1.1:
        rows, columns = int(rows // ratio), int(columns // ratio)
    return grid * grid + rows * columns + rows


def count_whole_image(settings: Settings, height: int, width: int) -> int:
    """LLaVA-OneVision with several images in a question: each whole, without tiles, and a newline."""
    return (_tower_side(settings, 384) // _patch(settings, 14)) ** 2 + 1


def count_pooled(settings: Settings, height: int, width: int) -> int:
    """Gemma 3: always as many as the projector pools to."""
    return int(settings.get("mm_tokens_per_image", 256))


def count_queries(settings: Settings, height: int, width: int) -> int:
    """BLIP-2: the Q-Former's learned queries."""
    return int(settings.get("num_query_tokens", 32))


def count_internvl_tiles(settings: Settings, height: int, width: int) -> int:
    """InternVL: `image_seq_length` for each tile, and for a thumbnail beside several."""
    image = _image(settings)
    tokens = int(settings.get("image_seq_length", 256))
    if not image.get("crop_to_patches", False):
        return tokens
    columns, rows = internvl_grid(image, height, width)
    return tokens * (columns * rows + (columns * rows != 1))


def internvl_grid(image: Settings, height: int, width: int) -> tuple[int, int]:
    """Columns and rows of tiles, whose canvas best keeps the aspect ratio; of equals the larger one's, within reason.

    Source: GotOcr2ImageProcessor of transformers 4.57.
    """
    size = image.get("size") or {"height": 384, "width": 384}
    area = size["height"] * size["width"]
    least, most = image.get("min_patches", 1), image.get("max_patches", 12)
    grids = [(c, r) for c in range(1, most + 1) for r in range(1, most + 1) if least <= c * r <= most]
    best, difference = (1, 1), math.inf
    for grid in sorted(grids, key=lambda one: one[0] * one[1]):
        off = abs(width / height - grid[0] / grid[1])
        if off < difference or (off == difference and height * width > 0.5 * area * grid[0] * grid[1]):
            best, difference = grid, off
    return best


def count_phi4_crops(settings: Settings, height: int, width: int) -> int:
    """Phi-4-MM: a global view, and crops without their padding; one separator a row and one between the two."""
    vision, image = _vision(settings), _image(settings)
    side = int((image.get("size") or {}).get("height") or vision.get("crop_size", 448))
    patch = int(image.get("patch_size") or vision.get("patch_size", 14))
    view = math.ceil(side // patch / 2)
    rows, columns = phi4_useful(height, width, side, patch, image.get("dynamic_hd", 36))
    return view * view + view + 1 + rows * columns + rows


def phi4_useful(height: int, width: int, side: int, patch: int, most: int) -> tuple[int, int]:
    """Rows and columns of pooled features that hold picture, not padding."""
    grid_columns, grid_rows = phi4_grid(height, width, side, most)
    inner_height, inner_width = phi4_inner(height, width, side * grid_rows, side * grid_columns)
    cells = side // patch
    return (
        _pooled(cells, grid_rows, (side * grid_rows - inner_height) // patch),
        _pooled(cells, grid_columns, (side * grid_columns - inner_width) // patch),
    )


def phi4_grid(height: int, width: int, side: int, most: int) -> tuple[int, int]:
    """Columns and rows of crops. Source: Phi4MultimodalImageProcessorFast of transformers 4.57."""
    columns, rows = math.ceil(width / side), math.ceil(height / side)
    if columns * rows <= most:
        return columns, rows
    limits = {"size": {"height": side, "width": side}, "min_patches": 1, "max_patches": most}
    return internvl_grid(limits, height, width)


def phi4_inner(height: int, width: int, canvas_height: int, canvas_width: int) -> tuple[int, int]:
    """Height and width of the picture within its canvas."""
    across, down = canvas_width / width, canvas_height / height
    if across < down:
        return int(height * across), canvas_width
    return canvas_height, int(width * down)


def _pooled(cells: int, crops: int, padded: int) -> int:
    """Every second of `cells` × `crops` patches in line counts, unless it is among the last `padded`."""
    kept = cells * crops - padded
    return sum(place < kept for crop in range(crops) for place in range(crop * cells, (crop + 1) * cells, 2))


def select_grid(height: int, width: int, grids: Sequence[Sequence[int]]) -> tuple[int, int]:
    """LLaVA-Next's choice among `image_grid_pinpoints`: most picture kept, then least wasted (height, width)."""

    def rank(grid: Sequence[int]) -> tuple[int, int]:
        scale = min(grid[1] / width, grid[0] / height)
        kept = min(int(width * scale) * int(height * scale), width * height)
        return kept, -(grid[0] * grid[1] - kept)

    best = max(grids, key=rank)
    return best[0], best[1]


def _unpadded(settings: Settings, height: int, width: int, grid: int) -> tuple[int, int]:
    side = _tower_side(settings, 384 if settings.get("model_type") == "llava_onevision" else 336)
    points = _image(settings).get("image_grid_pinpoints") or settings.get("image_grid_pinpoints")
    best = select_grid(
        height, width, points or [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]]
    )
    rows, columns = grid * (best[0] // side), grid * (best[1] // side)
    if width / height > columns / rows:
        rows -= 2 * ((rows - int(round(height * (columns / width), 7))) // 2)
    else:
        columns -= 2 * ((columns - int(round(width * (rows / height), 7))) // 2)
    return rows, columns


def qwen_bounds(image: Settings) -> tuple[int, int]:
    """Least and most pixels, by either of the names that an image processor's file has for them."""
    size = image.get("size") or {}
    least = image.get("min_pixels") or size.get("shortest_edge") or _QWEN_PIXELS[0]
    most = image.get("max_pixels") or size.get("longest_edge") or _QWEN_PIXELS[1]
    return least, most


def _qwen_size(height: int, width: int, side: int, least: int, most: int) -> tuple[int, int]:
    """Multiples of `side` nearest to the image's sides, of an area within bounds (Qwen's `smart_resize`)."""
    rows, columns = round(height / side) * side, round(width / side) * side
    if rows * columns > most:
        scale = math.sqrt(height * width / most)
        return tuple(max(side, math.floor(x / scale / side) * side) for x in (height, width))  # type: ignore[return-value]
    if rows * columns < least:
        scale = math.sqrt(least / (height * width))
        return tuple(math.ceil(x * scale / side) * side for x in (height, width))  # type: ignore[return-value]
    return rows, columns


def _tower_side(settings: Settings, default: int) -> int:
    image = _image(settings)
    for size in (image.get("crop_size") if image.get("do_center_crop") else None, image.get("size")):
        if isinstance(size, int):
            return size
        if size:
            return int(size.get("shortest_edge") or min(size["height"], size["width"]))
    return int(_vision(settings).get("image_size", default))


def _patch(settings: Settings, default: int) -> int:
    return int(_vision(settings).get("patch_size", default))


def _class_tokens(settings: Settings) -> int:
    tower = _vision(settings).get("model_type", "clip_vision_model")
    tokens = int(tower == "clip_vision_model")
    return tokens - int(settings.get("vision_feature_select_strategy", "default") == "default")


def _vision(settings: Settings) -> Settings:
    return settings.get("vision_config") or {}


def _image(settings: Settings) -> Settings:
    return settings.get("preprocessor") or {}
