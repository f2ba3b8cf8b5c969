"""The number formats of quantized engines: rounding to them, and the 4-bit values out of their bytes.

`round_*` return what a kernel sees once it has quantized and dequantized: same shape and dtype, rounded half to even
in float32, saturated at the format's ends. Scales are those of NVIDIA ModelOpt's exported checkpoints: a value is
code × scale.
"""

from collections.abc import Callable

import torch

E4M3_MAX = 448.0
E2M1_MAX = 6.0
NVFP4_BLOCK = 16
# OCP Microscaling Formats 1.0, table 5: magnitudes of the three low bits; the fourth is the sign.
_E2M1 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)

Rounding = Callable[[torch.Tensor], torch.Tensor]


def round_e4m3(values: torch.Tensor) -> torch.Tensor:
    """float32 to float8 e4m3fn without a scale; past ±448 it saturates, as the kernels do. NaN stays NaN."""
    return values.clamp(-E4M3_MAX, E4M3_MAX).to(torch.float8_e4m3fn).float()


def round_fp8(values: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """To float8 e4m3 with one static scale for the tensor: FP8 and W4A8 inputs, keys and values of an FP8 cache."""
    return round_e4m3(values.float() / scale).mul_(scale).to(values.dtype)


def round_int8(values: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """To int8 with one static scale for the tensor: SmoothQuant's inputs."""
    return (values.float() / scale).round_().clamp_(-128, 127).mul_(scale).to(values.dtype)


def round_int8_by_token(values: torch.Tensor) -> torch.Tensor:
    """To int8, symmetric, each token (last axis) with the scale of its own largest magnitude."""
    scale = values.float().abs().amax(-1, keepdim=True) / 127
    return round_int8(values, scale.clamp_min(torch.finfo(torch.float32).tiny))


def round_nvfp4(values: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """To e2m1 in blocks of 16 along the last axis; `scale` is the tensor's, each block's own is e4m3 times that."""
    blocks = values.float().unflatten(-1, (-1, NVFP4_BLOCK))
    block_scale = round_e4m3(blocks.abs().amax(-1, keepdim=True) / (E2M1_MAX * scale)) * scale
    divisor = torch.where(block_scale == 0, torch.ones_like(block_scale), block_scale)
    return (round_e2m1(blocks / divisor) * block_scale).flatten(-2).to(values.dtype)


def round_e2m1(values: torch.Tensor) -> torch.Tensor:
    """To the nearest of 0, ½, 1, 1½, 2, 3, 4, 6, with their signs."""
    size = values.abs().clamp(max=E2M1_MAX)
    step = torch.where(size < 2, 0.5, torch.where(size < 4, 1.0, 2.0))
    return ((size / step).round() * step).copysign(values)


def unpack_int4(packed: torch.Tensor) -> torch.Tensor:
    """uint8 (out / 2, in), two output channels a byte, the even one low → int8 (out, in), two's complement."""
    low, high = packed & 0x0F, packed >> 4
    codes = torch.stack((low, high), dim=1).flatten(0, 1).to(torch.int8)
    return torch.where(codes > 7, codes - 16, codes)


def unpack_e2m1(packed: torch.Tensor) -> torch.Tensor:
    """uint8 (out, in / 2), two input channels a byte, the even one low → float32 (out, in)."""
    codes = torch.stack((packed & 0x0F, packed >> 4), dim=-1).flatten(-2).long()
    return torch.tensor([*_E2M1, *(-value for value in _E2M1)])[codes]
