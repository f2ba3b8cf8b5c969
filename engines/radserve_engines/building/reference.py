"""The unquantized checkpoint as an engine in PyTorch: what every gate holds an engine against."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from radserve_engines.evaluation.engine_answerer import EngineAnswerer
from radserve_engines.manifest import EngineManifest
from radserve_engines.provenance import list_versions
from radserve_engines.runtime.loading import load_runtime

NAME = "unquantized checkpoint"
_VISION_MEMORY = 256 << 20  # a set asks several questions about each image
_MOST_WAITING = 1 << 16  # what waits is bounded by the gate's own concurrency


def describe_reference(manifest: EngineManifest) -> EngineManifest:
    """The engine's manifest with everything taken back that building it changed, but for the adapters."""
    return replace(
        manifest,
        name=NAME,
        target="torch",
        precision="bf16",
        files={},
        runtime_options={},
        tools=list_versions(),
        stages=(),
        gate={"status": "not run"},
        confidence=None,
    )


def open_reference(folder: Path, manifest: EngineManifest) -> EngineAnswerer:
    """`folder` holds the checkpoint, adapters merged, with its template as a file. Raises ManifestError."""
    return open_answerer(folder, describe_reference(manifest), location=str(folder.name))


def open_answerer(folder: Path, manifest: EngineManifest, *, location: str, **options: Any) -> EngineAnswerer:
    """An engine that nobody signed yet, for judging; PyTorch runs on the GPU where there is one."""
    if manifest.target == "torch":
        options = {**_torch_options(), **options}
    return EngineAnswerer(load_runtime(folder, manifest, max_waiting=_MOST_WAITING, **options), location)


def _torch_options() -> dict[str, Any]:
    import torch

    if torch.cuda.is_available():
        return {"vision_memory": _VISION_MEMORY, "device": "cuda", "dtype": torch.bfloat16}
    return {"vision_memory": _VISION_MEMORY}
