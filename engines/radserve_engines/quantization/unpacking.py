"""Reads a quantized checkpoint as NVIDIA ModelOpt exports it: weights as the kernels see them, rounding of inputs.

The unified Hugging Face format (ModelOpt 0.47): hf_quant_config.json names the algorithm; beside each quantized
`weight` stand `weight_scale` and, by the algorithm, `weight_scale_2`, `input_scale` and `pre_quant_scale`; an FP8
cache adds `k_proj.k_scale` and `v_proj.v_scale`. This is the file that TensorRT-LLM loads. Nothing is trusted: a scale
that is missing, not finite, not positive or of another shape is refused with its name and file.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch

from radserve_engines.errors import CheckpointError
from radserve_engines.quantization.number_formats import (
    NVFP4_BLOCK,
    Rounding,
    round_fp8,
    round_int8,
    round_int8_by_token,
    round_nvfp4,
    unpack_e2m1,
    unpack_int4,
)
from radserve_engines.quantization.tensor_files import TensorFiles

CONFIG_NAME = "hf_quant_config.json"
_CACHE = (".k_proj.k_scale", ".v_proj.v_scale")
# What stands beside a quantized weight and is no parameter of the model.
_BESIDE = (".weight_scale", ".weight_scale_2", ".input_scale", ".pre_quant_scale", *_CACHE)
_QUANTIZED = (torch.float8_e4m3fn, torch.int8, torch.uint8)


@dataclass(frozen=True, slots=True)
class Algorithm:
    """How one `quant_algo` keeps weights, rounds inputs ("" leaves them), and whether AWQ's groups apply."""

    weights: str
    inputs: str = ""
    grouped: bool = False
    smoothed: bool = False


ALGORITHMS: Mapping[str, Algorithm] = {
    "FP8": Algorithm("fp8", "fp8"),
    "W8A16": Algorithm("int8"),
    "W8A8_SQ_PER_CHANNEL": Algorithm("int8", "int8", smoothed=True),
    "W8A8_SQ_PER_CHANNEL_PER_TOKEN_PLUGIN": Algorithm("int8", "int8-by-token", smoothed=True),
    "W4A16_AWQ": Algorithm("int4", grouped=True, smoothed=True),
    "W4A8_AWQ": Algorithm("int4-fp8", "fp8", grouped=True, smoothed=True),
    "NVFP4": Algorithm("nvfp4", "nvfp4", grouped=True),
}


@dataclass(frozen=True, slots=True)
class Scheme:
    """What hf_quant_config.json says. `group` is the number of input channels that share a scale, 0 if all do."""

    name: str
    algorithm: Algorithm
    kv: str | None
    group: int


@dataclass(frozen=True, slots=True)
class LayerInput:
    """What happens to a quantized layer's input: × `smoothing` (in,) if there is one, then `rounding`."""

    smoothing: torch.Tensor | None
    rounding: Rounding | None


@dataclass(frozen=True, slots=True)
class Unpacked:
    """`tensors` by their names in the file, quantized ones dequantized; `inputs` by a layer's name without .weight.

    `kv` has the scales of keys and values by the attention's name; empty when the cache is not quantized.
    """

    scheme: Scheme
    tensors: dict[str, torch.Tensor] = field(default_factory=dict)
    inputs: dict[str, LayerInput] = field(default_factory=dict)
    kv: dict[str, tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)


def is_quantized(folder: Path) -> bool:
    """Whether the folder holds a quantized checkpoint of this format."""
    return (folder / CONFIG_NAME).is_file()


def read_scheme(folder: Path) -> Scheme:
    """Raises CheckpointError for a missing or malformed hf_quant_config.json and for what is not unpacked here."""
    path = folder / CONFIG_NAME
    try:
        stated = json.loads(path.read_text("utf-8"))["quantization"]
        name, kv, group = stated["quant_algo"], stated.get("kv_cache_quant_algo"), stated.get("group_size", 0)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path} does not say how the weights are quantized ({error!r}): export them again"
        ) from error
    if name not in ALGORITHMS:
        raise CheckpointError(
            f"{path}: quant_algo {name!r} cannot be unpacked here; known: {', '.join(ALGORITHMS)}"
        )
    algorithm = ALGORITHMS[name]
    if kv not in (None, "FP8"):
        raise CheckpointError(f"{path}: kv_cache_quant_algo {kv!r} cannot be simulated here; FP8 or none can")
    if algorithm.grouped and not (isinstance(group, int) and group > 0):
        raise CheckpointError(f"{path}: {name} needs a positive group_size, not {group!r}")
    if name == "NVFP4" and group != NVFP4_BLOCK:
        raise CheckpointError(f"{path}: NVFP4 has blocks of {NVFP4_BLOCK}, not group_size {group}")
    return Scheme(name, algorithm, kv, group if algorithm.grouped else 0)


