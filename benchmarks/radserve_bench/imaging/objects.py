"""The images that the imaging benchmark reads: synthetic, with the sizes, depths and noise of real ones.

Codecs are as fast as their data is noisy, so a smooth phantom would flatter them. Each picture is soft gradients
and ellipses like a body's, edges like bones, and noise in the lowest bits as a detector gives: lossless
JPEG 2000 shrinks the X-ray about two times and the CT about three, as it does with real ones.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import CTImageStorage, DigitalXRayImageStorageForPresentation, UltrasoundImageStorage

Stored = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Picture:
    """Stored values, (H, W) or (H, W, 3), of `bits` bits, and the attributes that say how to show them."""

    name: str
    stored: Stored
    bits: int
    attributes: dict[str, Any]

    @property
    def colour(self) -> bool:
        """Whether a pixel has three samples."""
        return self.stored.ndim == 3


def ct(side: int = 512, *, bits: int = 16) -> Picture:
    """A slice of `side`² px: signed 16 bits, or unsigned 12 with an intercept of −1024, as scanners write."""
    y, x, noise = _grid(side, side, seed=1)
    hu = np.full((side, side), -1000.0)
    hu[(x / 0.8) ** 2 + (y / 0.62) ** 2 < 1] = -90.0  # fat
    hu[(x / 0.74) ** 2 + (y / 0.56) ** 2 < 1] = 45.0  # soft tissue
    for centre in (-0.35, 0.35):
        hu[((x - centre) / 0.25) ** 2 + ((y + 0.05) / 0.38) ** 2 < 1] = -830.0  # lung
    hu[(x / 0.1) ** 2 + ((y - 0.38) / 0.1) ** 2 < 1] = 420.0  # spine
    hu = hu + 25.0 * np.sin(9 * x) * np.cos(7 * y) + 12.0 * noise
    shown = {"Modality": "CT", "SOPClassUID": CTImageStorage, "WindowCenter": 40, "WindowWidth": 400}
    scaled = {**shown, "RescaleSlope": 1, "RescaleIntercept": -1024 if bits == 12 else 0, "RescaleType": "HU"}
    if bits == 12:
        return Picture("CT 12 bit", np.clip(hu + 1024, 0, 4095).astype(np.uint16), 12, scaled)
    return Picture("CT 16 bit", np.clip(hu, -1024, 3071).astype(np.int16), 16, scaled)


def x_ray(rows: int = 2500, columns: int = 2048, *, bits: int = 15) -> Picture:
    """A chest of `rows` × `columns` px, unsigned; at 15 bits and full size it holds 10 MB."""
    y, x, noise = _grid(rows, columns, seed=2)
    body = np.exp(-((x / 0.75) ** 4) - (y / 1.1) ** 6)
    lungs = sum(np.exp(-(((x - c) / 0.22) ** 4) - ((y + 0.1) / 0.55) ** 4) for c in (-0.38, 0.38))
    ribs = np.clip(np.sin(26 * (y + 0.35 * np.abs(x))), 0, None) ** 4
    level = 0.15 + 0.6 * body - 0.35 * lungs + 0.07 * ribs * body
    spread = 0.004 if bits > 8 else 0.008
    stored = np.clip((level + spread * noise) * (2**bits - 1), 0, 2**bits - 1)
    shown = {"Modality": "DX", "SOPClassUID": DigitalXRayImageStorageForPresentation}
    window = {"WindowCenter": int(0.45 * 2**bits), "WindowWidth": int(0.5 * 2**bits)}
    identity = {
        "RescaleIntercept": 0,
        "RescaleSlope": 1,
        "RescaleType": "US",
    }  # PS3.3 C.8.11.3 asks for these
    kind = np.uint8 if bits == 8 else np.uint16
    return Picture(f"X-ray {bits} bit", stored.astype(kind), bits, {**shown, **identity, **window})


def ultrasound(rows: int = 768, columns: int = 1024) -> Picture:
    """A fan of speckle on black with a colour box, RGB of 8 bits."""
    y, x, noise = _grid(rows, columns, seed=3)
    depth, angle = np.hypot(x, y + 1), np.arctan2(x, y + 1)
    fan = (np.abs(angle) < 0.6) & (depth > 0.2) & (depth < 1.9)
    grey = np.where(fan, 90 + 40 * np.sin(8 * depth) + 30 * noise, 0)
    rgb = np.repeat(np.clip(grey, 0, 255)[:, :, None], 3, axis=2)
    rgb[(np.abs(x) < 0.2) & (np.abs(y) < 0.2) & (grey > 110)] *= (1.0, 0.3, 0.2)
    shown = {"Modality": "US", "SOPClassUID": UltrasoundImageStorage}
    return Picture("ultrasound RGB", rgb.astype(np.uint8), 8, shown)


def _grid(rows: int, columns: int, seed: int) -> tuple[Stored, Stored, Stored]:
    """Coordinates from −1 to 1, and noise of standard deviation 1 that is a little smooth, as a detector's."""
    y, x = np.meshgrid(np.linspace(-1, 1, rows), np.linspace(-1, 1, columns), indexing="ij", sparse=True)
    noise = np.random.default_rng(seed).standard_normal((rows, columns))
    return y, x, 0.8 * noise + 0.6 * np.roll(noise, 1, axis=1)
