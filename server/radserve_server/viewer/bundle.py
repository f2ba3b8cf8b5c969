"""OHIF's built viewer: where it lies, and how it is fetched: from npm's registry, once, checked by its digest."""

import base64
import gzip
import hashlib
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path, PurePosixPath

OHIF = "3.13.2"
_PACKAGE = f"@ohif/app@{OHIF}"
# `dist.integrity` of that version; npm itself compares it with what the registry says, we with what was reviewed.
_SHA512 = "WZdxmpmG7rqFgW9ZJLcbgr3XCtLi1KDNPoMaeY5PPe6j4G4fjEjjkycZM6C6Zk2F87BKxFfpq+jd5xXZB9E8EA=="
_DIST = PurePosixPath("package/dist")
_LEFT_OUT = ("ort", "google.js")  # models that are fetched from elsewhere, and a login that is
_PACKED = (".js", ".css", ".html", ".json", ".jsonc", ".svg", ".wasm")
_NPM_OPTIONS = (
    *("--ignore-scripts", "--loglevel=error", "--no-update-notifier"),
    *("--fetch-retries=2", "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=5000"),
)
_STAMP = "radserve-ohif-version"
_CHECKOUT = Path(__file__).parents[3]


class BundleError(Exception):
    """The viewer could not be fetched; the message says why and what to do."""


def default_folder() -> Path:
    """.viewer of the checkout, or of the working directory where radserve was installed from a wheel."""
    root = _CHECKOUT if (_CHECKOUT / "pyproject.toml").is_file() else Path.cwd()
    return root / ".viewer"


def panel_folder() -> Path:
    """The panel's modules: in the wheel, or in the checkout."""
    packaged = Path(__file__).parents[1] / "data" / "ohif"
    return packaged if packaged.is_dir() else _CHECKOUT / "clients" / "ohif"


def is_there(folder: Path) -> bool:
    """Whether this version has been fetched into `folder`, as a whole."""
    stamp = folder / _STAMP
    return stamp.is_file() and stamp.read_text().strip() == OHIF


def fetch_viewer(folder: Path) -> None:
    """Fill `folder` with OHIF's files, compressed beside themselves; raises BundleError. About 10 s, 50 MB."""
    with tempfile.TemporaryDirectory(prefix="radserve-viewer-") as workspace:
        archive = _pack(Path(workspace))
        _check(archive)
        folder.parent.mkdir(parents=True, exist_ok=True)
        unpacked = Path(tempfile.mkdtemp(prefix=f"{folder.name}-", dir=folder.parent))
        try:
            _unpack(archive, unpacked)
            (unpacked / _STAMP).write_text(f"{OHIF}\n")
            if folder.exists():
                shutil.rmtree(folder)
            unpacked.chmod(0o755)
            unpacked.rename(folder)
        finally:
            shutil.rmtree(unpacked, ignore_errors=True)


def _pack(workspace: Path) -> Path:
    """The package as npm gives it, from the registry that npm is set to."""
    npm = shutil.which("npm")
    if npm is None:
        raise BundleError("npm is not installed: apt-get install npm (it is needed only for fetching)")
    command = [npm, "pack", _PACKAGE, "--pack-destination", str(workspace), *_NPM_OPTIONS]
    run = subprocess.run(command, cwd=workspace, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    archives = list(workspace.glob("*.tgz"))
    if run.returncode or len(archives) != 1:
        said = "; ".join(re.sub("^npm (error|ERR!) ", "", line) for line in run.stderr.splitlines()[:3])
        raise BundleError(f"npm could not fetch {_PACKAGE}: {said or 'it says nothing'}")
    return archives[0]


def _check(archive: Path) -> None:
    with archive.open("rb") as file:
        digest = hashlib.file_digest(file, "sha512").digest()
    if base64.b64encode(digest).decode() != _SHA512:
        raise BundleError(f"{_PACKAGE} is not the package that was reviewed: its sha512 differs")


def _unpack(archive: Path, folder: Path) -> None:
    with tarfile.open(archive) as tar:
        for member in tar:
            path = PurePosixPath(member.name)
            if not member.isfile() or not path.is_relative_to(_DIST):
                continue
            inner = path.relative_to(_DIST)
            if inner.suffix == ".map" or inner.parts[0] in _LEFT_OUT or ".." in inner.parts:
                continue
            data = tar.extractfile(member)
            if data is not None:
                _write(folder / inner, data.read())


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    if path.suffix in _PACKED:
        packed = path.with_name(f"{path.name}.gz")
        packed.write_bytes(gzip.compress(data, 6, mtime=0))
        moment = path.stat().st_mtime
        os.utime(packed, (moment, moment))
