"""`llm_args.yaml`: how the LLM API serves a quantized Hugging Face checkpoint, safe for patients by default.

Block reuse is off: keys and values of one patient's question are never read by another's (and reuse with images had
open bugs in the 1.2 line). GUARANTEED_NO_EVICT: an answer that has begun is never thrown out to be begun again. A part
of the memory is left to the vision tower, which NVIDIA's multimodal example does as well.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from radserve_engines.errors import BuildRefused, ManifestError
from radserve_engines.families import Family, family_of, read_settings
from radserve_engines.precision import PRECISIONS
from radserve_engines.trtllm.model_config import complete_config
from radserve_engines.trtllm.signatures import VERSION, find_faults, read_tables

FILE_NAME = "llm_args.yaml"
# Families whose prompts may be cut into chunks, an image across two of them included.
_CHUNKED = frozenset({"qwen2_vl", "qwen2_5_vl", "llava_next"})
# Only this backend has the masks that let an image's tokens see each other.
_ATTENTION = {"gemma3": "FLASHINFER"}
_NESTED = ("KvCacheConfig", "SchedulerConfig", "CudaGraphConfig")


@dataclass(frozen=True, slots=True)
class LlmSettings:
    """What is chosen for an engine. Lengths in tokens; `max_batch_size` answers are decoded at once.

    `kv` is "fp8" or None for the checkpoint's own type. `gpu_memory_fraction` is the share of the memory that is free
    once the weights are in, for the KV cache. Raises BuildRefused.
    """

    tensor_parallel: int = 1
    max_batch_size: int = 32
    max_seq_len: int = 4096
    max_num_tokens: int = 8192
    kv: str | None = None
    gpu_memory_fraction: float = 0.6

    def __post_init__(self) -> None:
        for name in ("tensor_parallel", "max_batch_size", "max_seq_len", "max_num_tokens"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise BuildRefused(f"{name} must be a positive integer, not {value!r}", param=name)
        if not 0 < self.gpu_memory_fraction <= 1:
            message = f"gpu_memory_fraction must lie between 0 and 1, not {self.gpu_memory_fraction!r}"
            raise BuildRefused(message, param="gpu_memory_fraction")
        if self.kv not in (None, "fp8"):
            message = f"the LLM API keeps keys and values in the checkpoint's type or in fp8, not {self.kv!r}"
            raise BuildRefused(f"{message}; an int8 KV cache needs the compiled path", param="kv")


def build_llm_args(settings: LlmSettings, family: Family | None = None) -> dict[str, Any]:
    """The arguments of `tensorrt_llm.LLM`, all but `model`, checked."""
    chunked = family is None or family.name in _CHUNKED
    # Without chunks a prompt must fit into one step.
    step = settings.max_num_tokens if chunked else max(settings.max_num_tokens, settings.max_seq_len)
    arguments: dict[str, Any] = {
        "tensor_parallel_size": settings.tensor_parallel,
        "dtype": "auto",
        "max_batch_size": settings.max_batch_size,
        "max_seq_len": settings.max_seq_len,
        "max_input_len": settings.max_seq_len,
        "max_num_tokens": step,
        "max_beam_width": 1,
        "enable_chunked_prefill": chunked,
        "kv_cache_config": {
            "enable_block_reuse": False,
            "enable_partial_reuse": False,
            "free_gpu_memory_fraction": settings.gpu_memory_fraction,
            "dtype": settings.kv or "auto",
        },
        "scheduler_config": {"capacity_scheduler_policy": "GUARANTEED_NO_EVICT"},
        "cuda_graph_config": {"enable_padding": True, "max_batch_size": settings.max_batch_size},
        "stream_interval": 1,
        "return_perf_metrics": True,
        "trust_remote_code": False,
    }
    if family is not None and family.name in _ATTENTION:
        arguments["attn_backend"] = _ATTENTION[family.name]
    check_llm_args(arguments)
    return arguments


def check_llm_args(arguments: Mapping[str, Any]) -> None:
    """Raises BuildRefused with everything that TensorRT-LLM 1.2.1's `LLM` would not take; `model` may be absent."""
    if faults := _find_faults(arguments):
        raise BuildRefused(f"{FILE_NAME}: {'; '.join(faults)}")


def write_llm_args(folder: Path, arguments: Mapping[str, Any]) -> Path:
    """`llm_args.yaml` in the folder; checked before a byte is written. Raises BuildRefused."""
    check_llm_args(arguments)
    import yaml

    path = folder / FILE_NAME
    head = f"# Arguments of tensorrt_llm.LLM {VERSION}; `model` is this folder.\n"
    path.write_text(head + yaml.safe_dump(dict(arguments), sort_keys=False), "utf-8")
    return path


def read_llm_args(folder: Path) -> dict[str, Any]:
    """What `write_llm_args` wrote, checked again. Raises ManifestError naming the file and the argument."""
    import yaml

    path = folder / FILE_NAME
    try:
        arguments = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ManifestError(f"{path} cannot be read: {error}; build the engine again") from error
    if not isinstance(arguments, dict):
        raise ManifestError(f"{path} must hold arguments by name; build the engine again")
    if faults := _find_faults(arguments):
        raise ManifestError(f"{path}: {'; '.join(faults)}")
    return arguments


def prepare_llm_api(quantized: Path, out: Path, settings: LlmSettings) -> dict[str, Any]:
    """An engine folder of the quantized checkpoint and `llm_args.yaml`; returns the manifest's runtime_options.

    Files stay where they are: they are linked where the disk allows it, else copied. Raises BuildRefused,
    CheckpointError.
    """
    family = family_of(read_settings(quantized))
    if "llm-api" not in family.paths:
        other = "its compiled path does" if "compiled" in family.paths else "take --target torch"
        raise BuildRefused(f"TensorRT-LLM {VERSION}'s LLM API does not know {family.title}: {other}")
    _check_quantization(quantized)
    arguments = build_llm_args(settings, family)
    out.mkdir(parents=True, exist_ok=True)
    if quantized.resolve() != out.resolve():
        for source in sorted(path for path in quantized.rglob("*") if path.is_file()):
            _place(source, out / source.relative_to(quantized))
    complete_config(out)
    write_llm_args(out, arguments)
    return {"path": "llm-api", **asdict(settings)}


def _check_quantization(quantized: Path) -> None:
    """Raises BuildRefused for one that TensorRT-LLM would only stumble over once the weights are on the GPU."""
    path = quantized / "hf_quant_config.json"
    if not path.is_file():
        return
    try:
        algorithm = json.loads(path.read_text("utf-8"))["quantization"]["quant_algo"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BuildRefused(f"{path} cannot be read: {error!r}") from error
    served = {p.quant_algo for p in PRECISIONS.values() if "llm-api" in p.trtllm_paths and p.quant_algo}
    if algorithm not in served:
        known = ", ".join(sorted(served))
        raise BuildRefused(f"{path}: the LLM API does not serve quant_algo {algorithm}; it serves {known}")


def _place(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        target.hardlink_to(source.resolve())
    except OSError:
        shutil.copy2(source, target)


def _find_faults(arguments: Mapping[str, Any]) -> list[str]:
    tables = read_tables("llm_args")
    refused, newer = tables["refused"], tables["newer"]
    faults = [f"{name}: {refused[name]}" for name in arguments if name in refused]
    faults += [f"{name} is newer than TensorRT-LLM {VERSION}" for name in arguments if name in newer]
    rest = {name: value for name, value in arguments.items() if name not in refused and name not in newer}
    nested = {name: tables[name] for name in _NESTED}
    return faults + find_faults({"model": ".", **rest}, tables["LLM"], nested)
