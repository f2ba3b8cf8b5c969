"""Quantized checkpoints: made by NVIDIA ModelOpt, calibrated on rendered images, checked; and read back in PyTorch."""

from radserve_engines.generation import Generation as Sample
from radserve_engines.quantization.exporting import quantize_checkpoint

__all__ = ["Sample", "quantize_checkpoint"]
