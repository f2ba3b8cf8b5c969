"""Whether the coded data of a JPEG reach the last pixel.

libjpeg fills what is missing before the end marker with mid-grey and a warning that nobody sees, so a frame that
lost bytes in the middle would look like a picture with a grey lower part. The last pixel tells: if it is mid-grey,
the frame is decoded once more with more coded data before the end marker. A frame that is whole does not need them.
(What this misses: a small loss after which the codes, misread, happen to last until the end.)
"""

from collections.abc import Callable

import numpy as np

from radserve_imaging.errors import CorruptPixelDataError
from radserve_imaging.samples import Samples

_EOI = b"\xff\xd9"
_MORE = bytes(range(1, 255, 2)) * 4


def decode_to_end(frame: bytes, bits: int, decode: Callable[[bytes], Samples]) -> Samples:
    """`decode(frame)`, of `bits` a sample; raises CorruptPixelDataError if its data end before its pixels."""
    pixels = np.asarray(decode(frame))
    if np.any(pixels[-1, -1] != 1 << (bits - 1)):
        return pixels
    end = frame.rfind(_EOI)
    if not np.array_equal(decode(frame[:end] + _MORE + frame[end:]), pixels):
        raise CorruptPixelDataError(
            "the JPEG's data end before its last pixel: a part is lost. Fetch it again"
        )
    return pixels
