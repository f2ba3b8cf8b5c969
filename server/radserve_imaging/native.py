"""Uncompressed pixel data, PS3.5 clause 8: one frame cut out of it, without copying the rest."""

import numpy as np
from numpy.typing import NDArray

from radserve_imaging.elements import Element
from radserve_imaging.errors import CorruptPixelDataError, TruncatedDicomError
from radserve_imaging.header import PixelHeader
from radserve_imaging.samples import Samples, settle
from radserve_imaging.tags import describe


def decode_native(buffer: bytes, pixel_data: Element, header: PixelHeader, index: int) -> Samples:
    """Frame `index` (from 0) as (H, W) or (H, W, 3) stored values."""
    _check_length(len(buffer), pixel_data, header)
    if header.bits_allocated == 1:
        return _unpack_bits(buffer, pixel_data, header, index)
    size = header.bits_allocated // 8
    order = pixel_data.encoding.order
    kind = "f" if header.floating else "u"
    start = pixel_data.start + index * header.frame_samples * size
    if size == 1 and order == ">" and pixel_data.vr == "OW":  # PS3.5 8.1.1: bytes are swapped within words
        raw: NDArray[np.generic] = _swap_words(buffer, pixel_data, index * header.frame_samples, header)
    else:
        raw = np.frombuffer(buffer, f"{order}{kind}{size}", header.frame_samples, start)
    values = raw if order == "<" else raw.astype(f"={kind}{size}")
    shaped = _shape(values, header)
    return shaped if header.floating else settle(shaped, header, header.bits_stored, header.high_bit)


def _check_length(available: int, pixel_data: Element, header: PixelHeader) -> None:
    name = describe(pixel_data.tag)
    expected = (header.frames * header.frame_samples * header.bits_allocated + 7) // 8
    if pixel_data.start + pixel_data.length > available:
        raise TruncatedDicomError(
            f"{name} declares {pixel_data.length:,} bytes, but the file ends after "
            f"{available - pixel_data.start:,}; fetch it again",
            tag=name,
        )
    if pixel_data.length < expected:
        raise CorruptPixelDataError(
            f"{name} has {pixel_data.length:,} bytes, but {header.frames} frame(s) of {header.columns} × "
            f"{header.rows} px need {expected:,}",
            tag=name,
        )


def _swap_words(buffer: bytes, pixel_data: Element, offset: int, header: PixelHeader) -> NDArray[np.uint8]:
    count = (pixel_data.end - pixel_data.start) // 2
    words = np.frombuffer(buffer, "<u2", count, pixel_data.start).byteswap().view(np.uint8)
    return words[offset : offset + header.frame_samples]


def _unpack_bits(buffer: bytes, pixel_data: Element, header: PixelHeader, index: int) -> Samples:
    """PS3.5 8.1.1: the first pixel is the least significant bit; frames follow without padding."""
    first, count = index * header.frame_samples, header.frame_samples
    packed = np.frombuffer(buffer, np.uint8, (first % 8 + count + 7) // 8, pixel_data.start + first // 8)
    bits = np.unpackbits(packed, bitorder="little")[first % 8 :][:count]
    return _shape(bits, header)


def _shape(values: Samples, header: PixelHeader) -> Samples:
    rows, columns = header.rows, header.columns
    if header.samples == 1:
        return values.reshape(rows, columns)
    if header.shares_chroma:  # Y Y Cb Cr for each two pixels
        pairs = values.reshape(rows, columns // 2, 4)
        luma = pairs[:, :, :2].reshape(rows, columns)
        chroma = np.repeat(pairs[:, :, 2:], 2, axis=1)
        return np.dstack((luma, chroma))
    if header.planar:
        return np.moveaxis(values.reshape(header.samples, rows, columns), 0, 2)
    return values.reshape(rows, columns, header.samples)
