"""Compressed frames: the codestream's header is compared with the DICOM attributes, then imagecodecs decodes.

imagecodecs' decoders return the raw codes; the sign is the header's to tell, and is extended here, because
JPEG and JPEG-LS codestreams cannot carry one and some JPEG 2000 codestreams carry the wrong one.
"""

from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import imagecodecs
import numpy as np

from radserve_imaging.codestream import Codestream
from radserve_imaging.errors import CorruptPixelDataError, UnsupportedPixelFormatError
from radserve_imaging.header import PixelHeader
from radserve_imaging.jpeg import read_jpeg
from radserve_imaging.jpeg2000 import read_jpeg2000
from radserve_imaging.jpeg_end import decode_to_end
from radserve_imaging.resolution import decode_reduced, feasible_levels, reduced_size
from radserve_imaging.rle import decode_rle
from radserve_imaging.samples import Samples, settle
from radserve_imaging.syntaxes import Family
from radserve_imaging.tags import BITS_ALLOCATED, describe

_FAILURES = (
    imagecodecs.Jpeg8Error,
    imagecodecs.JpeglsError,
    imagecodecs.Jpeg2kError,
    OSError,
    SyntaxError,
    ValueError,
    RuntimeError,
)


@dataclass(frozen=True, slots=True)
class DecodedFrame:
    """Stored values, (H, W) or (H, W, 3); the samples' colour coding; and what was odd.

    `levels` tells how many times the frame's sides were halved by leaving wavelet levels out, rounded up.
    """

    values: Samples
    coding: str
    warnings: tuple[str, ...] = ()
    levels: int = 0


def decode_compressed(frame: bytes, family: Family, header: PixelHeader, levels: int = 0) -> DecodedFrame:
    """Decode one frame of any compressed transfer syntax; raises CorruptPixelDataError.

    Up to `levels` wavelet levels are left out, where the codestream has them and its values allow it.
    """
    if header.bits_allocated not in (8, 16, 32, 64) or header.floating:
        name = describe(BITS_ALLOCATED)
        raise UnsupportedPixelFormatError(
            f"{name} is {header.bits_allocated} in a compressed frame", tag=name
        )
    if family == "rle":
        raw = decode_rle(frame, header)
        return DecodedFrame(settle(raw, header, header.bits_stored, header.high_bit), header.photometric)
    return _decode_codestream(frame, family, header, levels)


def _decode_codestream(frame: bytes, family: Family, header: PixelHeader, levels: int) -> DecodedFrame:
    wavelet = family == "jpeg2000"
    codestream = read_jpeg2000(frame) if wavelet else read_jpeg(frame)
    _check_agreement(codestream, header)
    try:
        raw, levels = _decode_at(frame, family, codestream, header, levels)
    except _FAILURES as error:
        raise CorruptPixelDataError(f"the compressed frame cannot be decoded: {error}") from error
    expected = _shape(header, levels)
    if raw.shape != expected:
        raise CorruptPixelDataError(f"the frame decodes to {raw.shape}, where {expected} was declared")
    values = _as_stored(raw, codestream, header, levels > 0)
    warnings = _oddities(codestream, header, wavelet)
    return DecodedFrame(values, _coding(codestream, family, header), warnings, levels)


def _decode_at(
    frame: bytes, family: Family, codestream: Codestream, header: PixelHeader, levels: int
) -> tuple[Samples, int]:
    """The frame's codes without `levels` wavelet levels, or without fewer; and how many were left out."""
    levels = feasible_levels(frame, codestream, header, levels)
    if levels:
        with suppress(*_FAILURES):  # what it cannot read may still be read in full
            reduced = decode_reduced(frame, codestream, levels)
            if reduced.shape == _shape(header, levels):
                return reduced, levels
    return _decode(frame, family, codestream), 0


def _shape(header: PixelHeader, levels: int) -> tuple[int, ...]:
    size = reduced_size(header, levels)
    return (*size, 3) if header.samples == 3 else size


def _decode(frame: bytes, family: Family, codestream: Codestream) -> Samples:
    if family == "jpeg-ls":
        return np.asarray(imagecodecs.jpegls_decode(frame))
    if family == "jpeg2000":
        return np.asarray(imagecodecs.jpeg2k_decode(frame, numthreads=1))
    # Naming one colour space for in and out keeps the codes as they are; they are converted later.
    space = "RGB" if codestream.components == 3 else None
    decode = partial(imagecodecs.jpeg8_decode, colorspace=space, outcolorspace=space)
    return decode_to_end(frame, codestream.bits, decode)


def _check_agreement(codestream: Codestream, header: PixelHeader) -> None:
    said = (codestream.width, codestream.height, codestream.components)
    declared = (header.columns, header.rows, header.samples)
    if said != declared:
        raise CorruptPixelDataError(
            f"the compressed frame is {said[0]} × {said[1]} px of {said[2]} component(s), but the DICOM "
            f"header says {declared[0]} × {declared[1]} px of {declared[2]}"
        )
    if codestream.bits > header.bits_allocated:
        raise CorruptPixelDataError(
            f"the compressed frame has {codestream.bits} bits, but {header.bits_allocated} are allocated"
        )


def _oddities(codestream: Codestream, header: PixelHeader, wavelet: bool) -> tuple[str, ...]:
    found = []
    if codestream.bits != header.bits_stored:
        found.append(f"Bits Stored is {header.bits_stored}, but the codestream has {codestream.bits} bits")
    if wavelet and codestream.signed != header.signed:
        sign = "signed" if header.signed else "unsigned"
        found.append(
            f"Pixel Representation is {sign}, but the codestream is not; values were taken as signed"
        )
    return tuple(found)


def _as_stored(raw: Samples, codestream: Codestream, header: PixelHeader, filtered: bool) -> Samples:
    """The codes in the allocated width, their sign extended from the last bit both headers agree on.

    If only one of the headers says signed, it is right: an encoder cannot claim a sign it was not told of.
    """
    bits = min(codestream.bits, header.bits_stored)
    header = replace(header, signed=header.signed or codestream.signed)
    if (codestream.lossy or filtered) and not header.signed and codestream.bits > bits:
        # Lossy coding and filters ring: what overshoots white must not lose its highest bit and become black.
        raw = np.minimum(raw, 2**bits - 1)
    size = header.bits_allocated // 8
    codes = raw.view(f"u{size}") if raw.dtype.itemsize == size else raw.astype(f"u{size}")
    return settle(codes, header, bits, bits - 1)


def _coding(codestream: Codestream, family: Family, header: PixelHeader) -> str:
    """What the decoded samples are: JPEG may say so itself, JPEG 2000 has undone its own transform."""
    if header.samples == 1:
        return header.photometric
    if family == "jpeg" and codestream.luma_chroma is not None:
        return "YBR_FULL" if codestream.luma_chroma else "RGB"
    if header.photometric in ("YBR_RCT", "YBR_ICT"):
        return "RGB"
    return "YBR_FULL" if header.photometric == "YBR_FULL_422" else header.photometric
