"""The imaging benchmark's harness: its pictures and files are what they say, and its bars can be missed."""

import json

import numpy as np
import pydicom
import pytest

from radserve_bench.imaging.codecs import SYNTAXES, write
from radserve_bench.imaging.objects import ct, ultrasound, x_ray
from radserve_bench.imaging.report import Row, Times, judge, make_document
from radserve_imaging import ImagePolicy, render

SMALL = {
    "CT": ct(64),
    "CT of 12 bits": ct(64, bits=12),
    "X-ray": x_ray(80, 64),
    "X-ray of 8 bits": x_ray(80, 64, bits=8),
    "ultrasound": ultrasound(48, 64),
}
LOSSY = ("baseline", "extended", "near-lossless", "10:1")


@pytest.mark.parametrize("name", SMALL)
def test_every_picture_is_the_same_in_every_syntax(name):
    """As seen on a canvas of its own size; those coded without loss to the last bit."""
    picture = SMALL[name]
    height, width = picture.stored.shape[:2]
    policy = ImagePolicy(width=width, height=height, fit="stretch")
    expected = render(write(picture, SYNTAXES[0]), policy).pixels.astype(int)
    assert len(np.unique(expected)) > 20
    suited = [syntax for syntax in SYNTAXES if syntax.suits(picture)]
    assert len(suited) >= 12
    for syntax in suited:
        difference = np.abs(render(write(picture, syntax), policy).pixels - expected)
        assert difference.mean() < 25 if syntax.name.endswith(LOSSY) else difference.max() == 0, syntax.name


def test_pictures_are_as_noisy_as_real_ones():
    """Lossless JPEG 2000 shrinks real X-rays and slices two to four times; a smooth phantom, twenty times."""
    lossless = next(syntax for syntax in SYNTAXES if syntax.name == "JPEG 2000")
    for picture in (ct(256), x_ray(500, 400)):
        assert 1.4 < picture.stored.nbytes / len(write(picture, lossless)) < 4


def test_a_row_is_measured_on_both_sides():
    imaging = harness()
    plain = [syntax for syntax in SYNTAXES if syntax.name in ("explicit little endian", "RLE", "JPEG-LS")]
    cases = list(imaging.list_cases([SMALL["CT"], SMALL["ultrasound"]], plain))
    assert [case.measured for case in cases] == [
        *("explicit little endian", "RLE", "JPEG-LS", "window + resize"),
        *("explicit little endian", "RLE", "JPEG-LS"),
    ]
    rows = [imaging.measure(case, 2) for case in cases]
    for row in rows:
        assert 0 < row.ours.min <= row.ours.median <= row.ours.max
        assert row.ratio == round(row.theirs.median / row.ours.median, 2)
    assert json.loads(json.dumps(make_document(rows, 1.0)))["rows"][0]["picture"] == "CT 16 bit"


def test_pictures_that_are_not_alike_are_not_compared():
    imaging = harness()
    case = next(imaging.list_cases([SMALL["CT"]]))
    black = imaging.Case(
        case.measured, case.picture, case.size, case.ours, lambda: np.zeros_like(case.ours())
    )
    with pytest.raises(RuntimeError, match="grey levels apart"):
        imaging.measure(black, 1)


def test_bars_can_be_met_and_missed():
    def row(picture, measured, ours, theirs):
        return Row(picture, measured, 1, Times.of([ours]), Times.of([theirs]), 0.0)

    good = [
        row("CT 16 bit", "explicit little endian", 2.0, 5.0),
        row("X-ray 15 bit", "explicit little endian", 19.0, 60.0),
        row("X-ray 15 bit", "window + resize", 10.0, 50.0),
    ]
    bad = [
        row("CT 16 bit", "explicit little endian", 3.0, 2.6),
        row("X-ray 15 bit", "explicit little endian", 20.0, 30.0),
        row("X-ray 15 bit", "window + resize", 10.0, 49.0),
    ]
    assert [bar.met for bar in judge(good)] == [True] * 5
    assert [bar.met for bar in judge(bad)] == [False] * 5


def test_the_reference_decoder_reads_the_files_as_well():
    """pydicom needs no plug-in for these."""
    for name, picture in SMALL.items():
        for syntax in SYNTAXES[:5]:
            ds = pydicom.dcmread(pydicom.filebase.DicomBytesIO(write(picture, syntax)))
            assert np.array_equal(ds.pixel_array, picture.stored), f"{name}, {syntax.name}"


def harness():
    baseline = pytest.importorskip("radserve_bench.imaging.baseline")
    if missing := baseline.missing_plug_ins():
        pytest.skip(f"the baseline's plug-ins are not installed: {', '.join(missing)}")
    return pytest.importorskip("radserve_bench.imaging.comparing")
