"""The imaging baseline: pydicom 3 with its usual plug-ins, as its documentation has one prepare a picture."""

import importlib.util
import io

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

PLUG_INS = {
    "pylibjpeg": "pylibjpeg",
    "libjpeg": "pylibjpeg-libjpeg",
    "openjpeg": "pylibjpeg-openjpeg",
    "rle": "pylibjpeg-rle",
    "jpeg_ls": "pyjpegls",
}
"""Import name and distribution of each. GDCM, which pydicom would prefer, crashes on damaged files."""


def missing_plug_ins() -> list[str]:
    """The distributions that are not installed."""
    return [name for module, name in PLUG_INS.items() if importlib.util.find_spec(module) is None]


def read(data: bytes) -> tuple[NDArray[np.generic], Dataset]:
    """The file's pixels as pydicom decodes them, colour as RGB; and its data set."""
    ds = pydicom.dcmread(io.BytesIO(data))
    return ds.pixel_array, ds


def show(stored: NDArray[np.generic], ds: Dataset) -> NDArray[np.uint8]:
    """Grey (H, W) through modality LUT and window in float64, scaled to uint8; colour as it is."""
    if stored.ndim == 3:
        return stored.astype(np.uint8, copy=False)
    windowed = apply_voi_lut(apply_modality_lut(stored, ds).astype(np.float64), ds)
    least, greatest = windowed.min(), windowed.max()
    return np.asarray((windowed - least) / max(greatest - least, 1e-9) * 255, np.uint8)


def place(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Resize by Pillow's bicubic filter onto a black canvas of `side` × `side` px RGB."""
    image = Image.fromarray(pixels)
    scale = min(side / image.width, side / image.height)
    width, height = round(image.width * scale), round(image.height * scale)
    resized = image.resize((width, height), Image.Resampling.BICUBIC).convert("RGB")
    canvas = Image.new("RGB", (side, side))
    canvas.paste(resized, ((side - width) // 2, (side - height) // 2))
    return np.asarray(canvas)


def render(data: bytes, side: int) -> NDArray[np.uint8]:
    """A DICOM file's bytes as the model would get them, (side, side, 3)."""
    return place(show(*read(data)), side)
