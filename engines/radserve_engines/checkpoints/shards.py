"""Which files of a folder hold a checkpoint's weights; and for formats that are refused, what turns them into these."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

from radserve_engines.checkpoints.headers import TensorHeader, read_headers
from radserve_engines.errors import CheckpointError

INDEX = "model.safetensors.index.json"
_NUMBERED = re.compile(r"-(\d+)-of-(\d+)\.safetensors$")
_SAVE = (
    'python -c "from transformers import AutoModelForImageTextToText as M; '
    "M.from_pretrained('{folder}', dtype='auto').save_pretrained('{folder}-safetensors')\""
)

Shards = Mapping[Path, Mapping[str, TensorHeader]]


def find_shards(folder: Path) -> Shards:
    """Each weights file with its tensors. Raises CheckpointError naming the file, the tensor or the way out."""
    if (folder / INDEX).is_file():
        return _read_indexed(folder)
    files = sorted(
        p for p in folder.glob("*.safetensors") if not p.name.startswith(("adapter_", "optimizer"))
    )
    if (whole := folder / "model.safetensors") in files:
        files = [whole]
    if not files:
        raise CheckpointError(_way_out(folder))
    _check_numbers(folder, files)
    shards = {path: read_headers(path) for path in files}
    _check_twice(shards)
    return shards


def _read_indexed(folder: Path) -> Shards:
    path = folder / INDEX
    try:
        listed = json.loads(path.read_text("utf-8"))["weight_map"]
        names = sorted(set(listed.values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} cannot be read: {error!r}") from error
    if (whole := folder / "model.safetensors").is_file() and whole.name not in names:
        raise CheckpointError(
            f"{folder} holds two checkpoints: {whole.name}, which most tools would read, and the shards of {INDEX}; "
            "remove the one that is not meant, or the index"
        )
    shards: dict[Path, dict[str, TensorHeader]] = {}
    for name in names:
        file = folder / name
        if Path(name).name != name or not file.is_file():
            raise CheckpointError(f"{path} lists {name}, which is not there: copy that shard into {folder}")
        shards[file] = read_headers(file)
    for tensor, name in listed.items():
        if tensor not in shards[folder / name]:
            raise CheckpointError(
                f"{path} looks for {tensor} in {name}, which does not have it: save both again"
            )
    return shards


def _check_numbers(folder: Path, files: list[Path]) -> None:
    """Shards without an index still say how many they are."""
    found = {p: match for p in files if (match := _NUMBERED.search(p.name))}
    for path, match in found.items():
        total = int(match[2])
        stem = path.name[: match.start()]
        have = {int(m[1]) for p, m in found.items() if p.name.startswith(stem) and int(m[2]) == total}
        first = min(have | {1})  # some tools count from 0
        if missing := sorted(set(range(first, first + total)) - have):
            width = len(match[1])
            name = f"{stem}-{missing[0]:0{width}}-of-{match[2]}.safetensors"
            raise CheckpointError(f"{folder} lacks shard {name}: copy it there, and {INDEX} with it")


def _check_twice(shards: Shards) -> None:
    owners: dict[str, Path] = {}
    for path, tensors in shards.items():
        for name in tensors:
            if name in owners:
                raise CheckpointError(
                    f"{name} is both in {owners[name].name} and in {path.name}: these are pieces of each rank, or two "
                    "checkpoints in one folder; gather the ranks into one state dict before saving, or remove one"
                )
            owners[name] = path


def _way_out(folder: Path) -> str:
    opening = f"{folder} has no safetensors weights"
    sharded = sorted({p.parent for p in (*folder.glob("*.distcp"), *folder.glob("*/*.distcp"))})
    if sharded:
        return (
            f"{opening}, but a PyTorch distributed checkpoint (FSDP); merge it with: accelerate merge-weights "
            f"{sharded[0]} {folder}-safetensors, then copy config.json, tokenizer and processor files there"
        )
    if list(folder.rglob("*_optim_states.pt")) or list(folder.rglob("*_model_states.pt")):
        script = folder / "zero_to_fp32.py"
        return (
            f"{opening}, but DeepSpeed's partitions (ZeRO); merge them with the script that DeepSpeed left beside "
            f"them: python {script} {folder} {folder}-safetensors --safe_serialization, then copy config.json, "
            "tokenizer and processor files there"
        )
    pickled = sorted(p for kind in ("*.bin", "*.pt", "*.pth", "*.ckpt") for p in folder.glob(kind))
    if pickled:
        return (
            f"{opening}; {pickled[0].name} is a pickle, which could run code when it is opened, and is not read here. "
            f"Where you trust it: {_SAVE.format(folder=folder)}"
        )
    return f"{opening}: save the model with save_pretrained, which writes model.safetensors"
