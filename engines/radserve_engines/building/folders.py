"""Files on their way from checkpoint to engine."""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TextIO

from radserve_engines.building.stages import LOG_NAME
from radserve_engines.errors import BuildRefused
from radserve_engines.evaluation import QuestionSet
from radserve_engines.manifest import FILE_NAME, SIGNATURE_NAME

_LOCK, _MARK = "lock", "meant-for"
# What a checkpoint folder may hold besides that no engine needs, and that an engine folder must not hold.
_LEFT_OUT = (
    "README",
    "LICENSE",
    ".git",
    ".cache",
    "training_args",
    "optimizer",
    "scheduler",
    "trainer_state",
    "rng_state",
    "checkpoint-",
    "global_step",
    "pytorch_model",
    "adapter_",
)


@contextlib.contextmanager
def claim(out: Path, work: Path) -> Iterator[None]:
    """Make the engine's folder, and hold it against other builds.

    Raises BuildRefused for one with files that no build put there, and while another build is at it.
    """
    if out.exists() and not out.is_dir():
        raise BuildRefused(f"--out {out} is a file")
    if out.is_dir() and any(out.iterdir()) and not (work / LOG_NAME).is_file():
        raise BuildRefused(
            f"--out {out} is not empty, and no build of it is under way ({work.name}/{LOG_NAME} is not there): take "
            "another folder"
        )
    with hold(work):
        out.mkdir(parents=True, exist_ok=True)
        yield


@contextlib.contextmanager
def hold(work: Path) -> Iterator[None]:
    """Make the folder, and keep other processes out of it. Raises BuildRefused while one is at it."""
    work.mkdir(parents=True, exist_ok=True)
    with (work / _LOCK).open("w") as lock:
        _lock(lock, work)
        yield


def _lock(lock: TextIO, work: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise BuildRefused(
            f"another build or gate is at work in {work}: wait for it, or take another --out"
        ) from error
    except OSError:
        pass  # some network file systems have no locks


def refuse_overlap(out: Path, work: Path, folders: Mapping[str, Path], files: Mapping[str, Path]) -> None:
    """What a build reads must not lie where it empties folders, nor hold them. Raises BuildRefused."""
    own, beside = out.resolve(), work.resolve()
    for option, place in (*folders.items(), *files.items()):
        if place.resolve().is_relative_to(own):
            raise BuildRefused(f"{option} {place} lies in --out, which the build empties: take another --out")
    for option, place in folders.items():
        if place.resolve().is_relative_to(beside) or own.is_relative_to(place.resolve()):
            raise BuildRefused(
                f"{option} {place} overlaps with --out {out} or {work.name}: take another --out"
            )


def empty(folder: Path) -> None:
    """Remove what an earlier attempt left in a folder that the build owns; a link or a mount itself stays."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def renew(folder: Path, meant_for: str) -> None:
    """Empty a folder of the build's own, unless what it holds was `meant_for` the same."""
    mark = folder / _MARK
    if not mark.is_file() or mark.read_text("utf-8") != meant_for:
        empty(folder)
        mark.write_text(meant_for, "utf-8")


def list_files(folder: Path) -> list[list[str | int]]:
    """Names, sizes and times: enough to tell that nothing was changed since, without reading it all."""
    found = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    stats = [(path.relative_to(folder).as_posix(), path.stat()) for path in found]
    return [[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats]


def fingerprint_images(sets: Sequence[QuestionSet]) -> str:
    """By sizes and times: a set's own digest is over its questions, and stays when an image is drawn anew."""
    images = sorted({item.image for one in sets for item in one.questions})
    stats = [(image, Path(image).stat()) for image in images]
    listing = json.dumps([[image, stat.st_size, stat.st_mtime_ns] for image, stat in stats])
    return hashlib.sha256(listing.encode()).hexdigest()


def link_checkpoint(source: Path, out: Path) -> None:
    """The same files by symbolic links, so that something can be put beside them."""
    for path in sorted(source.rglob("*")):
        name = path.relative_to(source)
        if path.is_file() and not _is_left_out(name):
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            (out / name).symlink_to(path.resolve())


def copy_checkpoint(source: Path, out: Path, *, own: bool) -> None:
    """All files but manifest, signature and what no engine needs; `own` ones share their bytes where possible."""
    for path in sorted(source.rglob("*")):
        name = path.relative_to(source)
        if not path.is_file() or _is_left_out(name):
            continue
        target = out / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if not (own and _link(path, target)):
            shutil.copyfile(path, target)


def _is_left_out(name: Path) -> bool:
    return str(name) in (FILE_NAME, SIGNATURE_NAME) or any(
        part.startswith(prefix) for part in name.parts for prefix in _LEFT_OUT
    )


def _link(path: Path, target: Path) -> bool:
    try:
        os.link(path, target)
    except OSError:
        return False
    return True
