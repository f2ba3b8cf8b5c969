"""Decoding is timed beside the rendering, which is the same whether anybody looks at the clock or not."""

import io
from contextvars import copy_context

import numpy as np
import pytest
from PIL import Image

from radserve_bench.imaging.codecs import SYNTAXES, write
from radserve_bench.imaging.objects import ct
from radserve_imaging import ImagePolicy, encode_png, render, timing_decoding
from radserve_imaging.errors import CorruptPixelDataError

POLICY = ImagePolicy()


def jpeg():
    out = io.BytesIO()
    Image.fromarray(np.arange(64 * 64, dtype=np.uint8).reshape(64, 64)).save(out, "JPEG")
    return out.getvalue()


PICTURES = {
    **{syntax.name: write(ct(64, bits=12), syntax) for syntax in SYNTAXES if syntax.suits(ct(64, bits=12))},
    "PNG": encode_png(np.zeros((64, 64, 3), np.uint8)),
    "JPEG": jpeg(),
}


@pytest.mark.parametrize("name", PICTURES)
def test_every_way_of_decoding_is_counted_and_changes_nothing(name):
    alone = render(PICTURES[name], POLICY)
    with timing_decoding() as stopwatch:
        timed = render(PICTURES[name], POLICY)
    assert stopwatch.seconds > 0
    assert timed.record == alone.record and np.array_equal(timed.pixels, alone.pixels)


def test_decoding_that_fails_has_taken_its_time():
    broken = PICTURES["PNG"][:50] + bytes(8) + PICTURES["PNG"][58:]
    with timing_decoding() as stopwatch, pytest.raises(CorruptPixelDataError):
        render(broken, POLICY)
    assert stopwatch.seconds > 0


def test_a_stopwatch_counts_only_in_its_own_context():
    elsewhere = copy_context()
    with timing_decoding() as stopwatch:
        elsewhere.run(render, PICTURES["PNG"], POLICY)
    assert stopwatch.seconds == 0
