"""Phi-4-MM's images: a global view and square crops of the padded picture, each with a mask of its patches.

The transformers processor exists only on top of torchvision; this one is checked against its arithmetic, and resizes
with the same filters: bilinear with antialiasing for the picture, bicubic for the view.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate, pad

from radserve_engines.families.image_tokens import phi4_grid, phi4_inner

_WHITE = 255.0


class Phi4Crops:
    """`settings` as `families.read_settings` gives them; the defaults are Phi4MultimodalImageProcessorFast's."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        image = settings.get("preprocessor") or {}
        vision = settings.get("vision_config") or {}
        self._side: int = (image.get("size") or {}).get("height") or vision.get("crop_size", 448)
        self._patch: int = image.get("patch_size") or vision.get("patch_size", 14)
        self._most: int = image.get("dynamic_hd", 36)
        self._mean = torch.tensor(image.get("image_mean") or [0.5] * 3)[:, None, None]
        self._std = torch.tensor(image.get("image_std") or [0.5] * 3)[:, None, None]

    def __call__(self, images: Sequence[NDArray[np.uint8]]) -> dict[str, torch.Tensor]:
        """image_pixel_values (N, 1 + crops, 3, side, side), image_attention_mask likewise, image_sizes (N, 2)."""
        made = [self._crop(image) for image in images]
        most = max(len(crops) for crops, _, _ in made)
        return {
            "image_pixel_values": torch.stack([_lengthened(crops, most, 0.0) for crops, _, _ in made]),
            "image_attention_mask": torch.stack([_lengthened(mask, most, 1.0) for _, mask, _ in made]),
            "image_sizes": torch.tensor([size for _, _, size in made]),
        }

    def _crop(self, image: NDArray[np.uint8]) -> tuple[torch.Tensor, torch.Tensor, tuple[int, int]]:
        height, width = image.shape[:2]
        columns, rows = phi4_grid(height, width, self._side, self._most)
        canvas_height, canvas_width = rows * self._side, columns * self._side
        inner = phi4_inner(height, width, canvas_height, canvas_width)
        pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).float()
        resized = _resized(pixels, inner, "bilinear", antialias=True).round().clamp(0, _WHITE)
        margins = (0, canvas_width - inner[1], 0, canvas_height - inner[0])
        canvas = (pad(resized, margins, value=_WHITE) / _WHITE - self._mean) / self._std
        view = _resized(canvas, (self._side, self._side), "bicubic", antialias=False)
        mask = self._mask(rows, columns, margins)
        cells = self._side // self._patch
        crops = torch.cat([view[None], _cut(canvas, rows, columns)])
        masks = torch.cat([torch.ones(1, 1, cells, cells), _cut(mask[None], rows, columns)])[:, 0]
        return crops, masks, (canvas_height, canvas_width)

    def _mask(self, rows: int, columns: int, margins: tuple[int, int, int, int]) -> torch.Tensor:
        cells = self._side // self._patch
        mask = torch.ones(rows * cells, columns * cells)
        across, down = margins[1] // self._patch, margins[3] // self._patch
        mask[:, columns * cells - across :] = 0
        mask[rows * cells - down :] = 0
        return mask


def _resized(pixels: torch.Tensor, size: tuple[int, int], mode: str, *, antialias: bool) -> torch.Tensor:
    return interpolate(pixels[None], size, mode=mode, antialias=antialias, align_corners=False)[0]


def _cut(canvas: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """(C, rows × h, columns × w) as (rows × columns, C, h, w), row by row."""
    channels, height, width = canvas.shape
    shaped = canvas.reshape(channels, rows, height // rows, columns, width // columns)
    return shaped.permute(1, 3, 0, 2, 4).reshape(-1, channels, height // rows, width // columns)


def _lengthened(crops: torch.Tensor, most: int, value: float) -> torch.Tensor:
    filler = crops.new_full((most - len(crops), *crops.shape[1:]), value)
    return torch.cat([crops, filler])
