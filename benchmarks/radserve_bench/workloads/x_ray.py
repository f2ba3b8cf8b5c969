"""A chest X-ray of 10 MB as a detector sends it, or compressed in a transfer syntax as an archive keeps it."""

import io
from dataclasses import replace
from functools import cache

from pydicom import dcmread

from radserve_bench.errors import BenchError
from radserve_bench.imaging.codecs import NATIVE, SYNTAXES, Syntax, write
from radserve_bench.imaging.objects import Picture, x_ray
from radserve_bench.visit import ImageFile
from radserve_bench.workloads.numbered import (
    NativeFile,
    WindowedFile,
    draw_number,
    windowed_file,
)

VARIANTS = 4
"""How many pictures a compressed X-ray has; each is encoded when it is first needed."""

_NAMES = {
    "jpeg2000": "JPEG 2000",
    "jpeg2000-lossy": "JPEG 2000, 10:1",
    "htj2k": "HTJ2K",
    "jpeg-lossless": "JPEG lossless SV1",
    "jpeg-ls": "JPEG-LS",
    "rle": "RLE",
}
SYNTAX_NAMES = tuple(_NAMES)


@cache
def native_x_ray(side: int | None = None) -> NativeFile:
    """2500 × 2048 px of 15 bits, or `side`² px."""
    picture = _picture(side)
    dataset = dcmread(io.BytesIO(write(picture, NATIVE)))
    return NativeFile("x-ray.dcm", dataset, picture.stored)


def compressed_x_ray(number: int, syntax: str, side: int | None = None) -> ImageFile:
    """The file with a number; 4096 in a row look different. Raises BenchError for a syntax that is not known."""
    return _variant(number % VARIANTS, named_syntax(syntax), side).numbered(number // VARIANTS)


def named_syntax(name: str) -> Syntax:
    """Of SYNTAX_NAMES. Raises BenchError."""
    if name not in _NAMES:
        raise BenchError(f"the transfer syntax {name} is not one of {', '.join(SYNTAX_NAMES)}")
    return next(syntax for syntax in SYNTAXES if syntax.name == _NAMES[name])


@cache
def _variant(variant: int, syntax: Syntax, side: int | None) -> WindowedFile:
    picture = _picture(side)
    stored = picture.stored.copy()
    draw_number(stored, variant + 1, stored.min(), stored.max())
    return windowed_file(f"x-ray-{variant + 1}.dcm", replace(picture, stored=stored), syntax)


@cache
def _picture(side: int | None) -> Picture:
    return x_ray() if side is None else x_ray(side, side)
