"""What a build is asked for, and what of it is refused before any work."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from radserve_engines.errors import BuildRefused
from radserve_engines.families import Family
from radserve_engines.gating import GateSettings
from radserve_engines.precision import (
    KV_KINDS,
    OPENVINO,
    PATHS,
    Architecture,
    Precision,
    TrtllmPath,
    gpus_of,
    precision_named,
    runs_on,
)

TARGETS = ("trtllm", "openvino", "torch")
MOST_AT_ONCE = 64
_FP8_GPUS = ("ada", "hopper", "blackwell")


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """One engine to build. `policy` is a JSON file, `gpu` what it will run on, `key` the private key to sign with.

    `context_length` is question, images and answer in tokens; `samples` is how many of the calibration questions
    count. `reference_answers` keeps the unquantized checkpoint's answers to the gate, for several builds of it; `fresh`
    forgets these and the engine's, and asks again.
    """

    checkpoint: Path
    out: Path
    target: str
    precision: str = "bf16"
    adapters: tuple[Path, ...] = ()
    kv: str | None = None
    calibration: tuple[Path, ...] = ()
    gate: tuple[Path, ...] = ()
    gate_settings: GateSettings = field(default_factory=GateSettings)
    reference_answers: Path | None = None
    fresh: bool = False
    key: Path | None = None
    name: str | None = None
    intended_use: str | None = None
    policy: Path | None = None
    gpu: Architecture | None = None
    tensor_parallel: int = 1
    max_batch_size: int = MOST_AT_ONCE
    context_length: int | None = None
    samples: int = 256
    seed: int = 0

    @property
    def work(self) -> Path:
        """Beside the engine: stage records, intermediate checkpoints, answers, logs."""
        return self.out.with_name(f"{self.out.name}.build")


def choose_path(request: BuildRequest, family: Family) -> TrtllmPath | None:
    """TensorRT-LLM's path for it, None for other targets. Raises BuildRefused with the reason and the nearest."""
    reason = _reason(request, family)
    if reason is None:
        return (
            _trtllm_path(family, precision_named(request.precision)) if request.target == "trtllm" else None
        )
    nearest = next((one for one in _neighbours(request) if _reason(one, family) is None), None)
    advice = f"; the nearest that works: {_words(nearest)}" if nearest else ""
    raise BuildRefused(reason + advice)


def _reason(request: BuildRequest, family: Family) -> str | None:
    precision = precision_named(request.precision)
    if request.target not in TARGETS:
        return f"target {request.target!r} is not known; known: {', '.join(TARGETS)}"
    if request.kv is not None and request.kv not in KV_KINDS:
        return f"a KV cache of {request.kv!r} is not known; known: {', '.join(KV_KINDS)}"
    if request.target != "trtllm" and request.tensor_parallel > 1:
        return f"--tensor-parallel is for --target trtllm: {request.target} runs on one device"
    check = {"trtllm": _reason_trtllm, "openvino": _reason_openvino, "torch": _reason_torch}
    return check[request.target](request, family, precision)


def _reason_trtllm(request: BuildRequest, family: Family, precision: Precision) -> str | None:
    paths = [path for path in PATHS if path in family.paths]
    if not paths:
        return f"TensorRT-LLM 1.2.1 has no path for {family.title}: {family.no_trtllm}"
    path = _trtllm_path(family, precision)
    if path is None:
        wanted, there = " or ".join(sorted(precision.trtllm_paths)), " and ".join(paths)
        return f"{precision.name} needs TensorRT-LLM's {wanted} path, and {family.title} has the {there} path only"
    if request.gpu is not None and not runs_on(precision, request.gpu):
        return f"{precision.title} runs on {gpus_of(precision)}, not on {request.gpu.capitalize()}"
    if request.kv == "fp8" and request.gpu is not None and request.gpu not in _FP8_GPUS:
        return f"an FP8 KV cache needs Ada, Hopper or Blackwell, not {request.gpu.capitalize()}"
    if request.kv == "int8" and path == "llm-api":
        return "the LLM API of TensorRT-LLM 1.2.1 has no INT8 KV cache"
    if request.kv == "fp8" and not precision.quantized:
        return "an FP8 KV cache comes with a quantized checkpoint: bf16 has none"
    return None


def _reason_openvino(request: BuildRequest, family: Family, precision: Precision) -> str | None:
    if "openvino" not in family.paths:
        return f"{family.title} has no OpenVINO export here"
    if precision.name not in OPENVINO:
        return f"OpenVINO on a CPU has no {precision.title}: it takes {', '.join(OPENVINO)}"
    if request.kv == "fp8":
        return "OpenVINO on a CPU has no FP8 KV cache"
    return None


def _reason_torch(request: BuildRequest, family: Family, precision: Precision) -> str | None:
    if precision.quantized and precision.modelopt_config is None:
        return f"ModelOpt has no recipe for {precision.title}: PyTorch has nothing to compute it from"
    if request.kv == "int8":
        return "an INT8 KV cache is not computed in PyTorch"
    if request.kv is not None and not precision.quantized:
        return "a quantized KV cache comes with a quantized checkpoint: bf16 has none"
    return None


def _trtllm_path(family: Family, precision: Precision) -> TrtllmPath | None:
    return next((path for path in PATHS if path in family.paths & precision.trtllm_paths), None)


def _neighbours(request: BuildRequest) -> Iterator[BuildRequest]:
    """Other requests, the least different first: fp8 instead of int8 for the cache, no cache, a nearer precision."""
    precisions = [precision_named(request.precision)]
    while precisions[-1].name != "bf16":
        precisions.append(precision_named(precisions[-1].nearest))
    for target in (request.target, "torch"):
        tensor_parallel = request.tensor_parallel if target == "trtllm" else 1
        for precision in precisions:
            for kv in dict.fromkeys((request.kv, "int8" if target == "openvino" else "fp8", None)):
                if kv is None or request.kv is not None:
                    yield replace(
                        request,
                        target=target,
                        precision=precision.name,
                        kv=kv,
                        tensor_parallel=tensor_parallel,
                    )


def _words(request: BuildRequest) -> str:
    words = f"--target {request.target} --precision {request.precision}"
    return f"{words} --kv {request.kv}" if request.kv else words
