"""The workloads that have a name."""

from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any

from radserve_bench.errors import BenchError
from radserve_bench.workloads.kinds import Kind, series_of, slices_of, talk, x_rays
from radserve_bench.workloads.mixture import Mixture, Share
from radserve_bench.workloads.protocol import Workload

STUDY_QUESTIONS = 4
STAT_PART = 0.1


def _study(*, questions: int = STUDY_QUESTIONS, images: int = 1, side: int | None = None) -> Kind:
    return slices_of(questions=questions, images=images, side=side)


MORNING: tuple[tuple[str, float, Callable[[], Kind]], ...] = (
    ("X-ray, uncompressed", 0.225, x_rays),
    ("X-ray, JPEG 2000", 0.225, lambda: x_rays(syntax="jpeg2000")),
    ("CT slice", 0.30, slices_of),
    ("study of four questions", 0.15, _study),
    ("CT series of 20 slices", 0.10, series_of),
)
"""What a hospital's morning is made of; a tenth of it, whatever it is, is urgent (STAT)."""

_KINDS: Mapping[str, tuple[str, Callable[..., Kind]]] = {
    "ct-slice": ("a CT slice, uncompressed and by default of 512², and one question", slices_of),
    "x-ray": ("a 10 MB X-ray, by default uncompressed, and one question", x_rays),
    "series": ("20 slices of a CT series, sorted by the server, and one question about them all", series_of),
    "study": ("a CT slice and four questions in a row", _study),
    "text": ("a question without an image", talk),
}
_MORNING_TOLD = (
    f"a hospital's morning: {', '.join(f'{100 * part:g} % {name}' for name, part, _ in MORNING)}; "
    f"{100 * STAT_PART:g} % urgent; Poisson arrivals"
)
WORKLOADS: Mapping[str, str] = {name: told for name, (told, _) in _KINDS.items()} | {"morning": _MORNING_TOLD}
"""What each is, by name."""


def workload_named(name: str, **options: Any) -> Workload:
    """Options that are None are left out; which there are depends on the workload: images, side, questions, syntax.

    `ct-slice` takes a `file` as well. Raises BenchError for a name or an option that is not known.
    """
    given = {option: value for option, value in options.items() if value is not None}
    label = " ".join([name, *(f"{option}={value}" for option, value in given.items())])
    if name == "morning" and not given:
        shares = [Share(make(), part) for _, part, make in MORNING]
        return Mixture(name, _MORNING_TOLD, shares, stat=STAT_PART)
    if name not in WORKLOADS:
        raise BenchError(f"there is no workload {name}; choose one of {', '.join(WORKLOADS)}")
    if name not in _KINDS:
        raise BenchError(f"the workload {name} takes no options")
    told, make = _KINDS[name]
    known = signature(make).parameters
    for option in given:
        if option not in known:
            raise BenchError(f"the workload {name} has no {option}; it takes {', '.join(known)}")
    here = f"; here {', '.join(f'{option}={value}' for option, value in given.items())}" if given else ""
    return Mixture(label, told + here, [Share(make(**given), 1.0)])
