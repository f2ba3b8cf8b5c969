"""A quantized checkpoint as a PyTorch model that computes what its file says, so that a gate judges the file itself.

Weights are dequantized once and held in `dtype`; each quantized layer rounds its input as the runtime's kernels do, by
a hook before it; an FP8 cache rounds keys and values where attention takes them. Sums are those of `dtype`, so a GPU's
bf16 rounding between the layers is not simulated, nor that TensorRT-LLM brings fused FP8 projections (q, k, v; gate,
up) to their largest weight scale when it loads them: a second rounding of weights, for which there is `fused`.
"""

import json
import re
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoConfig, GenerationConfig, PreTrainedModel
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask
from transformers.modeling_utils import AttentionInterface

from radserve_engines.errors import CheckpointError
from radserve_engines.quantization.fused_scales import fuse_scales
from radserve_engines.quantization.number_formats import round_fp8
from radserve_engines.quantization.unpacking import LayerInput, Unpacked, unpack_checkpoint

_FP8_CACHE = "radserve_fp8_cache"


def load_simulated(folder: Path, dtype: torch.dtype = torch.float32, *, fused: bool = False) -> Any:
    """The folder's transformers model in eval mode, on the CPU. Raises CheckpointError naming tensor and file.

    `fused` rounds FP8 weights a second time, as TensorRT-LLM's LLM API does with projections that it fuses.
    """
    unpacked = unpack_checkpoint(folder, dtype)
    if fused:
        fuse_scales(folder, unpacked)
    model = _build(folder, unpacked, dtype)
    modules = _modules_by_file_name(model, [*unpacked.inputs, *unpacked.kv])
    for name, layer_input in unpacked.inputs.items():
        _attach(modules.get(name), name, layer_input, unpacked.tensors[f"{name}.weight"])
    if unpacked.scheme.kv:
        _quantize_cache(model, modules, unpacked)
    return model.eval()


def _build(folder: Path, unpacked: Unpacked, dtype: torch.dtype) -> Any:
    config = _plain_config(folder)
    model_class = find_class(folder, config)
    try:
        model, loaded = model_class.from_pretrained(
            None, config=config, state_dict=unpacked.tensors, dtype=dtype, output_loading_info=True
        )
    except (RuntimeError, ValueError) as error:
        raise CheckpointError(
            f"{folder}: {model_class.__name__} cannot be built from these weights: {error}"
        ) from error
    for what in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if loaded[what]:
            first = ", ".join(str(key) for key in list(loaded[what])[:3])
            raise CheckpointError(f"{folder}: {len(loaded[what])} {what.replace('_', ' ')}, such as {first}")
    if (folder / "generation_config.json").is_file():
        model.generation_config = GenerationConfig.from_pretrained(folder, local_files_only=True)
    return model


def find_class(folder: Path, config: Any) -> Any:
    """The transformers class of a checkpoint. By the file: Qwen's `config` gives its text model's architecture."""
    named = json.loads((folder / "config.json").read_text("utf-8")).get("architectures") or [""]
    found = getattr(transformers, named[0], None)
    if isinstance(found, type) and issubclass(found, PreTrainedModel):
        return found
    try:
        return transformers.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING[type(config)]
    except KeyError as error:
        raise CheckpointError(
            f"{folder}/config.json: transformers has no model of images and text for architectures {named}"
        ) from error


def _plain_config(folder: Path) -> Any:
    """Without `quantization_config`, or transformers would look for a quantizer of its own."""
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder}/config.json cannot be read: {error}") from error
    for part in (config, *(getattr(config, name, None) for name in config.sub_configs)):
        if hasattr(part, "quantization_config"):
            del part.quantization_config
    return config


def _attach(module: torch.nn.Module | None, name: str, layer_input: LayerInput, weight: torch.Tensor) -> None:
    if not isinstance(module, torch.nn.Linear):
        raise CheckpointError(
            f"{name} is quantized, but the model has no linear layer of that name to simulate"
        )
    if not torch.equal(module.weight, weight):
        raise CheckpointError(f"{name}: transformers changed the weight while loading it")
    rounding = layer_input.rounding
    if layer_input.smoothing is not None:  # a buffer goes to the model's device
        module.register_buffer("smoothing", layer_input.smoothing.to(weight.dtype), persistent=False)
        module.register_forward_pre_hook(lambda module, given: (given[0] * module.smoothing, *given[1:]))
    if rounding is not None:
        module.register_forward_pre_hook(lambda _, given: (rounding(given[0]), *given[1:]))


def _quantize_cache(model: Any, modules: dict[str, torch.nn.Module], unpacked: Unpacked) -> None:
    """Keys and values pass e4m3 on their way into attention."""
    AttentionInterface.register(_FP8_CACHE, _attend_fp8)
    AttentionMaskInterface.register(_FP8_CACHE, sdpa_mask)
    for name, scales in unpacked.kv.items():
        if (module := modules.get(name)) is None:
            raise CheckpointError(
                f"{name} has cache scales, but {type(model).__name__} has no such attention"
            )
        module.cache_scales = scales
        owner = _owner(model, module)
        if not owner._supports_attention_backend:
            raise CheckpointError(
                f"an FP8 cache cannot be simulated in {type(owner).__name__}: build without --kv fp8"
            )
        if owner.config._attn_implementation != _FP8_CACHE:
            owner.set_attn_implementation(_FP8_CACHE)


def _attend_fp8(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    *rest: Any,
    **more: Any,
) -> Any:
    if (scales := getattr(module, "cache_scales", None)) is not None:
        key, value = round_fp8(key, scales[0]), round_fp8(value, scales[1])
    return AttentionInterface()["sdpa"](module, query, key, value, *rest, **more)


def _modules_by_file_name(model: Any, names: list[str]) -> dict[str, torch.nn.Module]:
    """The modules of those names in the file: transformers renames what it loads by patterns of the class."""
    modules, found = dict(model.named_modules()), {}
    for name in names:
        renamed = name
        for pattern, replacement in type(model)._checkpoint_conversion_mapping.items():
            renamed, changed = re.subn(pattern, replacement, name)
            if changed:
                break
        module = modules.get(renamed, modules.get(f"{model.base_model_prefix}.{renamed}"))
        if module is not None:
            found[name] = module
    return found


def _owner(model: Any, module: torch.nn.Module) -> Any:
    """The innermost whole model around the module, whose configuration chooses the attention."""
    around = [part for part in model.modules() if isinstance(part, PreTrainedModel)]
    return next(part for part in reversed(around) if any(child is module for child in part.modules()))
