"""A JPEG that lost data in its middle still has its end marker, and libjpeg shows the rest as grey."""

import imagecodecs
import numpy as np
import pytest

from radserve_imaging.errors import CorruptPixelDataError
from radserve_imaging.jpeg_end import decode_to_end

NOISE = np.random.default_rng(0).integers(0, 4096, (64, 80)).astype(np.uint16)
BYTES = (NOISE >> 4).astype(np.uint8)
CODINGS = {
    "baseline": (8, imagecodecs.jpeg8_encode(BYTES, level=90)),
    "colour": (8, imagecodecs.jpeg8_encode(np.dstack([BYTES] * 3), level=90)),
    "12 bits": (12, imagecodecs.jpeg8_encode(NOISE, level=90, bitspersample=12)),
    "lossless": (12, imagecodecs.ljpeg_encode(NOISE, bitspersample=12)),
}


@pytest.mark.parametrize("name", CODINGS)
@pytest.mark.parametrize("lost", [(0.3, 0.95), (0.5, 0.98), (0.8, 0.99)])
def test_data_lost_in_the_middle(name, lost):
    bits, frame = CODINGS[name]
    first, after = (int(fraction * len(frame)) for fraction in lost)
    with pytest.raises(CorruptPixelDataError, match="last pixel"):
        decode_to_end(frame[:first] + frame[after:], bits, imagecodecs.jpeg8_decode)


@pytest.mark.parametrize("name", CODINGS)
def test_a_whole_frame(name):
    bits, frame = CODINGS[name]
    assert np.array_equal(
        decode_to_end(frame, bits, imagecodecs.jpeg8_decode), imagecodecs.jpeg8_decode(frame)
    )


@pytest.mark.parametrize("lossless", [False, True])
def test_a_whole_frame_with_a_grey_corner_is_no_lost_one(lossless):
    grey = BYTES.copy()
    grey[40:] = 128
    frame = imagecodecs.ljpeg_encode(grey) if lossless else imagecodecs.jpeg8_encode(grey, level=90)
    assert decode_to_end(frame, 8, imagecodecs.jpeg8_decode)[-1, -1] == 128
