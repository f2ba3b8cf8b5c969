"""Questions on images, as aiperf reads them: in.jsonl, and the images beside it."""

import json
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path

from radserve_bench.errors import BenchError
from radserve_bench.workloads.catalogue import workload_named
from radserve_engines.errors import EngineError
from radserve_engines.evaluation.question_sets import load_set
from radserve_engines.manifest import parse_manifest, read_manifest_bytes
from radserve_imaging import ImagePolicy, ImagingError, encode_png, render

INPUT_FILE, IMAGES = "in.jsonl", "images"
DEFAULT_QUESTION = "What abnormality is seen in the image?"


@dataclass(frozen=True, slots=True)
class Asked:
    """An image file's bytes and a question on it; `name` is for messages."""

    name: str
    data: bytes
    question: str


def export(asked: Iterable[Asked], policy: ImagePolicy, out: Path) -> int:
    """Write what the model sees of each image as PNG, and a line for each question; returns how many lines.

    Lines of the same pixels never follow one another, the first after the last neither: where there is nothing
    else left to put between, questions are left out. Raises BenchError for an image that cannot be rendered, and
    for fewer than two images of different pixels.
    """
    (out / IMAGES).mkdir(parents=True, exist_ok=True)
    questions: dict[Path, deque[str]] = {}
    for one in asked:
        questions.setdefault(_write_image(one, policy, out / IMAGES), deque()).append(one.question)
    if len(questions) < 2:
        raise BenchError("give at least two images of different pixels: caches would answer for the same one")
    lines = [
        json.dumps({"texts": [question], "images": [str(image.resolve())]}, ensure_ascii=False)
        for image, question in _in_turn(questions)
    ]
    (out / INPUT_FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return len(lines)


def _write_image(asked: Asked, policy: ImagePolicy, folder: Path) -> Path:
    try:
        pixels = render(asked.data, policy).pixels
    except ImagingError as error:
        raise BenchError(f"{asked.name}: {error}") from error
    path = folder / f"{sha256(pixels.tobytes()).hexdigest()[:16]}.png"
    if not path.exists():
        path.write_bytes(encode_png(pixels))
    return path


def _in_turn(questions: dict[Path, deque[str]]) -> Iterator[tuple[Path, str]]:
    """A question of each image in turn, while two images are left that have one."""
    while len(left := [image for image, waiting in questions.items() if waiting]) > 1:
        for image in left:
            yield image, questions[image].popleft()


def questions_of(path: Path, limit: int | None) -> list[Asked]:
    """Of a JSONL question set, its first `limit` questions. Raises BenchError naming its line or file."""
    try:
        found = load_set(path, limit).questions
        return [Asked(one.image, Path(one.image).read_bytes(), one.question) for one in found]
    except (EngineError, OSError) as error:
        raise BenchError(str(error)) from error


def question_on(paths: Iterable[Path], question: str) -> list[Asked]:
    """The same question on each file. Raises BenchError for one that cannot be read."""
    try:
        return [Asked(str(path), path.read_bytes(), question) for path in paths]
    except OSError as error:
        raise BenchError(str(error)) from error


def question_on_slices(count: int, question: str, seed: int = 0) -> Iterator[Asked]:
    """`count` CT slices of the `ct-slice` workload, each of other pixels."""
    for visit in islice(workload_named("ct-slice").visits(seed), count):
        (file,) = visit.files
        yield Asked(file.name, file.data, question)


def name_and_policy(engine: Path) -> tuple[str, ImagePolicy]:
    """Of an engine folder. Raises BenchError."""
    try:
        manifest = parse_manifest(engine, read_manifest_bytes(engine))
    except EngineError as error:
        raise BenchError(str(error)) from error
    return manifest.name, manifest.image_policy
