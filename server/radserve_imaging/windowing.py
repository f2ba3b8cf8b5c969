"""Windows over modality values, PS3.3 C.11.2.1.2 and C.11.2.1.3.

A window says which values become visible. With centre c and width w, LINEAR shows

    ((x − (c − 0.5)) / (w − 1) + 0.5), black for x ≤ c − 0.5 − (w − 1)/2, white for x > c − 0.5 + (w − 1)/2

so W400/L40 runs from −160 (black) to 239 HU (white), not from −160 to 240: of 400 integers, the first is
black and the last is white. LINEAR_EXACT drops the halves, (x − c)/w + 0.5, and suits values that are not
integers. SIGMOID is 1 / (1 + exp(−4 (x − c)/w)): it never reaches black or white.

Viewers compute these very formulas, so a model rendered through them sees what its reader sees.
"""

import numpy as np
from numpy.typing import NDArray

from radserve_imaging.policy import Window

Values = NDArray[np.float64]

_STEEPEST = 50.0  # exp() of more says nothing new


def apply_window(values: Values, window: Window) -> Values:
    """Modality values (any shape, float64) as brightness from 0 (black) to 1 (white)."""
    if window.function == "SIGMOID":
        steepness = np.clip(-4.0 * (values - window.center) / window.width, -_STEEPEST, _STEEPEST)
        return 1.0 / (1.0 + np.exp(steepness))
    if window.function == "LINEAR_EXACT":
        return np.clip((values - window.center) / window.width + 0.5, 0.0, 1.0)
    center, width = window.center - 0.5, window.width - 1.0
    if width == 0:  # C.11.2.1.2.1: a width of 1 is a threshold
        return np.where(values > center, 1.0, 0.0)
    return np.clip((values - center) / width + 0.5, 0.0, 1.0)


def window_between(low: float, high: float) -> Window:
    """The window that shows `low` as black and `high` as white; equal ends show as black."""
    width = high - low if high > low else 1.0
    return Window(low + width / 2, width, "LINEAR_EXACT")


def to_bytes(brightness: Values) -> NDArray[np.uint8]:
    """Brightness 0…1 as 0…255, rounded to nearest."""
    return (brightness * 255.0 + 0.5).astype(np.uint8)