def unpack_checkpoint(folder: Path, dtype: torch.dtype = torch.float32) -> Unpacked:
    """Every tensor of the folder in `dtype`, on the CPU. Raises CheckpointError naming the tensor and its file."""
    scheme = read_scheme(folder)
    files = TensorFiles(folder)
    unpacked = Unpacked(scheme)
    for name in files.names:
        if name.endswith(_BESIDE):
            continue
        tensor = files.read(name)
        if tensor.dtype in _QUANTIZED or name.removesuffix(".weight") + ".weight_scale" in files.names:
            layer = _Layer(files, name.removesuffix(".weight"), scheme)
            tensor = layer.dequantize(tensor)
            unpacked.inputs[layer.name] = layer.input(tensor.shape[1])
        unpacked.tensors[name] = tensor.to(dtype) if tensor.is_floating_point() else tensor
    if not unpacked.inputs:
        raise CheckpointError(f"{folder} says it is {scheme.name}, but no weight in it is quantized")
    if scheme.kv:
        unpacked.kv.update(_read_cache_scales(files, unpacked))
    return unpacked


def _read_cache_scales(
    files: TensorFiles, unpacked: Unpacked
) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """By the attention's name. A file without any has 1 throughout, as TensorRT-LLM takes it."""
    key, value = _CACHE
    names = [name.removesuffix(key) for name in files.names if name.endswith(key)]
    if names:
        return {n: (files.read_scale(n + key, ()), files.read_scale(n + value, ())) for n in names}
    attentions = [name.removesuffix(".k_proj") for name in unpacked.inputs if name.endswith(".k_proj")]
    return {name: (torch.ones(()), torch.ones(())) for name in attentions}


@dataclass(frozen=True, slots=True)
class _Layer:
    files: TensorFiles
    name: str
    scheme: Scheme

    def dequantize(self, stored: torch.Tensor) -> torch.Tensor:
        """(out, in) float32."""
        way = self.scheme.algorithm.weights
        wanted = {"fp8": torch.float8_e4m3fn, "int8": torch.int8}.get(way, torch.uint8)
        if stored.dtype != wanted or stored.ndim != 2:
            raise self._error(
                f"is {stored.dtype} of shape {tuple(stored.shape)}, but {self.scheme.name} keeps its weights as "
                f"{wanted} with two axes"
            )
        weight = {"fp8": self._fp8, "int8": self._int8, "nvfp4": self._nvfp4}.get(way, self._int4)(stored)
        if not weight.isfinite().all():
            raise self._error("is not finite once dequantized")
        return weight

    def input(self, width: int) -> LayerInput:
        """How the layer's input of that many channels is treated."""
        way = self.scheme.algorithm.inputs
        smoothing = self._scale("pre_quant_scale", (width,)) if self._smoothed() else None
        if not way:
            return LayerInput(smoothing, None)
        if way == "int8-by-token":
            return LayerInput(smoothing, round_int8_by_token)
        if way == "nvfp4" and width % NVFP4_BLOCK:
            raise self._error(f"has {width} input channels, which are no whole blocks of {NVFP4_BLOCK}")
        rounding = {"fp8": round_fp8, "int8": round_int8, "nvfp4": round_nvfp4}[way]
        return LayerInput(smoothing, partial(rounding, scale=self._scale("input_scale", ())))

    def _smoothed(self) -> bool:
        """AWQ leaves the scale out where it is already in the norm before; an algorithm without may not have one."""
        found = f"{self.name}.pre_quant_scale" in self.files.names
        if found and not self.scheme.algorithm.smoothed:
            raise self._error(f"has a pre_quant_scale, which {self.scheme.name} does not apply")
        return found

    def _fp8(self, stored: torch.Tensor) -> torch.Tensor:
        return stored.float() * self._scale("weight_scale", ())

    def _int8(self, stored: torch.Tensor) -> torch.Tensor:
        return stored.float() * self._scale("weight_scale", (stored.shape[0],))[:, None]

    def _int4(self, stored: torch.Tensor) -> torch.Tensor:
        codes = unpack_int4(stored).float()
        scale = self._scale("weight_scale", self._groups(*codes.shape))
        weight = (codes.unflatten(1, (-1, self.scheme.group)) * scale[..., None]).flatten(1)
        if self.scheme.algorithm.weights == "int4-fp8":
            weight = round_fp8(weight, self._scale("weight_scale_2", ()))
        return weight

    def _nvfp4(self, stored: torch.Tensor) -> torch.Tensor:
        values = unpack_e2m1(stored)
        scale = self._scale("weight_scale", self._groups(*values.shape)) * self._scale("weight_scale_2", ())
        return (values.unflatten(1, (-1, self.scheme.group)) * scale[..., None]).flatten(1)

    def _groups(self, outputs: int, inputs: int) -> tuple[int, int]:
        if inputs % self.scheme.group:
            raise self._error(
                f"has {inputs} input channels, which group_size {self.scheme.group} does not divide"
            )
        return outputs, inputs // self.scheme.group

    def _scale(self, kind: str, shape: tuple[int, ...]) -> torch.Tensor:
        return self.files.read_scale(f"{self.name}.{kind}", shape)

    def _error(self, message: str) -> CheckpointError:
        return CheckpointError(f"{self.files.place(f'{self.name}.weight')}: {self.name}.weight {message}")
