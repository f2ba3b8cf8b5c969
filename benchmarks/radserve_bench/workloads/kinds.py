"""What is looked at in one visit: a CT slice, an X-ray, a series, or nothing but a question."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from radserve_bench.errors import BenchError
from radserve_bench.visit import ImageFile, Visit
from radserve_bench.workloads.ct import ct_series, ct_slice
from radserve_bench.workloads.x_ray import compressed_x_ray, named_syntax, native_x_ray

QUESTIONS = (
    "What abnormality is seen in the image?",
    "Which organ is shown?",
    "Is there a bleed or an effusion?",
    "Is the finding on the left or on the right?",
    "What modality is used to take this image?",
    "Is there a fracture?",
    "How large is the finding?",
    "What should be done next?",
)
SERIES_SLICES = 20
_SIDES = (64, 4096)
_MOST_IMAGES, _MOST_QUESTIONS = 64, 100

Files = Callable[[int], tuple[ImageFile, ...]]


@dataclass(frozen=True, slots=True)
class Kind:
    """`files` gives those of the visit with a number; `name` heads the kind's row in a table.

    A `stack` is asked about as a whole; `numbered` questions tell the number.
    """

    name: str
    files: Files
    questions: int = 1
    stack: bool = False
    numbered: bool = False

    def visit(self, number: int, stat: bool) -> Visit:
        """`number` makes its pixels unlike those of other visits; where there are none, its questions."""
        asked = [QUESTIONS[index % len(QUESTIONS)] for index in range(self.questions)]
        if self.numbered:
            asked = [f"Case {number}. {question}" for question in asked]
        return Visit(self.name, self.files(number), tuple(asked), self.stack, stat)


def slices_of(
    *, images: int = 1, side: int | None = None, questions: int = 1, file: Path | None = None
) -> Kind:
    """`images` CT slices in one question. Raises BenchError for a number out of range."""
    _check("images", images, 1, _MOST_IMAGES)
    _check("questions", questions, 1, _MOST_QUESTIONS)
    _check("side", side, *_SIDES)
    if side is not None and file is not None:
        raise BenchError("a workload has either a side or a file of its own")
    name = "CT slice" if images == 1 else f"{images} CT slices"
    return Kind("study" if questions > 1 else name, partial(_slices, images, side, file), questions)


def x_rays(*, syntax: str | None = None, side: int | None = None, questions: int = 1) -> Kind:
    """One X-ray, uncompressed unless a syntax of x_ray.SYNTAX_NAMES is given. Raises BenchError."""
    _check("side", side, *_SIDES)
    _check("questions", questions, 1, _MOST_QUESTIONS)
    if syntax is None:
        return Kind("X-ray", partial(_native_x_ray, side), questions)
    return Kind(f"X-ray, {named_syntax(syntax).name}", partial(_compressed_x_ray, syntax, side), questions)


def series_of(*, images: int = SERIES_SLICES, questions: int = 1) -> Kind:
    """So many slices of one CT series, asked about as a whole. Raises BenchError."""
    _check("images", images, 2, 4 * _MOST_IMAGES)
    _check("questions", questions, 1, _MOST_QUESTIONS)
    return Kind("series", partial(_series, images), questions, stack=True)


def talk(*, questions: int = 1) -> Kind:
    """No image. Raises BenchError."""
    _check("questions", questions, 1, _MOST_QUESTIONS)
    return Kind("text", _nothing, questions, numbered=True)


def _slices(images: int, side: int | None, file: Path | None, number: int) -> tuple[ImageFile, ...]:
    slice_ = ct_slice(side, file)
    return tuple(slice_.numbered(images * number + index) for index in range(images))


def _native_x_ray(side: int | None, number: int) -> tuple[ImageFile, ...]:
    return (native_x_ray(side).numbered(number),)


def _compressed_x_ray(syntax: str, side: int | None, number: int) -> tuple[ImageFile, ...]:
    return (compressed_x_ray(number, syntax, side),)


def _series(images: int, number: int) -> tuple[ImageFile, ...]:
    return tuple(slice_.numbered(number) for slice_ in ct_series(images))


def _nothing(number: int) -> tuple[ImageFile, ...]:
    return ()


def _check(name: str, value: int | None, least: int, most: int) -> None:
    if value is not None and not least <= value <= most:
        raise BenchError(f"{name} must be from {least} to {most}, not {value}")
