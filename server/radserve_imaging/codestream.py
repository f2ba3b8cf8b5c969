"""What a compressed frame says about itself, read before any decoder runs.

Decoders trust these headers, and some return half a picture without a word. So the header must agree with the
DICOM attributes, and the frame's parts must lead from one to the next, up to the end marker: jpeg.py, jpeg2000.py.
"""

from dataclasses import dataclass

from radserve_imaging.errors import CorruptPixelDataError

SOI = b"\xff\xd8"
SOC = b"\xff\x4f\xff\x51"


@dataclass(frozen=True, slots=True)
class Codestream:
    """Size in px, bits and sign per sample, components; `lossy` where the coding itself cannot be exact.

    For JPEG also `luma_chroma`: what the JFIF or Adobe marker or the component names say of the coding, or
    None where they say nothing; and `exif`, the first APP1 segment. For JPEG 2000, how many `levels` its
    resolution can be halved without decoding the rest.
    """

    width: int
    height: int
    bits: int
    signed: bool
    components: int
    lossy: bool
    luma_chroma: bool | None = None
    exif: bytes | None = None
    levels: int = 0


def cut_off() -> CorruptPixelDataError:
    """The error for a frame that ends before its end marker, EOI or EOC."""
    return CorruptPixelDataError(
        "the compressed frame ends without its end marker: it is cut off. Fetch the image again"
    )
