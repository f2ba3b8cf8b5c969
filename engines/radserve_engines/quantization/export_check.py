"""Whether an exported checkpoint is what was asked for: algorithm, scales, and the vision side bit for bit."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from radserve_engines.checkpoints.checkpoint import Checkpoint
from radserve_engines.errors import BuildFailed
from radserve_engines.families import Family
from radserve_engines.precision import Precision
from radserve_engines.quantization.recipe import GROUPS

HF_QUANT = "hf_quant_config.json"
_SCALES = ("weight_scale", "weight_scale_2", "input_scale", "pre_quant_scale", "k_scale", "v_scale")


def check_export(source: Checkpoint, out: Checkpoint, precision: Precision, kv: str | None) -> dict[str, Any]:
    """What the files say, for the build's record. Raises BuildFailed naming the file, field or tensor."""
    scheme = _check_scheme(out.folder, precision, kv)
    scales = _check_scales(out)
    return {**scheme, "scales": scales, "untouched_tensors": _check_untouched(source, out)}


def _check_scheme(folder: Path, precision: Precision, kv: str | None) -> dict[str, Any]:
    path = folder / HF_QUANT
    try:
        said = json.loads(path.read_text("utf-8"))["quantization"]
    except (OSError, ValueError, KeyError) as error:
        raise BuildFailed(f"{path} was not written as it should be: {error!r}") from error
    wanted = {
        "quant_algo": precision.quant_algo,
        "kv_cache_quant_algo": kv.upper() if kv else None,
        "group_size": GROUPS.get(precision.quant_algo or ""),
    }
    for field, value in wanted.items():
        if said.get(field) != value:
            raise BuildFailed(
                f"{path}: {field} is {said.get(field)!r}, not {value!r}: this model cannot be built so"
            )
    return {**wanted, "exclude_modules": said.get("exclude_modules", [])}


def _check_scales(out: Checkpoint) -> int:
    """Block scales of NVFP4 may be 0, where a block rounds to nothing; all others are positive."""
    import torch

    count = 0
    for path, name, tensor in _tensors(out, lambda name: name.rsplit(".", 1)[-1] in _SCALES):
        values = tensor.float()
        block = tensor.dtype == torch.float8_e4m3fn
        if not torch.isfinite(values).all() or (values < 0).any() or (not block and (values == 0).any()):
            raise BuildFailed(
                f"{path}: {name} is not finite and positive; no calibration question may have reached that layer: give "
                "more, or others"
            )
        count += 1
    if not count:
        raise BuildFailed(f"{out.folder} has no scales: nothing was quantized")
    return count


def _check_untouched(source: Checkpoint, out: Checkpoint) -> int:
    """Vision tower and projector bit for bit as they came, whatever name transformers stores them under."""
    import torch

    def aside(name: str) -> bool:
        return source.family.part_of(name) != "language"

    after = {_short(name): tensor for _, name, tensor in _tensors(out, aside)}
    count = 0
    for _, name, tensor in _tensors(source, aside):
        other = after.get(_short(source.renames[name]))
        if other is None or other.dtype != tensor.dtype or not torch.equal(_bytes(other), _bytes(tensor)):
            raise BuildFailed(
                f"{out.folder}: {name} is not what it was: the vision side must not be quantized"
            )
        count += 1
    return count


def _short(name: str) -> str:
    return name.removeprefix("model.")


def _bytes(tensor: Any) -> Any:
    import torch

    return tensor.contiguous().reshape(-1).view(torch.uint8)


def _tensors(checkpoint: Checkpoint, wanted: Any) -> Iterator[tuple[Path, str, Any]]:
    from safetensors import safe_open

    for path, held in checkpoint.shards.items():
        with safe_open(path, framework="pt") as stored:
            for name in held:
                if wanted(name):
                    yield path, name, stored.get_tensor(name)


def widen_exclusions(folder: Path, family: Family) -> None:
    """Name what stays bf16 by the family's wildcards too.

    ModelOpt writes module names as transformers has them in memory ("model.visual*"); TensorRT-LLM and vLLM match
    those of their own classes, where the tower is "visual".
    """
    for path, keys in (
        (folder / HF_QUANT, ("quantization", "exclude_modules")),
        (folder / "config.json", ("quantization_config", "ignore")),
    ):
        value = json.loads(path.read_text("utf-8"))
        part: Mapping[str, Any] = value.get(keys[0], {})
        if keys[1] in part:
            _extend(part[keys[1]], family.excluded)
            path.write_text(json.dumps(value, indent=2) + "\n", "utf-8")


def _extend(names: list[str], more: Sequence[str]) -> None:
    names.extend(name for name in more if name not in names)
