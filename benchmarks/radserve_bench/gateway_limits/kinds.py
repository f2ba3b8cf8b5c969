"""What studies are made of, as far as the gateway's work depends on it: the codec above all, then the size.

Each visit's bytes are its own, so that every image is decoded anew. Compressed ones differ in their header only;
what the gateway does with them is the same.
"""

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from radserve_bench.imaging.codecs import SYNTAXES
from radserve_bench.imaging.objects import Picture, ct, x_ray
from radserve_bench.visit import ImageFile, Visit
from radserve_bench.workloads.kinds import Files, series_of, slices_of, x_rays
from radserve_bench.workloads.numbered import WindowedFile, windowed_file
from radserve_imaging import encode_png

_QUESTION = ("What abnormality is seen in the image?",)
_JPEG_2000 = next(syntax for syntax in SYNTAXES if syntax.name == "JPEG 2000")
_PNG_SIDE = 448
_IEND = 12  # bytes of a PNG's last chunk


@dataclass(frozen=True, slots=True)
class StudyKind:
    """`key` names it on a command line, `name` in a table; `stack`: its files are the slices of one series."""

    key: str
    name: str
    files: Files
    stack: bool = False

    def visit(self, number: int) -> Visit:
        """One study of the kind, unlike those of other numbers, and one question about it."""
        return Visit(self.name, self.files(number), _QUESTION, self.stack)


def _ct_in_jpeg_2000(number: int) -> tuple[ImageFile, ...]:
    return (_compressed(ct).numbered(number),)


def _x_ray_in_jpeg_2000(number: int) -> tuple[ImageFile, ...]:
    return (_compressed(x_ray).numbered(number),)


def _png(number: int) -> tuple[ImageFile, ...]:
    """With the number in a text chunk (PNG, 11.3.3.3)."""
    whole = _screenshot()
    text = b"tEXtnumber\0%d" % number
    chunk = len(text[4:]).to_bytes(4, "big") + text + zlib.crc32(text).to_bytes(4, "big")
    return (ImageFile("screenshot.png", "image/png", whole[:-_IEND], chunk, whole[-_IEND:]),)


@cache
def _screenshot() -> bytes:
    """A CT slice as somebody might export it."""
    stored = ct(_PNG_SIDE).stored
    grey = np.clip((stored + 160.0) / 400 * 255, 0, 255).astype(np.uint8)
    return encode_png(np.repeat(grey[:, :, None], 3, axis=2))


@cache
def _compressed(make: Callable[[], Picture]) -> WindowedFile:
    return windowed_file("jpeg2000.dcm", make(), _JPEG_2000)


KINDS: Mapping[str, StudyKind] = {
    kind.key: kind
    for kind in (
        StudyKind("png", f"PNG, {_PNG_SIDE}²", _png),
        StudyKind("ct", "CT slice, uncompressed", slices_of().files),
        StudyKind("ct-j2k", "CT slice, JPEG 2000", _ct_in_jpeg_2000),
        StudyKind("xray", "X-ray, uncompressed", x_rays().files),
        StudyKind("xray-j2k", "X-ray, JPEG 2000", _x_ray_in_jpeg_2000),
        StudyKind("series", "CT series, 20 slices", series_of().files, stack=True),
    )
}
