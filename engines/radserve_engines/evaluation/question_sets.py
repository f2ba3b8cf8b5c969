"""Question sets: JSONL files of questions on images, checked line by line before anything is asked."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from radserve_engines.errors import EvaluationError
from radserve_engines.vqa_data import Question, normalise

_REQUIRED = ("id", "image", "question", "answer", "answer_type")
_OPTIONAL = ("content_type", "modality", "body_part")


@dataclass(frozen=True, slots=True)
class QuestionSet:
    """`name` is folder/stem of the file; each question's `source` is the folder's name, its `image` a whole path."""

    name: str
    folder: Path
    sha256: str
    questions: tuple[Question, ...]

    def to_json(self) -> dict[str, Any]:
        """What a report says of it."""
        images = {item.image for item in self.questions}
        return {
            "name": self.name,
            "sha256": self.sha256,
            "questions": len(self.questions),
            "images": len(images),
        }


def load_sets(paths: Iterable[Path], limit: int | None = None) -> list[QuestionSet]:
    """The first `limit` questions of each file. Raises EvaluationError with file, line and field or path."""
    sets = [load_set(path, limit) for path in paths]
    names = [one.name for one in sets]
    if twice := [name for name in names if names.count(name) > 1]:
        raise EvaluationError(f"two question sets are called {twice[0]}: rename a file or its folder")
    return sets


def load_set(path: Path, limit: int | None = None, *, images: bool = True) -> QuestionSet:
    """Read and check the whole file, then keep the first `limit`; `images` asks that each image is there."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise EvaluationError(f"question set {path} cannot be read: {error.strerror}") from error
    folder = path.resolve().parent
    questions: dict[str, Question] = {}
    for number, line in enumerate(data.splitlines(), 1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        item = _parse(line, where, folder)
        if item.id in questions:
            raise EvaluationError(f"{where}: field 'id': {item.id!r} is there twice")
        if images and not Path(item.image).is_file():
            raise EvaluationError(f"{where}: field 'image': there is no file {item.image}")
        questions[item.id] = item
    if not questions:
        raise EvaluationError(f"question set {path} has no questions")
    kept = tuple(questions.values())[:limit]
    return QuestionSet(f"{folder.name}/{path.stem}", folder, hashlib.sha256(data).hexdigest(), kept)


def swap_images(questions: Sequence[Question]) -> list[Question]:
    """Give every question the image half its source further on: a model that looks must lose by it."""
    images: dict[str, dict[str, None]] = {}
    for item in questions:
        images.setdefault(item.source, {}).setdefault(item.image)
    other = {
        image: group[(place + max(len(group) // 2, 1)) % len(group)]
        for group in map(list, images.values())
        for place, image in enumerate(group)
    }
    return [replace(item, image=other[item.image]) for item in questions]


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _parse(line: bytes, where: str, folder: Path) -> Question:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise EvaluationError(f"{where}: the line is not JSON: {error}") from error
    if not isinstance(row, dict):
        raise EvaluationError(f"{where}: the line must hold a JSON object")
    for name in _REQUIRED:
        if name not in row:
            raise EvaluationError(f"{where}: field {name!r} is missing")
    for name in (*_REQUIRED, *_OPTIONAL):
        value = row.get(name)
        if not (isinstance(value, str) or (value is None and name in _OPTIONAL)):
            raise EvaluationError(f"{where}: field {name!r} must be a string, not {value!r}")
        if value and not _is_unicode(value):
            raise EvaluationError(f"{where}: field {name!r} has half of a surrogate pair: {value!r}")
    if row["answer_type"] not in ("closed", "open"):
        raise EvaluationError(
            f"{where}: field 'answer_type' must be closed or open, not {row['answer_type']!r}"
        )
    return Question(
        id=row["id"],
        source=folder.name,
        image=str(folder / row["image"]),
        question=row["question"].strip(),
        answer=normalise(row["answer"]),
        closed=row["answer_type"] == "closed",
        **{name: row.get(name) for name in _OPTIONAL},
    )
