"""Uncompressed pixel data, PS3.5 clause 8: one frame cut out of it, without copying the rest."""

import numpy as np
from numpy.typing import NDArray

from radserve_imaging.elements import Element
from radserve_imaging.errors import CorruptPixelDataError, TruncatedDicomError
from radserve_imaging.header import PixelHeader
from radserve_imaging.samples import Samples, bytes_for, settle
from radserve_imaging.tags import describe


def decode_native(buffer: bytes, pixel_data: Element, header: PixelHeader, index: int) -> Samples:
    """Frame `index` (from 0) as (H, W) or (H, W, 3) stored values, once `check_length` has passed."""
    if header.bits_allocated in (8, 16, 32, 64):
        raw = _read_words(buffer, pixel_data, header, index)
    else:
        raw = _unpack_cells(buffer, pixel_data, header, index)
    shaped = _shape(raw, header)
    return shaped if header.floating else settle(shaped, header, header.bits_stored, header.high_bit)


def check_length(buffer: bytes, pixel_data: Element, header: PixelHeader) -> tuple[str, ...]:
    """Refuse pixel data that is cut off, or whose length is not what its header needs; gives warnings.

    More is allowed where all of it is zero: some writers fill up to whole blocks.
    """
    name = describe(pixel_data.tag)
    expected = (header.frames * header.frame_samples * header.bits_allocated + 7) // 8
    end = pixel_data.start + pixel_data.length
    if end > len(buffer):
        raise TruncatedDicomError(
            f"{name} declares {pixel_data.length:,} bytes, but the file ends after "
            f"{len(buffer) - pixel_data.start:,}; fetch it again",
            tag=name,
        )
    excess = pixel_data.length - expected
    if excess in (0, 1):
        return ()
    if excess < 0 or buffer[pixel_data.start + expected : end].strip(b"\0"):
        raise CorruptPixelDataError(
            f"{name} has {pixel_data.length:,} bytes, but {header.frames} frame(s) of {header.columns} × "
            f"{header.rows} px need {expected:,}",
            tag=name,
        )
    return (f"{name} has {excess:,} bytes more than its frames need, all of them zero",)


def _read_words(buffer: bytes, pixel_data: Element, header: PixelHeader, index: int) -> NDArray[np.generic]:
    size, order = header.bits_allocated // 8, pixel_data.encoding.order
    first, count = index * header.frame_samples, header.frame_samples
    if size == 1 and _swapped(pixel_data):
        return _in_order(buffer, pixel_data)[first : first + count]
    kind = "f" if header.floating else "u"
    raw = np.frombuffer(buffer, f"{order}{kind}{size}", count, pixel_data.start + first * size)
    return raw if order == "<" else raw.astype(f"={kind}{size}")


def _unpack_cells(buffer: bytes, pixel_data: Element, header: PixelHeader, index: int) -> NDArray[np.generic]:
    """Samples whose bits follow each other without regard to bytes, PS3.5 8.1.1 and annex D.

    The first begins in the least significant bit of the first byte, and frames follow without padding. Eight
    samples fill as many bytes as each has bits, so each of the eight is cut out of all groups at once.
    """
    bits = header.bits_allocated
    first, count = index * header.frame_samples, header.frame_samples
    group, skipped = divmod(first, 8)
    groups = (skipped + count + 7) // 8
    stored = _in_order(buffer, pixel_data)[group * bits : (group + groups) * bits]
    if bits == 1:
        return np.unpackbits(stored, bitorder="little")[skipped : skipped + count]
    packed = np.zeros(groups * bits, np.uint8)
    packed[: stored.size] = stored
    octets = packed.reshape(groups, bits)
    cells = np.empty((groups, 8), f"u{bytes_for(bits)}")
    for cell in range(8):
        start, shift = divmod(cell * bits, 8)
        value = np.zeros(groups, np.uint64)
        for i in range(start, (cell * bits + bits + 7) // 8):
            value |= octets[:, i].astype(np.uint64) << np.uint64(8 * (i - start))
        cells[:, cell] = value >> np.uint64(shift) & np.uint64(2**bits - 1)
    return cells.ravel()[skipped : skipped + count]


def _swapped(pixel_data: Element) -> bool:
    """Whether bytes stand swapped within words of 16 bits (PS3.5 8.1.1)."""
    return pixel_data.encoding.big_endian and pixel_data.vr == "OW"


def _in_order(buffer: bytes, pixel_data: Element) -> NDArray[np.uint8]:
    """All bytes of the pixel data, the least significant of each word first."""
    octets = np.frombuffer(buffer, np.uint8, pixel_data.length, pixel_data.start)
    if not _swapped(pixel_data):
        return octets
    words = octets[: octets.size // 2 * 2].reshape(-1, 2)
    return np.concatenate((words[:, ::-1].ravel(), octets[words.size :]))


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
