"""PNG and JPEG, a screenshot or an export perhaps: decoded to grey or RGB as a viewer shows it."""

import io
import struct
import zlib
from dataclasses import dataclass

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from radserve_imaging.errors import (
    CorruptPixelDataError,
    InvalidFrameError,
    InvalidWindowError,
    PresentationStateError,
    UnsupportedPhotometricError,
)
from radserve_imaging.grayscale import GrayFrame
from radserve_imaging.jpeg import read_jpeg
from radserve_imaging.jpeg_end import decode_to_end
from radserve_imaging.limits import Limits
from radserve_imaging.media import MediaType
from radserve_imaging.modality import ModalityTransform
from radserve_imaging.picture import Picture, Reading, Shown
from radserve_imaging.policy import ImagePolicy
from radserve_imaging.population import Census
from radserve_imaging.samples import Samples
from radserve_imaging.stopwatch import counted_as_decoding
from radserve_imaging.voi import Subject, choose_voi

_PNG_FAILURES = (OSError, SyntaxError, ValueError, LookupError, EOFError, struct.error, zlib.error, TypeError)
_EXIF_HEADER = b"Exif\x00\x00"
_ORIENTATION = 0x0112


@dataclass(frozen=True, slots=True)
class Photograph:
    """`pixels` is (H, W) or (H, W, 3) uint8, or (H, W) uint16 for 16-bit grey; `coding` says what it was."""

    pixels: Samples
    coding: str
    warnings: tuple[str, ...] = ()


@counted_as_decoding
def decode_jpeg(data: bytes, limits: Limits) -> Photograph:
    """Decode a baseline or progressive JPEG, upright. Raises ImagingError."""
    header = read_jpeg(data)
    limits.check_frame(header.width, header.height)
    if header.components not in (1, 3):
        raise UnsupportedPhotometricError(
            f"the JPEG has {header.components} components, CMYK probably; convert it to RGB or grey"
        )
    try:
        pixels = decode_to_end(data, header.bits, imagecodecs.jpeg8_decode)
    except (imagecodecs.Jpeg8Error, ValueError) as error:
        raise CorruptPixelDataError(f"the JPEG cannot be decoded: {error}") from error
    coding = "GRAY" if header.components == 1 else "RGB"
    if pixels.dtype != np.uint8:
        pixels = (pixels >> (header.bits - 8)).astype(np.uint8)
    pixels, warnings = _upright(pixels, header.exif)
    return Photograph(pixels, coding, warnings)


@counted_as_decoding
def decode_png(data: bytes, background: int, limits: Limits) -> Photograph:
    """Decode a PNG, upright, its transparency laid over the grey level `background`. Raises ImagingError."""
    if len(data) < 33 or data[12:16] != b"IHDR":
        raise CorruptPixelDataError("the PNG is cut off before its header chunk (IHDR)")
    limits.check_frame(*struct.unpack_from(">II", data, 16))
    if b"IEND" not in data:
        raise CorruptPixelDataError("the PNG ends without its end chunk (IEND): it is cut off")
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            image.load()
            exif = image.info.get("exif")
            pixels, coding = _composite(image, background)
    except _PNG_FAILURES as error:
        raise CorruptPixelDataError(f"the PNG cannot be decoded: {error}") from error
    upright, warnings = _upright(pixels, exif if isinstance(exif, bytes) else None)
    return Photograph(upright, coding, warnings)


def show_photograph(
    data: bytes, media_type: MediaType, policy: ImagePolicy, reading: Reading, limits: Limits
) -> Picture:
    """A PNG or JPEG as it is, but 16-bit grey through a window, for it often holds 12 bits only."""
    if reading.presentation_state is not None or reading.overlays:
        raise PresentationStateError("presentation states and overlays apply to DICOM, not to PNG or JPEG")
    if reading.frame not in (None, 1):
        raise InvalidFrameError(f"frame {reading.frame} was asked for, but a PNG or JPEG has one frame")
    png = media_type == "image/png"
    photograph = decode_png(data, policy.background, limits) if png else decode_jpeg(data, limits)
    return Picture(_show(photograph, policy, reading), photograph.coding, warnings=photograph.warnings)


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """PNG of an (H, W, 3) RGB or (H, W) grey uint8 array."""
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(out, "PNG", compress_level=4)
    return out.getvalue()


def _show(photograph: Photograph, policy: ImagePolicy, reading: Reading) -> Shown:
    if photograph.pixels.dtype == np.uint8:
        if reading.window is not None:
            raise InvalidWindowError("a window applies to DICOM and 16-bit grey PNG, not to 8-bit pictures")
        return Shown(photograph.pixels)
    gray = GrayFrame(photograph.pixels, ModalityTransform())
    voi = choose_voi(Subject(), lambda: Census(gray.population, "the picture"), reading.window, policy)
    return Shown(gray.show(voi.vois), voi=voi.record)


def _composite(image: Image.Image, background: int) -> tuple[Samples, str]:
    """Grey stays grey, at 16 bits too; all else becomes RGB, without transparency."""
    transparent = image.mode in ("LA", "RGBA", "PA") or "transparency" in image.info
    if image.mode.startswith("I") and not transparent:
        return np.asarray(image).astype(np.uint16), "GRAY16"
    if image.mode in ("1", "L") and not transparent:
        return np.asarray(image.convert("L")), "GRAY"
    if not transparent:
        return np.asarray(image.convert("RGB")), "PALETTE" if image.mode == "P" else "RGB"
    over = image.convert("RGBA")
    canvas = Image.new("RGBA", over.size, (background, background, background, 255))
    return np.asarray(Image.alpha_composite(canvas, over).convert("RGB")), "RGBA"


def _upright(pixels: Samples, exif: bytes | None) -> tuple[Samples, tuple[str, ...]]:
    """Turn by the EXIF orientation (CIPA DC-008, tag 0112); 1 and nonsense leave the image as it is."""
    orientation = _orientation(exif) if exif else 1
    if orientation not in range(2, 9):
        return pixels, ()
    if orientation >= 5:
        pixels = np.swapaxes(pixels, 0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels), (f"turned upright by its EXIF orientation {orientation}",)


def _orientation(exif: bytes) -> int:
    """The orientation entry of IFD0, or 1."""
    tiff = exif.removeprefix(_EXIF_HEADER)
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None or len(tiff) < 8:
        return 1
    (start,) = struct.unpack_from(f"{order}I", tiff, 4)
    if start + 2 > len(tiff):
        return 1
    (count,) = struct.unpack_from(f"{order}H", tiff, start)
    for entry in range(start + 2, min(start + 2 + 12 * count, len(tiff) - 11), 12):
        tag, kind, _, value = struct.unpack_from(f"{order}HHIH", tiff, entry)
        if tag == _ORIENTATION and kind == 3:
            return int(value)
    return 1
