"""ModelOpt's recipe for a precision, narrowed to the language model of a family; and whether its widths allow it."""

import copy
import re
from collections.abc import Iterator
from typing import Any

from radserve_engines.errors import BuildRefused
from radserve_engines.families import Family
from radserve_engines.precision import Precision
from radserve_engines.quantization.modelopt import quiet

GROUPS = {"W4A16_AWQ": 128, "W4A8_AWQ": 128, "NVFP4": 16}
_TILES = {**GROUPS, "FP8": 16}  # what the kernels of each take of an input width
_FP8 = (4, 3)  # bits of exponent and mantissa
# Half of the outliers' range moves into the weights, as in the SmoothQuant paper and TensorRT-LLM's recipes. ModelOpt's
# own 1.0 moves all: on the demo checkpoint the logits' KL divergence is then 40 times as large.
_SMOOTHQUANT = {"method": "smoothquant", "alpha": 0.5}


def make_recipe(precision: Precision, family: Family, kv: str | None = None) -> dict[str, Any]:
    """For `mtq.quantize`. Raises BuildRefused for a precision or KV cache that ModelOpt does not make.

    The vision tower, projector and head come last, so nothing before them counts; a quantized KV cache only on
    request. Convolutions are set back to INT8 before they are switched off: ModelOpt runs a Conv3d whose quantizers
    are NVFP4 on a kernel of its own even when they are off, and that needs a GPU.
    """
    if precision.modelopt_config is None:
        raise BuildRefused(_refusal(precision))
    if kv not in (None, "fp8"):
        raise BuildRefused(f"ModelOpt's Hugging Face checkpoints have no {kv} KV cache: take fp8, or none")
    with quiet():
        import modelopt.torch.quantization as mtq

    recipe: dict[str, Any] = copy.deepcopy(getattr(mtq, precision.modelopt_config))
    if recipe["algorithm"] == "smoothquant":
        recipe["algorithm"] = dict(_SMOOTHQUANT)
    rules = recipe["quant_cfg"]
    for kind in ("nn.Conv1d", "nn.Conv2d", "nn.Conv3d"):
        off = {
            "quantizer_name": "*",
            "parent_class": kind,
            "cfg": {"num_bits": 8, "axis": None},
            "enable": False,
        }
        rules.append(off)
    if kv is not None:
        rules.append({"quantizer_name": "*[kv]_bmm_quantizer", "cfg": {"num_bits": _FP8, "axis": None}})
    rules.extend({"quantizer_name": pattern, "enable": False} for pattern in family.excluded)
    return recipe


def list_quantized(model: Any, family: Family) -> Iterator[tuple[str, Any]]:
    """Name and module of each linear layer that a precision applies to: the language model's, without its head."""
    import torch

    for name, module in model.named_modules():
        head = re.search(r"(^|\.)lm_head$", name)
        if isinstance(module, torch.nn.Linear) and family.part_of(name) == "language" and not head:
            yield name, module


def check_widths(model: Any, family: Family, precision: Precision) -> None:
    """Raises BuildRefused naming the layer whose input width the kernels' groups do not divide."""
    group = _TILES.get(precision.quant_algo or "", 1)
    for name, module in list_quantized(model, family):
        if module.in_features % group:
            raise BuildRefused(
                f"{precision.name} works on groups of {group}, which do not divide the {module.in_features} inputs of "
                f"{name}: take int8"
            )


def _refusal(precision: Precision) -> str:
    if precision.name == "int4-gptq":
        return (
            "int4-gptq: ModelOpt makes no GPTQ weights; quantize the checkpoint with a GPTQ tool (quant_method gptq in "
            "its config.json) and give that, or take int4-awq"
        )
    return f"{precision.name}: there is nothing to quantize"
