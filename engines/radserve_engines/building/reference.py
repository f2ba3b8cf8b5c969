"""The unquantized checkpoint as an engine in PyTorch: what every gate holds an engine against."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from radserve_engines.evaluation.engine_answerer import EngineAnswerer, open_answerer
from radserve_engines.manifest import EngineManifest
from radserve_engines.provenance import list_versions

NAME = "unquantized checkpoint"
_VISION_MEMORY = 256 << 20  # a set asks several questions about each image


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
    return open_unsigned(folder, describe_reference(manifest), folder.name)


def open_unsigned(folder: Path, manifest: EngineManifest, location: str) -> EngineAnswerer:
    """An engine that nobody signed yet, for judging; PyTorch runs on the GPU where there is one."""
    options = _torch_options() if manifest.target == "torch" else {}
    return open_answerer(folder, manifest, location, **options)


def _torch_options() -> dict[str, Any]:
    import torch

    if torch.cuda.is_available():
        return {"vision_memory": _VISION_MEMORY, "device": "cuda", "dtype": torch.bfloat16}
    return {"vision_memory": _VISION_MEMORY}
