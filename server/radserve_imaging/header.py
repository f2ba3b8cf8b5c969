"""The Image Pixel attributes, PS3.3 C.7.6.3, read once, checked against limits and against each other."""

from dataclasses import dataclass

from radserve_imaging.attributes import Attributes, bad_value
from radserve_imaging.errors import MissingAttributeError, UnsupportedPixelFormatError
from radserve_imaging.limits import Limits
from radserve_imaging.tags import (
    BITS_ALLOCATED,
    BITS_STORED,
    COLUMNS,
    DOUBLE_FLOAT_PIXEL_DATA,
    FLOAT_PIXEL_DATA,
    HIGH_BIT,
    NUMBER_OF_FRAMES,
    PHOTOMETRIC_INTERPRETATION,
    PIXEL_REPRESENTATION,
    PLANAR_CONFIGURATION,
    ROWS,
    SAMPLES_PER_PIXEL,
    describe,
)


@dataclass(frozen=True, slots=True)
class PixelHeader:
    """How frames are laid out: sizes in px and bits, samples per pixel, sign, frame count."""

    rows: int
    columns: int
    samples: int
    photometric: str
    planar: bool
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    floating: bool
    frames: int

    @property
    def shares_chroma(self) -> bool:
        """Whether a native frame holds one pair of chroma samples for each two pixels (C.7.6.3.1.2)."""
        return self.photometric == "YBR_FULL_422" and self.samples == 3

    @property
    def frame_samples(self) -> int:
        """Samples in one native frame."""
        per_pixel = 2 if self.shares_chroma else self.samples
        return self.rows * self.columns * per_pixel


def read_pixel_header(attributes: Attributes, limits: Limits) -> PixelHeader:
    """Read and check; raises MissingAttributeError, InvalidAttributeError, TooLargeError and the like."""
    rows, columns = attributes.required(ROWS), attributes.required(COLUMNS)
    for tag, side in ((ROWS, rows), (COLUMNS, columns)):
        if side < 1:
            raise bad_value(tag, side, "an image has at least one")
    limits.check_frame(columns, rows, f"{describe(ROWS)} and {describe(COLUMNS)}")
    frames = attributes.integer(NUMBER_OF_FRAMES, "IS") or 1
    if frames < 1:
        raise bad_value(NUMBER_OF_FRAMES, frames, "an image has at least one")
    limits.check_frames(frames, describe(NUMBER_OF_FRAMES))
    floating = attributes.element(FLOAT_PIXEL_DATA) or attributes.element(DOUBLE_FLOAT_PIXEL_DATA)
    allocated = attributes.required(BITS_ALLOCATED)
    stored = (None if floating else attributes.integer(BITS_STORED)) or allocated
    high = attributes.integer(HIGH_BIT)
    header = PixelHeader(
        rows=rows,
        columns=columns,
        samples=attributes.integer(SAMPLES_PER_PIXEL) or 1,
        photometric=_photometric(attributes),
        planar=attributes.integer(PLANAR_CONFIGURATION) == 1,
        bits_allocated=allocated,
        bits_stored=stored,
        high_bit=stored - 1 if high is None or floating else high,
        signed=attributes.integer(PIXEL_REPRESENTATION) == 1,
        floating=floating is not None,
        frames=frames,
    )
    _check_bits(header)
    return header


def _photometric(attributes: Attributes) -> str:
    photometric = attributes.text(PHOTOMETRIC_INTERPRETATION)
    if photometric is None:
        name = describe(PHOTOMETRIC_INTERPRETATION)
        raise MissingAttributeError(f"{name} is missing: white might be black", tag=name)
    return photometric.upper()[:16]


def _check_bits(header: PixelHeader) -> None:
    readable = (32, 64) if header.floating else (*range(1, 33), 64)
    if header.bits_allocated not in readable:
        name = describe(BITS_ALLOCATED)
        raise UnsupportedPixelFormatError(
            f"{name} is {header.bits_allocated}; {'32' if header.floating else '1 to 32'} and 64 are read here. "
            "Ask the archive to convert",
            tag=name,
        )
    if not 1 <= header.bits_stored <= header.bits_allocated:
        raise bad_value(BITS_STORED, header.bits_stored, f"{header.bits_allocated} bits are allocated")
    if not header.bits_stored - 1 <= header.high_bit < header.bits_allocated:
        raise bad_value(HIGH_BIT, header.high_bit, f"impossible with {header.bits_stored} bits stored")
    if header.samples not in (1, 3):
        raise bad_value(SAMPLES_PER_PIXEL, header.samples, "1 (grey, palette) or 3 (colour) is read")
    if header.shares_chroma and header.columns % 2:
        raise bad_value(COLUMNS, header.columns, "YBR_FULL_422 needs an even number")
