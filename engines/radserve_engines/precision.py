"""Which precision runs where: TensorRT-LLM 1.2.1's two paths, OpenVINO, and the GPUs; and the nearest that works.

`llm-api` serves a quantized Hugging Face checkpoint with the PyTorch backend; `compiled` builds TensorRT engines with
`trtllm-build`. Rows: NVIDIA ModelOpt's recipes and what TensorRT-LLM 1.2.1 dispatches.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from radserve_engines.errors import BuildRefused

Architecture = Literal["ampere", "ada", "hopper", "blackwell"]
TrtllmPath = Literal["llm-api", "compiled"]
ARCHITECTURES: tuple[Architecture, ...] = get_args(Architecture)
PATHS: tuple[TrtllmPath, ...] = get_args(TrtllmPath)


@dataclass(frozen=True, slots=True)
class Precision:
    """One way to quantize a language model; the vision tower and the projector stay bf16 in all of them.

    `modelopt_config` is ModelOpt's name of the recipe, `quant_algo` what hf_quant_config.json then says; both are
    None where ModelOpt makes nothing. `nearest` is what to take where this one cannot run.
    """

    name: str
    title: str
    weight_bits: int
    activation_bits: int
    modelopt_config: str | None
    quant_algo: str | None
    trtllm_paths: frozenset[TrtllmPath]
    gpus: frozenset[Architecture]
    nearest: str = "bf16"

    @property
    def quantized(self) -> bool:
        """Whether the weights are anything but bf16."""
        return self.weight_bits < 16


def _row(
    name: str,
    title: str,
    bits: tuple[int, int],
    recipe: tuple[str | None, str | None],
    paths: str,
    gpus: str,
    nearest: str,
) -> Precision:
    kinds = frozenset(path for path in PATHS if path in paths.split())
    chips = frozenset(chip for chip in ARCHITECTURES if chip in gpus.split())
    return Precision(name, title, *bits, *recipe, kinds, chips, nearest)


_BOTH, _EVERY = "llm-api compiled", "ampere ada hopper blackwell"
_FP8, _SQ = ("FP8_DEFAULT_CFG", "FP8"), ("INT8_SMOOTHQUANT_CFG", "W8A8_SQ_PER_CHANNEL")
_W8, _AWQ = ("INT8_WEIGHT_ONLY_CFG", "W8A16"), ("INT4_AWQ_CFG", "W4A16_AWQ")
_W4A8, _NVFP4 = ("W4A8_AWQ_BETA_CFG", "W4A8_AWQ"), ("NVFP4_DEFAULT_CFG", "NVFP4")
PRECISIONS: Mapping[str, Precision] = {
    row.name: row
    for row in (
        _row("bf16", "bfloat16", (16, 16), (None, None), _BOTH, _EVERY, "bf16"),
        _row("fp8", "FP8 (e4m3)", (8, 8), _FP8, _BOTH, "ada hopper blackwell", "int8"),
        _row("int8", "INT8 weights", (8, 16), _W8, _BOTH, _EVERY, "bf16"),
        _row("int8-sq", "INT8 SmoothQuant", (8, 8), _SQ, "compiled", _EVERY, "int8"),
        _row("int4-awq", "INT4 AWQ", (4, 16), _AWQ, _BOTH, "ampere ada hopper", "int8"),
        _row("int4-gptq", "INT4 GPTQ", (4, 16), (None, "W4A16_GPTQ"), "compiled", _EVERY, "int4-awq"),
        _row("w4a8-awq", "W4A8 AWQ", (4, 8), _W4A8, _BOTH, "ada hopper", "int4-awq"),
        _row("nvfp4", "NVFP4", (4, 4), _NVFP4, "llm-api", "blackwell", "fp8"),
    )
}
# OpenVINO on a CPU has its own kernels: weights of 16, 8 or 4 bits.
OPENVINO = ("bf16", "int8", "int4-awq")
KV_KINDS = ("fp8", "int8")


def precision_named(name: str) -> Precision:
    """Raises BuildRefused for a name that is not in the table."""
    if name not in PRECISIONS:
        raise BuildRefused(f"precision {name!r} is not known here; known: {', '.join(PRECISIONS)}")
    return PRECISIONS[name]


def runs_on(precision: Precision, gpu: Architecture) -> bool:
    """Whether that GPU has the arithmetic for it."""
    return gpu in precision.gpus


def gpus_of(precision: Precision) -> str:
    """In words: "Ada, Hopper or Blackwell"."""
    names = [chip.capitalize() for chip in ARCHITECTURES if chip in precision.gpus]
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))
