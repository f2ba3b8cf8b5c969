"""Which of TensorRT-LLM's converters reads a checkpoint's language model, and in which precisions."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from radserve_engines.errors import BuildRefused
from radserve_engines.families import Family
from radserve_engines.precision import Precision

_QUANTIZE = "quantization/quantize.py"
_CALIBRATED = {"fp8": "fp8", "int4-awq": "int4_awq", "w4a8-awq": "w4a8_awq"}
_LLAMA_LIKE = ("llama", "mistral", "vicuna")


@dataclass(frozen=True, slots=True)
class Converter:
    """One `convert_checkpoint.py` below the examples; `reads_vlm` when it takes the whole checkpoint as it is."""

    script: str
    precisions: frozenset[str]
    reads_vlm: bool = True
    int8_kv: bool = True
    options: tuple[tuple[str, str], ...] = ()


_WEIGHT_ONLY = frozenset({"bf16", "int8"})
_ALL = _WEIGHT_ONLY | {"int8-sq", "int4-gptq", *_CALIBRATED}
_QWEN = Converter("models/core/qwen/convert_checkpoint.py", _ALL)
_LLAMA = Converter("models/core/llama/convert_checkpoint.py", _ALL)
_OPT = Converter(
    "models/contrib/opt/convert_checkpoint.py", _WEIGHT_ONLY, True, False, (("--model_type", "blip2"),)
)
# NVIDIA has a converter for BLOOM, but no recipe of BLIP-2 with it: the language model is cut out for it.
_BLOOM = Converter("models/contrib/bloom/convert_checkpoint.py", _WEIGHT_ONLY | {"int8-sq"}, False)
_CONVERTERS: Mapping[str, Converter] = {
    "qwen2": _QWEN,
    "qwen2_vl": _QWEN,
    "qwen2_vl_text": _QWEN,
    "opt": _OPT,
    "bloom": _BLOOM,
    **dict.fromkeys(_LLAMA_LIKE, _LLAMA),
}


def choose_converter(checkpoint: Path, family: Family, precision: Precision) -> Converter:
    """Raises BuildRefused with the reason and the nearest that works."""
    if family.builder_type is None or "compiled" not in family.paths:
        near = (
            "--precision int8 or fp8 takes the LLM API"
            if "llm-api" in family.paths
            else "take --target torch"
        )
        raise BuildRefused(f"TensorRT-LLM has no compiled path for {family.title}: {near}")
    kind = language_kind(checkpoint)
    converter = _CONVERTERS.get(kind)
    if converter is None:
        known = ", ".join(_CONVERTERS)
        raise BuildRefused(f"no converter is known for the language model {kind!r}; known: {known}")
    if precision.name not in converter.precisions:
        known = ", ".join(sorted(converter.precisions))
        raise BuildRefused(
            f"{converter.script} does not make {precision.name} of a {kind} model; it makes {known}"
        )
    if precision.name == "int4-gptq" and not _is_gptq(checkpoint):
        raise BuildRefused(
            "int4-gptq is converted from a checkpoint that GPTQ has quantized already (config.json: "
            "quantization_config.quant_method gptq), and this one is not; --precision int4-awq needs no such checkpoint"
        )
    return converter


def language_kind(checkpoint: Path) -> str:
    """`model_type` of the language model: of text_config where the checkpoint has one."""
    config = _read_config(checkpoint)
    return str((config.get("text_config") or config).get("model_type") or config.get("model_type"))


def quantization_tool(precision: Precision) -> str | None:
    """quantize.py's `--qformat` for the precisions that are calibrated by it, else None."""
    return _CALIBRATED.get(precision.name)


def language_model_options(
    precision: Precision, calibration: Path | None
) -> dict[str, str | float | bool | Path]:
    """The converter's own options. SmoothQuant scales each token while it runs: calibration only sets the smoothing."""
    if precision.name == "int8":
        return {"--use_weight_only": True, "--weight_only_precision": "int8"}
    if precision.name == "int4-gptq":
        return {"--use_weight_only": True, "--weight_only_precision": "int4_gptq", "--per_group": True}
    if precision.name == "int8-sq":
        if calibration is None:
            raise BuildRefused("int8-sq is calibrated: name questions with --calibration")
        return {
            "--smoothquant": 0.5,
            "--per_channel": True,
            "--per_token": True,
            "--calib_dataset": calibration,
        }
    return {}


def cut_out_language_model(checkpoint: Path, out: Path) -> Path:
    """BLIP-2's language model as a checkpoint of its own; kept if it is there. Returns its folder."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    if (out / "config.json").exists():
        return out
    out.mkdir(parents=True, exist_ok=True)
    prefix, tensors = "language_model.", dict[str, Any]()
    for shard in sorted(checkpoint.glob("*.safetensors")):
        with safe_open(shard, framework="pt") as stream:
            names = [name for name in stream.keys() if name.startswith(prefix)]  # noqa: SIM118
            tensors |= {name.removeprefix(prefix): stream.get_tensor(name) for name in names}
    if not tensors:
        raise BuildRefused(f"{checkpoint} holds no tensors of a language model ({prefix}…)")
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        if (checkpoint / name).is_file():
            (out / name).write_bytes((checkpoint / name).read_bytes())
    (out / "config.json").write_text(json.dumps(_read_config(checkpoint)["text_config"], indent=2), "utf-8")
    return out


def _is_gptq(checkpoint: Path) -> bool:
    return (_read_config(checkpoint).get("quantization_config") or {}).get("quant_method") == "gptq"


def _read_config(checkpoint: Path) -> dict[str, Any]:
    path = checkpoint / "config.json"
    try:
        config: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise BuildRefused(f"{path} cannot be read: {error}") from error
    return config
