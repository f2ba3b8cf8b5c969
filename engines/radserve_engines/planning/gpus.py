"""The GPUs a plan can be made for: memory, bandwidth, dense arithmetic and the link between two of them.

Data sheets give tensor-core figures with 2:4 sparsity, which no language model here has: the dense figure, half of
it, is what stands below. Memory is what the driver reports (`nvidia-smi`, memory.total, MiB with ECC on), which on
GDDR6 cards is about a sixteenth less than the name says.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from radserve_engines.errors import PlanError
from radserve_engines.precision import Architecture, Precision

_MIB = 1024 * 1024
# One all-reduce of a few kB, from launch to result; what collectives take at best between neighbours.
_NVLINK_LATENCY, _PCIE_LATENCY = 7e-6, 25e-6


@dataclass(frozen=True, slots=True)
class Gpu:
    """One card. Bytes, bytes a second, FLOP/s (dense), watts; `link` is one direction of the link to its peers."""

    name: str
    title: str
    architecture: Architecture
    memory: int
    bandwidth: float
    bf16: float
    int8: float
    fp8: float | None
    fp4: float | None
    link: float
    link_name: str
    link_latency: float
    watts: int
    source: str

    def peak(self, precision: Precision) -> float:
        """FLOP/s of the multiplications of that precision; weight-only ones multiply in bf16."""
        if precision.activation_bits == 16:
            return self.bf16
        if precision.activation_bits == 4:
            return self.fp4 or self.bf16
        return self.int8 if precision.name.startswith("int8") else self.fp8 or self.bf16


def _gpu(
    name: str,
    title: str,
    architecture: Architecture,
    memory: tuple[int, float],
    tflops: tuple[float, float, float | None, float | None],
    link: tuple[str, float],
    watts: int,
    source: str,
) -> Gpu:
    """Memory as (MiB, GB/s), arithmetic as TFLOP/s of bf16, int8, fp8, fp4, the link as (name, GB/s both ways)."""
    bf16, int8, fp8, fp4 = (None if one is None else one * 1e12 for one in tflops)
    latency = _NVLINK_LATENCY if link[0] == "NVLink" else _PCIE_LATENCY
    return Gpu(
        name=name,
        title=title,
        architecture=architecture,
        memory=memory[0] * _MIB,
        bandwidth=memory[1] * 1e9,
        bf16=bf16 or 0.0,
        int8=int8 or 0.0,
        fp8=fp8,
        fp4=fp4,
        link=link[1] * 1e9 / 2,
        link_name=link[0],
        link_latency=latency,
        watts=watts,
        source=source,
    )


_A100 = "NVIDIA A100 Tensor Core GPU data sheet, SXM"
_AMPERE = (312, 624, None, None)
_HOPPER = (990, 1979, 1979, None)
_NV3, _NV4, _NV5, _PCIE = ("NVLink", 600), ("NVLink", 900), ("NVLink", 1800), ("PCIe 4", 64)
GPUS: Mapping[str, Gpu] = {
    gpu.name: gpu
    for gpu in (
        _gpu("A100-40", "A100 SXM 40 GB", "ampere", (40960, 1555), _AMPERE, _NV3, 400, _A100),
        _gpu("A100-80", "A100 SXM 80 GB", "ampere", (81920, 2039), _AMPERE, _NV3, 400, _A100),
        _gpu(
            "H100",
            "H100 SXM 80 GB",
            "hopper",
            (81559, 3350),
            _HOPPER,
            _NV4,
            700,
            "NVIDIA H100 data sheet, SXM",
        ),
        _gpu(
            "H200",
            "H200 SXM 141 GB",
            "hopper",
            (143771, 4800),
            _HOPPER,
            _NV4,
            700,
            "NVIDIA H200 data sheet, SXM",
        ),
        _gpu(
            "L4",
            "L4 24 GB",
            "ada",
            (23034, 300),
            (121, 242.5, 242.5, None),
            _PCIE,
            72,
            "NVIDIA L4 data sheet",
        ),
        _gpu(
            "L40S",
            "L40S 48 GB",
            "ada",
            (46068, 864),
            (362, 733, 733, None),
            _PCIE,
            350,
            "NVIDIA L40S data sheet",
        ),
        _gpu(
            "B200",
            "B200 SXM 180 GB",
            "blackwell",
            (183359, 8000),
            (2250, 4500, 4500, 9000),
            _NV5,
            1000,
            "NVIDIA DGX B200 and HGX B200 data sheets, an eighth of the system",
        ),
    )
}


def gpu_named(name: str) -> Gpu:
    """By name, in any case; raises PlanError that lists the known ones."""
    for gpu in GPUS.values():
        if gpu.name.casefold() == name.casefold():
            return gpu
    hint = "; say A100-40 or A100-80" if name.casefold() == "a100" else ""
    raise PlanError(f"--gpu: {name!r} is not known here{hint}; known: {', '.join(GPUS)}", param="gpu")
