"""Question–answer sets: read them, keep their splits apart, and hold their rendered images."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

SETS = ("slake", "vqa-rad", "vqa-med-2019")

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Question:
    """One question on one image; `image` is the path below the data folder."""

    id: str
    source: str
    image: str
    question: str
    answer: str
    closed: bool
    modality: str | None
    content_type: str | None = None
    body_part: str | None = None


def normalise(answer: str) -> str:
    """Lower-case, single blanks, no final full stop: the form that is trained and compared."""
    return " ".join(answer.lower().split()).removesuffix(".").rstrip()


def load_questions(data: Path, split: str, sources: Sequence[str] = SETS) -> list[Question]:
    """Read one split (`train` or `validate`) of every set under `data`."""
    questions = []
    for source in sources:
        with (data / source / f"{split}.jsonl").open(encoding="utf-8") as lines:
            questions += [_parse(source, json.loads(line)) for line in lines]
    return questions


def load_training_questions(data: Path) -> list[Question]:
    """Read the train splits without any image that a validate split of another set also holds.

    VQA-RAD and VQA-Med 2019 both draw on MedPix, so a file name can be in one set's train split
    and in the other's validate split.
    """
    held_out = {Path(item.image).stem for item in load_questions(data, "validate")}
    return [item for item in load_questions(data, "train") if Path(item.image).stem not in held_out]


def by_image(questions: Iterable[Question]) -> dict[str, list[Question]]:
    """Group questions by their image, in order of first appearance."""
    groups: dict[str, list[Question]] = {}
    for item in questions:
        groups.setdefault(item.image, []).append(item)
    return groups


class ImageCache:
    """Rendered images in one uint8 file, so that each is decoded and resized once."""

    def __init__(self, folder: Path) -> None:
        self.pixels_path = folder / "pixels.npy"
        self.index_path = folder / "index.json"
        self._rows: dict[str, int] = json.loads(self.index_path.read_text())["rows"]
        self._pixels: Pixels = np.load(self.pixels_path, mmap_mode="r")

    def __getitem__(self, image: str) -> Pixels:
        """The rendered pixels of `image`, uint8 height x width x 3."""
        chosen: Pixels = self._pixels[self._rows[image]]
        return chosen

    def stack(self, images: Iterable[str]) -> Pixels:
        """The rendered pixels of several images, uint8 count x height x width x 3."""
        chosen: Pixels = self._pixels[[self._rows[image] for image in images]]
        return chosen


def render_images(data: Path, images: Iterable[str], folder: Path, side: int) -> ImageCache:
    """Render `images` at `side` x `side` as the served model sees them, unless `folder` has them all."""
    from radserve_imaging import ImagePolicy, render

    wanted = sorted(set(images))
    policy = ImagePolicy(width=side, height=side, fit="pad")
    key = {"side": side, "policy": repr(policy), "rows": {image: row for row, image in enumerate(wanted)}}
    index = folder / "index.json"
    if index.is_file() and json.loads(index.read_text()) == key:
        return ImageCache(folder)
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.lib.format.open_memmap(  # type: ignore[no-untyped-call]
        folder / "pixels.npy", mode="w+", dtype=np.uint8, shape=(len(wanted), side, side, 3)
    )
    for row, image in enumerate(wanted):
        pixels[row] = render((data / image).read_bytes(), policy).pixels
    pixels.flush()
    index.write_text(json.dumps(key))
    return ImageCache(folder)


def digest_file(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _parse(source: str, row: dict[str, str | None]) -> Question:
    return Question(
        id=str(row["id"]),
        source=source,
        image=f"{source}/{row['image']}",
        question=str(row["question"]).strip(),
        answer=normalise(str(row["answer"])),
        closed=row["answer_type"] == "closed",
        modality=row.get("modality"),
        content_type=row.get("content_type"),
        body_part=row.get("body_part"),
    )
