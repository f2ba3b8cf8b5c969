"""A fine-tuned checkpoint as it lies in its folder: family, size, shards; read from headers, without its weights."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from radserve_engines.checkpoints.headers import TensorHeader
from radserve_engines.checkpoints.rope import restore_rope
from radserve_engines.checkpoints.shards import INDEX, Shards, find_shards
from radserve_engines.checkpoints.tensor_names import plain_names
from radserve_engines.errors import CheckpointError
from radserve_engines.families import Family, family_of

PARTS = ("vision", "projector", "language", "other")
_DTYPES = {
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F64": "float64",
    "F8_E4M3": "float8_e4m3fn",
}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """`parameters` are counted by part; `dtype` is what most of them are stored in, as torch names it.

    `quantized` is the method that config.json says the weights are quantized with already. `renames` gives each
    stored tensor's plain name. `plain`: transformers reads the folder as it is; else `write_plain` makes one that it
    does. `config` is in transformers 4's words; `newer` says that the file is in transformers 5's.
    """

    folder: Path
    config: Mapping[str, Any]
    family: Family
    shards: Shards
    renames: Mapping[str, str]
    parameters: Mapping[str, int]
    dtype: str
    quantized: str | None
    newer: bool = False

    @property
    def total(self) -> int:
        """All parameters."""
        return sum(self.parameters.values())

    @property
    def plain(self) -> bool:
        """Whether transformers, and TensorRT-LLM, which takes every safetensors file that there is, read it so."""
        alone = set(self.folder.glob("*.safetensors")) == set(self.shards)
        named = all(stored == name for stored, name in self.renames.items())
        return (
            named
            and alone
            and not self.newer
            and any((self.folder / name).is_file() for name in (INDEX, "model.safetensors"))
        )

    @property
    def tensors(self) -> dict[str, TensorHeader]:
        """Each tensor by its plain name."""
        return {self.renames[name]: t for held in self.shards.values() for name, t in held.items()}

    @property
    def digest(self) -> str:
        """SHA-256 over all files but a manifest; reads them all, so ask once."""
        from radserve_engines.checkpoints.digest import checkpoint_digest

        return checkpoint_digest(self.folder)

    def to_json(self) -> dict[str, Any]:
        """What a build records of it, without its digest."""
        return {
            "family": self.family.name,
            "architecture": self.family.architecture,
            "parameters": {**self.parameters, "total": self.total},
            "dtype": self.dtype,
            "shards": len(self.shards),
        }


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read config.json and the headers of all shards. Raises CheckpointError naming file, tensor and the way out."""
    stored = read_config(folder)
    if (adapter := folder / "adapter_config.json").is_file():
        raise CheckpointError(
            f"{folder} is a checkpoint and an adapter in one, and most tools would put the adapter on another base: "
            f"remove {adapter.name} if it is merged already, else give it with --adapter, from a folder of its own"
        )
    config = restore_rope(stored)
    family = family_of(config)
    shards = find_shards(folder)
    renames = plain_names(name for held in shards.values() for name in held)
    if len(set(renames.values())) < len(renames):
        twice = Counter(renames.values()).most_common(1)[0][0]
        raise CheckpointError(
            f"{folder}: several tensors are {twice} without their wrappers' names; export one model"
        )
    method = (config.get("quantization_config") or {}).get("quant_method")
    parameters, kinds = dict.fromkeys(PARTS, 0), Counter[str]()
    for held in shards.values():
        for name, tensor in held.items():
            if tensor.kind.startswith(("F", "BF")):
                parameters[family.part_of(renames[name])] += tensor.elements
                kinds[tensor.kind] += tensor.elements
    if not parameters["language"]:
        raise CheckpointError(
            f"{folder}: no tensor of its shards belongs to a language model; is it an adapter only?"
        )
    kind = kinds.most_common(1)[0][0]
    dtype = _DTYPES.get(kind, kind.lower())
    return Checkpoint(
        folder, config, family, shards, renames, parameters, dtype, method, newer=config != stored
    )


def read_config(folder: Path) -> dict[str, Any]:
    """config.json of a checkpoint. Raises CheckpointError with the way out."""
    path = folder / "config.json"
    try:
        value = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{folder} has no config.json: copy it, and the tokenizer's and processor's files, from the base model"
        ) from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} must hold a JSON object")
    return value
