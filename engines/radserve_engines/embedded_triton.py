"""Triton's real server from the nvidia-pytriton wheel, made ready to run from this Python environment."""

import importlib.util
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from radserve_engines.acceptance import Acceptance
from radserve_engines.errors import EngineFailed
from radserve_engines.triton_model import ENGINE_VARIABLE

_LOOPBACK = "127.0.0.1"
# What Triton says at every start and end on a machine without a GPU.
HARMLESS = (
    "pinned memory pool will not be available",
    "CudaDriverHelper has not been initialized",
    "Signal (15)",
)


@dataclass(frozen=True, slots=True)
class TritonPorts:
    """TCP ports on the loopback interface."""

    grpc: int
    metrics: int


@dataclass(frozen=True, slots=True)
class Command:
    """What to start: argument vector and full environment."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str]


def triton_command(
    engine: Path, acceptance: Acceptance, model_repo: Path, workspace: Path, ports: TritonPorts
) -> Command:
    """Lay out the backend in `workspace` and name the command. Raises EngineFailed naming a missing part."""
    home = _wheel_home()
    backends = _lay_out_backend(home, workspace)
    # Triton starts whatever `python3` stands first on PATH, and takes its site-packages from there.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    # The stub that was copied away from its wheel finds the wheel's bundled libraries only through this.
    libraries = os.pathsep.join(
        filter(None, [str(home.parents[1] / "nvidia_pytriton.libs"), os.environ.get("LD_LIBRARY_PATH")])
    )
    environment = {
        **os.environ,
        "PATH": path,
        "LD_LIBRARY_PATH": libraries,
        ENGINE_VARIABLE: str(engine.resolve()),
        **acceptance.to_environment(),
    }
    arguments = (
        str(home / "bin" / "tritonserver"),
        f"--model-repository={model_repo}",
        f"--backend-directory={backends}",
        "--disable-auto-complete-config",
        "--allow-http=false",
        f"--grpc-address={_LOOPBACK}",
        f"--grpc-port={ports.grpc}",
        f"--metrics-address={_LOOPBACK}",
        f"--metrics-port={ports.metrics}",
        "--allow-gpu-metrics=false",
        "--allow-cpu-metrics=false",
        # The gateway pings while an engine is silent, to notice a dead one; Triton would call that abuse.
        "--grpc-http2-max-ping-strikes=0",
        "--grpc-keepalive-permit-without-calls=1",
        "--exit-timeout-secs=5",
        "--log-info=false",
    )
    return Command(arguments, environment)


def missing_parts() -> list[str]:
    """What keeps the embedded Triton from starting here, in plain words; empty when nothing does."""
    try:
        home = _wheel_home()
    except EngineFailed as error:
        return [str(error)]
    wanted = (
        home / "bin" / "tritonserver",
        _stub(home),
        home / "backends" / "python" / "libtriton_python.so",
    )
    return [f"{path.name} is missing from the nvidia-pytriton wheel" for path in wanted if not path.is_file()]


def _wheel_home() -> Path:
    spec = importlib.util.find_spec("pytriton")
    if spec is None or not spec.submodule_search_locations:
        raise EngineFailed("the nvidia-pytriton package is not installed: pip install 'radserve[cpu]'")
    return Path(spec.submodule_search_locations[0]) / "tritonserver"


def _stub(home: Path) -> Path:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return home / "python_backend_stubs" / version / "triton_python_backend_stub"


def _lay_out_backend(home: Path, workspace: Path) -> Path:
    """The Python backend with the stub for the running Python beside it, outside site-packages."""
    folder = workspace / "backends" / "python"
    folder.mkdir(parents=True, exist_ok=True)
    for source in (home / "backends" / "python").iterdir():
        if source.is_file():
            shutil.copy2(source, folder / source.name)
    if not _stub(home).is_file():
        raise EngineFailed(
            f"nvidia-pytriton has no backend stub for Python {sys.version_info[0]}.{sys.version_info[1]}"
        )
    shutil.copy2(_stub(home), folder / "triton_python_backend_stub")
    return folder.parent
