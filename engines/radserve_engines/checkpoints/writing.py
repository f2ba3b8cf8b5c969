"""A checkpoint in the plain form that every tool reads: names without wrappers, an index, `architectures`."""

import json
from pathlib import Path
from typing import Any

from radserve_engines.checkpoints.checkpoint import Checkpoint, read_checkpoint, read_config
from radserve_engines.checkpoints.shards import INDEX
from radserve_engines.checkpoints.side_files import copy_side_files


def write_plain(checkpoint: Checkpoint, out: Path) -> Checkpoint:
    """Copy shard by shard, one in memory at a time, under plain names; returns the copy, read again."""
    from safetensors.torch import load_file, save_file

    copy_side_files(checkpoint.folder, out)
    weight_map: dict[str, str] = {}
    total = len(checkpoint.shards)
    for number, path in enumerate(checkpoint.shards, 1):
        name = f"model-{number:05}-of-{total:05}.safetensors"
        tensors = {checkpoint.renames[key]: value for key, value in load_file(path).items()}
        save_file(tensors, out / name, metadata={"format": "pt"})
        (out / name).chmod(0o644)
        weight_map |= dict.fromkeys(tensors, name)
    index = {"metadata": {"total_parameters": checkpoint.total}, "weight_map": weight_map}
    (out / INDEX).write_text(json.dumps(index, indent=2) + "\n", "utf-8")
    write_config(out, dict(checkpoint.config), checkpoint.family.architecture)
    return read_checkpoint(out)


def write_config(folder: Path, config: dict[str, Any], architecture: str) -> None:
    """config.json with `architectures` on top, where TensorRT-LLM and ModelOpt look for it."""
    config = {**config, "architectures": [architecture]}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", "utf-8")


def name_architecture(folder: Path, architecture: str, dtype: str) -> None:
    """Mend a config.json that transformers wrote: `architectures` on top, the stored weights' dtype everywhere."""
    config = read_config(folder)
    for part in (config, *(value for value in config.values() if isinstance(value, dict))):
        for key in ("dtype", "torch_dtype"):
            if key in part:
                part[key] = dtype
    write_config(folder, {**config, "dtype": dtype}, architecture)
