"""From an image of any size to the canvas the model sees: physical aspect, fit, antialiased resize."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from radserve_imaging.policy import ImagePolicy
from radserve_imaging.record import Placement

Pixels = NDArray[np.uint8]

# Box-reduce to no less than twice the target first, then filter: half the work on an X-ray, for 0.1 to 0.3 grey
# levels of difference on average, and 10 at most (tests/imaging/test_geometry.py).
_REDUCING_GAP = 2.0
_BICUBIC = Image.Resampling.BICUBIC


@dataclass(frozen=True, slots=True)
class Layout:
    """A canvas (width, height) in px, and where the image lies on it."""

    size: tuple[int, int]
    placement: Placement


@dataclass(frozen=True, slots=True)
class Extent:
    """An image's true size in px, of which `levels` wavelet levels were left out."""

    width: int
    height: int
    levels: int

    @property
    def box(self) -> tuple[float, float, float, float]:
        """The image's edges in px of what is left, which the right and lower edge pass by less than half a px.

        A low-pass sample stands on the first of the 2 ** levels px that it covers (ITU-T T.800 F.3: its filters are
        odd and symmetric about even places), not on the centre of them all.
        """
        scale = 0.5**self.levels
        offset = 0.5 - 0.5 * scale
        return offset, offset, self.width * scale + offset, self.height * scale + offset


def lay_out(width: int, height: int, aspect: float, policy: ImagePolicy) -> Layout:
    """Where a `width` × `height` px image with pixels `aspect` times as high as wide goes under `policy`."""
    true_height = height * aspect
    if policy.fit == "stretch":
        return _filling(policy.width, policy.height)
    if policy.fit == "within":
        return _filling(*_within(width, true_height, policy))
    scale = min(policy.width / width, policy.height / true_height)
    w = min(policy.width, max(1, round(width * scale)))
    h = min(policy.height, max(1, round(true_height * scale)))
    placement = Placement((policy.width - w) // 2, (policy.height - h) // 2, w, h)
    return Layout((policy.width, policy.height), placement)


def place(pixels: Pixels, layout: Layout, background: int, extent: Extent | None = None) -> Pixels:
    """Resize `pixels`, (H, W) or (H, W, 3) uint8, onto the canvas; gives (H, W, 3), C-contiguous.

    `extent` tells of which image they are the low wavelet levels.
    """
    at = layout.placement
    resized = _resize(pixels, at.width, at.height, extent)
    width, height = layout.size
    canvas = np.full((height, width, 3), background, np.uint8)
    image = canvas[at.y : at.y + at.height, at.x : at.x + at.width]
    if resized.ndim == 3:
        image[:] = resized
    else:
        for channel in range(3):  # one by one: broadcasting over the last axis takes numpy five times as long
            image[:, :, channel] = resized
    return canvas


def _resize(pixels: Pixels, width: int, height: int, extent: Extent | None) -> Pixels:
    if pixels.shape[:2] == (height, width):
        return pixels
    box = (0.0, 0.0, float(pixels.shape[1]), float(pixels.shape[0]))
    if extent is not None and extent.levels:
        pixels, box = np.pad(pixels, ((0, 1), (0, 1), (0, 0))[: pixels.ndim], mode="edge"), extent.box
    across = max(1, int((box[2] - box[0]) / width / _REDUCING_GAP))
    down = max(1, int((box[3] - box[1]) / height / _REDUCING_GAP))
    if across > 1 or down > 1:
        pixels = np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).reduce((across, down)))
        box = (box[0] / across, box[1] / down, box[2] / across, box[3] / down)
    rows = _filter_columns(pixels, height, box[1], box[3])
    return np.asarray(Image.fromarray(rows).resize((width, height), _BICUBIC, (box[0], 0.0, box[2], height)))


def _filter_columns(pixels: Pixels, height: int, top: float, bottom: float) -> Pixels:
    """The rows from `top` to `bottom` as `height` rows.

    Each byte of a row depends on those above and below it only, so a row may be handed to Pillow as px of four
    bytes, whatever it holds: Pillow is quickest at these, and takes them without a copy.
    """
    size = pixels[0].size
    flat = pixels.reshape(len(pixels), size)
    if size % 4:
        flat = np.pad(flat, ((0, 0), (0, -size % 4)))
    flat = np.ascontiguousarray(flat)
    quads = (flat.shape[1] // 4, len(flat))
    image = Image.frombuffer("RGBX", quads, flat.data, "raw", "RGBX", 0, 1)  # type: ignore[arg-type]
    filtered = image.resize((quads[0], height), _BICUBIC, (0.0, top, quads[0], bottom))
    rows = np.asarray(filtered).reshape(height, -1)[:, :size].reshape(height, *pixels.shape[1:])
    return np.ascontiguousarray(rows)


def _filling(width: int, height: int) -> Layout:
    return Layout((width, height), Placement(0, 0, width, height))


def _within(width: float, height: float, policy: ImagePolicy) -> tuple[int, int]:
    """Sides nearest to the image's own, as multiples; if that is too large, shrunk and rounded down.

    The rule of Qwen2-VL's processor, so that it leaves what it gets as it is.
    """
    step, area = policy.multiple, policy.width * policy.height
    w, h = (max(step, round(side / step) * step) for side in (width, height))
    if w * h > area:
        shrink = math.sqrt(area / (width * height))
        w, h = (max(step, math.floor(side * shrink / step) * step) for side in (width, height))
    while w * h > area:  # the shorter side was held at one step: take from the longer
        excess = max(step, (max(w, h) - area // min(w, h)) // step * step)
        w, h = (w - excess, h) if w >= h else (w, h - excess)
    return w, h
