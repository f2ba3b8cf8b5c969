"""The runtime that an engine's manifest asks for."""

from importlib import import_module
from pathlib import Path
from typing import Any

from radserve_engines.errors import ManifestError
from radserve_engines.manifest import read_manifest
from radserve_engines.runtime.protocol import Runtime

# Imported only when asked for: each pulls in its own heavy packages.
_RUNTIMES = {
    "openvino": ("radserve_engines.runtime.openvino", "OpenVinoRuntime"),
    "torch": ("radserve_engines.runtime.torch", "TorchRuntime"),
    "fake": ("radserve_engines.runtime.fake", "FakeRuntime"),
}


def load_runtime(folder: Path, *, despite_gate: bool = False, **options: Any) -> Runtime:
    """Check the engine folder and bring its runtime up. Raises ManifestError naming what is wrong or missing.

    `despite_gate` loads an engine that failed its gate too: for judging it, not for serving.
    """
    manifest = read_manifest(folder)
    if manifest.gate.get("status") == "failed" and not despite_gate:
        raise ManifestError(f"engine {manifest.name!r} failed its gate: {manifest.gate.get('reasons')}")
    if manifest.target not in _RUNTIMES:
        raise ManifestError(f"no runtime for target {manifest.target!r} in this version")
    module, name = _RUNTIMES[manifest.target]
    try:
        runtime = getattr(import_module(module), name)
    except ImportError as error:
        raise ManifestError(
            f"the {manifest.target} runtime needs a package that is missing: {error.name}"
        ) from error
    loaded: Runtime = runtime(folder, manifest, **options)
    return loaded
