"""The safetensors files of one checkpoint folder, read tensor by tensor."""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from radserve_engines.errors import CheckpointError

_INDEX = "model.safetensors.index.json"


class TensorFiles:
    """Raises CheckpointError for a missing or damaged file, a name in two files, or one that the index promises."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names: Mapping[str, Path] = _locate(folder)

    def place(self, name: str) -> Path:
        """The file that holds it; the folder if none does."""
        return self.names.get(name, self.folder)

    def read(self, name: str) -> torch.Tensor:
        """As stored, on the CPU."""
        if name not in self.names:
            raise CheckpointError(
                f"{self.folder}: tensor {name} is missing; the weight beside it cannot be read without"
            )
        try:
            with safe_open(self.names[name], framework="pt") as file:
                tensor: torch.Tensor = file.get_tensor(name)
        except (OSError, SafetensorError) as error:
            raise CheckpointError(f"{self.names[name]}: {name} cannot be read: {error}") from error
        return tensor

    def read_scale(self, name: str, shape: tuple[int, ...]) -> torch.Tensor:
        """float32 of that shape, finite and positive."""
        scale = self.read(name).float()
        if not shape and scale.numel() == 1:
            scale = scale.reshape(())
        if tuple(scale.shape) != shape:
            raise CheckpointError(
                f"{self.place(name)}: {name} has shape {tuple(scale.shape)}, not {shape}: "
                "another group size or another weight"
            )
        if not scale.isfinite().all() or not (scale > 0).all():
            raise CheckpointError(f"{self.place(name)}: {name} must be finite and positive throughout")
        return scale


def _locate(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    paths = sorted(folder.glob("*.safetensors"))
    if not paths:
        raise CheckpointError(f"{folder} holds no safetensors file")
    for path in paths:
        try:
            with safe_open(path, framework="pt") as file:
                names = list(file.keys())
        except (OSError, SafetensorError) as error:
            raise CheckpointError(f"{path} is damaged or no safetensors file: {error}") from error
        for name in names:
            if name in found:
                raise CheckpointError(f"tensor {name} stands both in {found[name]} and in {path}")
            found[name] = path
    _check_index(folder, found)
    return found


def _check_index(folder: Path, found: Mapping[str, Path]) -> None:
    path = folder / _INDEX
    if not path.is_file():
        return
    try:
        promised = json.loads(path.read_text("utf-8"))["weight_map"]
        missing = [(name, file) for name, file in promised.items() if name not in found]
    except (ValueError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{path} is no index of tensors: {error!r}") from error
    if missing:
        name, file = missing[0]
        raise CheckpointError(f"{folder / file}: tensor {name}, which {path.name} promises, is not there")
