"""`radserve doctor`: what this machine has, what it lacks, and what to do about it, in plain words."""

import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from radserve_client.orthanc import why_no_orthanc

_GIB = 1 << 30
_NEEDED_MEMORY = 2 * _GIB
_NEEDED_DISK = 1 * _GIB
_SHARED_MEMORY = 64 << 20  # Triton's Python backend starts at 1 MiB and grows with the images under way
_EXTRAS = {
    "server": (
        *("fastapi", "uvicorn", "multipart", "pydantic_settings", "prometheus_client", "tritonclient"),
        *("aiohttp", "pynetdicom", "highdicom", "cryptography"),
    ),
    "cpu": ("pytriton", "openvino_genai", "jinja2", "tokenizers"),
    "imaging": ("numpy", "pydicom", "imagecodecs", "PIL"),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `advice` is empty when all is well; what is not `needed` may as well be missing."""

    subject: str
    found: str
    advice: str = ""
    needed: bool = True

    @property
    def well(self) -> bool:
        return not self.advice


def examine() -> Iterator[Finding]:
    """Each check's finding, cheapest first."""
    checks: list[Callable[[], Finding]] = [_python, _machine, _instructions, _memory, _shared_memory, _disk]
    for check in checks:
        yield check()
    for extra, modules in _EXTRAS.items():
        yield _extra(extra, modules)
    yield _triton()
    yield _engine()
    yield _archive()
    yield _viewer()
    yield _browser()


def _python() -> Finding:
    found = platform.python_version()
    well = (3, 11) <= sys.version_info[:2] <= (3, 13)
    return Finding(
        "Python", found, "" if well else "use Python 3.11, 3.12 or 3.13: Triton's wheel has no other backend"
    )


def _machine() -> Finding:
    found = f"{platform.system()} on {platform.machine()}"
    well = platform.system() == "Linux" and platform.machine() == "x86_64"
    advice = (
        ""
        if well
        else "the embedded Triton runs on Linux x86-64 only; point the gateway at a Triton elsewhere"
    )
    return Finding("Machine", found, advice)


def _instructions() -> Finding:
    flags = _first_line("/proc/cpuinfo", "flags").split()
    best = next((name for name in ("amx_int8", "avx512_vnni", "avx512f", "avx2") if name in flags), "")
    return Finding("Processor", best or "no AVX2", "" if best else "answers will be very slow without AVX2")


def _memory() -> Finding:
    kib = _first_line("/proc/meminfo", "MemAvailable").split()
    free = int(kib[0]) * 1024 if kib else 0
    advice = (
        ""
        if free >= _NEEDED_MEMORY
        else f"{_NEEDED_MEMORY / _GIB:g} GiB are needed: end something else first"
    )
    return Finding("Free memory", f"{free / _GIB:.1f} GiB", advice)


def _shared_memory() -> Finding:
    free = _free_bytes("/dev/shm")
    advice = (
        "" if free >= _SHARED_MEMORY else "Triton needs 64 MiB in /dev/shm (in a container: --shm-size=256m)"
    )
    return Finding("Shared memory", f"{free / (1 << 20):.0f} MiB", advice)


def _disk() -> Finding:
    free = _free_bytes(os.environ.get("TMPDIR", "/tmp"))
    return Finding(
        "Temporary disk", f"{free / _GIB:.1f} GiB", "" if free >= _NEEDED_DISK else "free 1 GiB or set TMPDIR"
    )


def _extra(extra: str, modules: tuple[str, ...]) -> Finding:
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    advice = f"pip install 'radserve[{extra}]'" if missing else ""
    return Finding(
        f"Packages for {extra}", f"missing: {', '.join(missing)}" if missing else "all there", advice
    )


def _triton() -> Finding:
    if importlib.util.find_spec("pydicom") is None:
        return Finding("Triton", "cannot be looked at without the packages above", "install them first")
    from radserve_engines.embedded_triton import missing_parts

    missing = missing_parts()
    return Finding(
        "Triton", "; ".join(missing) or "server and backend stub are there", "see above" if missing else ""
    )


def _engine() -> Finding:
    if importlib.util.find_spec("pydicom") is None:
        return Finding("Demo engine", "cannot be looked at without the packages above", "install them first")
    from radserve_engines.assets import demo_engine
    from radserve_engines.errors import EngineError
    from radserve_engines.manifest import read_manifest

    try:
        manifest = read_manifest(demo_engine())
    except EngineError as error:
        return Finding("Demo engine", str(error), "clone the repository again, or name another with --engine")
    return Finding("Demo engine", f"{manifest.name} {manifest.precision}, {manifest.digest[:19]}…")


def _archive() -> Finding:
    missing = why_no_orthanc()
    if missing:
        return Finding(
            "Archive (Orthanc)", "not installed", f"for `radserve ohif --demo`: {missing}", needed=False
        )
    return Finding("Archive (Orthanc)", "installed, for `radserve ohif --demo`", needed=False)


def _viewer() -> Finding:
    from radserve_server.viewer.bundle import OHIF, default_folder, is_there

    if not is_there(default_folder()):
        advice = "for `radserve ohif`: radserve ohif --fetch, which needs npm (apt-get install npm)"
        return Finding("Viewer (OHIF)", "not fetched", advice, needed=False)
    return Finding("Viewer (OHIF)", f"{OHIF}, for `radserve ohif`", needed=False)


def _browser() -> Finding:
    if shutil.which("chromium") is None:
        return Finding(
            "Chromium", "not installed", "for the tests only: apt-get install chromium", needed=False
        )
    return Finding("Chromium", "installed, for the tests", needed=False)


def _first_line(path: str, key: str) -> str:
    try:
        with open(path, encoding="utf-8") as lines:
            return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "")
    except OSError:
        return ""


def _free_bytes(path: str) -> int:
    return shutil.disk_usage(path).free if os.path.isdir(path) else 0
