"""What TensorRT-LLM does to FP8 projections that it fuses: one weight scale for all of them, the largest."""

from pathlib import Path

from radserve_engines.quantization.number_formats import round_fp8
from radserve_engines.quantization.tensor_files import TensorFiles
from radserve_engines.quantization.unpacking import Unpacked

_GROUPS = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))


def fuse_scales(folder: Path, unpacked: Unpacked) -> None:
    """Rounds the weights in place (`rescale_fused_weights` of TensorRT-LLM's linear.py); other algorithms stay.

    Their input scales are one already: ModelOpt calibrates them on the same input.
    """
    if unpacked.scheme.name != "FP8":
        return
    files = TensorFiles(folder)
    for names in _GROUPS:
        parents = {name.removesuffix(names[0]) for name in unpacked.inputs if name.endswith(f".{names[0]}")}
        for parent in parents:
            layers = [parent + name for name in names if parent + name in unpacked.inputs]
            largest = max(files.read_scale(f"{layer}.weight_scale", ()) for layer in layers)
            for layer in layers:
                weight = unpacked.tensors[f"{layer}.weight"]
                unpacked.tensors[f"{layer}.weight"] = round_fp8(weight, largest.to(weight.dtype))
