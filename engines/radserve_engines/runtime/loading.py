"""The runtime that an engine's manifest asks for."""

from importlib import import_module
from pathlib import Path
from typing import Any

from radserve_engines.errors import ManifestError
from radserve_engines.manifest import EngineManifest
from radserve_engines.runtime.protocol import Runtime

# Imported only when asked for: each pulls in its own heavy packages.
_RUNTIMES = {
    "openvino": ("radserve_engines.runtime.openvino", "OpenVinoRuntime"),
    "torch": ("radserve_engines.runtime.torch", "TorchRuntime"),
    "trtllm": ("radserve_engines.runtime.trtllm", "open_trtllm"),
    "fake": ("radserve_engines.runtime.fake", "FakeRuntime"),
}


def load_runtime(folder: Path, manifest: EngineManifest, **options: Any) -> Runtime:
    """Bring the runtime of an engine up. Raises ManifestError naming what is missing.

    The manifest says who checked the folder: `acceptance` for serving, `read_manifest` for judging.
    """
    if manifest.target not in _RUNTIMES:
        raise ManifestError(f"no runtime for target {manifest.target!r} in this version")
    module, name = _RUNTIMES[manifest.target]
    try:
        runtime = getattr(import_module(module), name)
    except ImportError as error:
        if error.name and error.name.startswith("radserve"):
            raise  # ours to mend
        raise ManifestError(
            f"the {manifest.target} runtime needs a package that is missing: {error.name}"
        ) from error
    loaded: Runtime = runtime(folder, manifest, **options)
    return loaded
