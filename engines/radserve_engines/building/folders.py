"""Files on their way from checkpoint to engine."""

import os
import shutil
from pathlib import Path

from radserve_engines.errors import BuildRefused
from radserve_engines.manifest import FILE_NAME, SIGNATURE_NAME

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
)


def claim(out: Path, work: Path) -> None:
    """Make the engine's folder. Raises BuildRefused for one with files that no build put there."""
    if out.exists() and not out.is_dir():
        raise BuildRefused(f"--out {out} is a file")
    if out.is_dir() and any(out.iterdir()) and not work.is_dir():
        raise BuildRefused(
            f"--out {out} is not empty, and no build of it is under way ({work.name} is not there): take another folder"
        )
    out.mkdir(parents=True, exist_ok=True)


def empty(folder: Path) -> None:
    """Remove what an earlier attempt left in a folder that the build owns, and make it again."""
    if folder.is_dir():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)


def list_files(folder: Path) -> list[list[str | int]]:
    """Names, sizes and times: enough to tell that nothing was changed since, without reading it all."""
    found = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    stats = [(path.relative_to(folder).as_posix(), path.stat()) for path in found]
    return [[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats]


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
