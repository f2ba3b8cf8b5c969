"""How fast a DICOM file becomes what the model sees, against plain pydicom: `python -m radserve_bench.imaging`.

Both sides get the same bytes in memory and give an RGB picture of 448 × 448 px: radserve by `radserve_imaging.render`,
digests and record included; the baseline as pydicom's documentation has it, `dcmread`, `pixel_array`,
`apply_modality_lut`, `apply_voi_lut` in float64, scaled to uint8, resized by Pillow's bicubic filter. Pictures are
synthetic, with the sizes, depths and noise of real ones, in every transfer syntax that suits them.

What bounds a row: hashing the file (2 GB/s) and Pillow's resize are there on both sides or on ours alone, so an
uncompressed CT of 0.5 MB cannot gain more than two times, and colour, which needs no window, next to nothing.
A large X-ray gains most: its window is one lookup a pixel instead of five passes in float64, its resize starts from
a box reduction, and its JPEG 2000 is decoded at half of its resolution. Rows of "window + resize" start from decoded
pixels, so no decoder counts.

The process is held to one core and one thread. The two sides take turns, so that a change of the machine's speed
falls on both; the first turn is not counted; a figure is the median of at least seven. Each pair of pictures is
compared as well: more than a few grey levels apart on average would mean that not the same thing was measured.

It writes imaging.md, imaging.json and imaging.png, and the last line of stdout is one JSON document.
"""

import argparse
import importlib.util
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from radserve_bench.imaging import baseline
from radserve_bench.imaging.codecs import SYNTAXES, Syntax, write
from radserve_bench.imaging.objects import Picture, ct, ultrasound, x_ray
from radserve_bench.imaging.report import Row, Times, make_document, save
from radserve_imaging import ImagePolicy, Limits, render
from radserve_imaging.dicom import DicomImage
from radserve_imaging.geometry import lay_out, place
from radserve_imaging.monochrome import show_monochrome

SIDE = 448
_POLICY = ImagePolicy(width=SIDE, height=SIDE)
_APART = 4.0
_ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}

Render = Callable[[], NDArray[np.uint8]]


@dataclass(frozen=True, slots=True)
class Case:
    """One row: what is measured, on what, and both ways to do it."""

    measured: str
    picture: str
    size: int
    ours: Render
    theirs: Render


def list_cases(pictures: Iterable[Picture], syntaxes: Iterable[Syntax] = SYNTAXES) -> Iterator[Case]:
    """Every picture in every syntax that suits it, then its window and resize alone if it is grey."""
    for picture in pictures:
        for syntax in syntaxes:
            if not syntax.suits(picture):
                continue
            data = write(picture, syntax)
            yield Case(syntax.name, picture.name, len(data), _ours(data), _theirs(data))
        if not picture.colour:
            yield _after_decoding(picture)


def measure(case: Case, repeats: int) -> Row:
    """Both sides in turn; raises RuntimeError where their pictures are not alike."""
    apart = float(np.abs(case.ours().astype(int) - case.theirs()).mean())
    if apart > _APART:
        raise RuntimeError(f"{case.picture}, {case.measured}: the pictures are {apart:.1f} grey levels apart")
    ours, theirs = [], []
    for _ in range(repeats):
        ours.append(_time(case.ours))
        theirs.append(_time(case.theirs))
    return Row(case.picture, case.measured, case.size, Times.of(ours), Times.of(theirs), round(apart, 2))


def _ours(data: bytes) -> Render:
    return lambda: render(data, _POLICY).pixels


def _theirs(data: bytes) -> Render:
    return lambda: baseline.render(data, SIDE)


def _after_decoding(picture: Picture) -> Case:
    data = write(picture, SYNTAXES[0])
    image = DicomImage(data, Limits())
    values, context = image.decode(0).values, image.context(0)
    layout = lay_out(image.header.columns, image.header.rows, 1.0, _POLICY)
    stored, ds = baseline.read(data)
    return Case(
        "window + resize",
        picture.name,
        values.nbytes,
        lambda: place(show_monochrome(values, context, _POLICY, None).pixels, layout, 0),
        lambda: baseline.place(baseline.show(stored, ds), SIDE),
    )


def _time(call: Render) -> float:
    """Milliseconds."""
    began = time.perf_counter()
    call()
    return 1e3 * (time.perf_counter() - began)


def _pictures() -> list[Picture]:
    return [ct(), ct(bits=12), x_ray(), x_ray(bits=12), x_ray(bits=8), ultrasound()]


def _hold_to_one_thread() -> None:
    """Start over with the thread pools at 1, for they are made on import, and stay on one core."""
    if any(os.environ.get(name) != "1" for name in _ONE_THREAD):
        os.execve(
            sys.executable,
            [sys.executable, "-m", "radserve_bench.imaging", *sys.argv[1:]],
            os.environ | _ONE_THREAD,
        )
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="radserve_bench.imaging", description="Imaging against plain pydicom."
    )
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--only", default="", help="rows whose name holds this text, as in 'X-ray'")
    given = parser.parse_args()
    if missing := baseline.missing_plug_ins():
        parser.error(f"missing: {', '.join(missing)}. pip install 'radserve[imaging-baseline]'")
    if importlib.util.find_spec("gdcm"):
        parser.error("GDCM is installed, and pydicom would prefer it to its usual plug-ins; uninstall it")
    _hold_to_one_thread()
    rows = []
    began, used = time.perf_counter(), time.process_time()
    for case in list_cases(_pictures()):
        if given.only in f"{case.picture} {case.measured}":
            rows.append(measure(case, max(given.repeats, 7)))
            print(rows[-1].line(), file=sys.stderr, flush=True)
    threads = (time.process_time() - used) / (time.perf_counter() - began)
    document = make_document(rows, threads)
    save(document, rows, given.out)
    print(json.dumps(document))
