"""The plan: every GPU with every precision, on the fewest GPUs that hold it, or why not."""

from collections.abc import Sequence
from dataclasses import dataclass

from radserve_engines.errors import PlanError
from radserve_engines.families import list_families
from radserve_engines.planning.gpus import Gpu
from radserve_engines.planning.memory import GIB, Memory, division_fault, largest_batch, memory_for
from radserve_engines.planning.model_size import ModelSize
from radserve_engines.planning.question import Question
from radserve_engines.planning.roofline import EXPECTED, FLOOR, SATURATED, Efficiency, Roofline
from radserve_engines.planning.training_memory import TrainingMemory, training_memory
from radserve_engines.precision import PRECISIONS, Precision, gpus_of, runs_on

NODE = 8  # GPUs that one link joins; beyond are other nodes
_SIZES = (1, 2, 4, 8)
_TRAINING_GPUS = (8, 64)


@dataclass(frozen=True, slots=True)
class Speed:
    """Seconds; tokens a second of one answer and of `batch` together; questions a second of a full engine."""

    ttft: float
    inter_token: float
    one: float
    batch: float
    requests: float


@dataclass(frozen=True, slots=True)
class Row:
    """One GPU and precision. `reason` says why not; the numbers are None where there is nothing to compute."""

    gpu: Gpu
    precision: Precision
    tensor_parallel: int | None = None
    memory: Memory | None = None
    most: int = 0
    floor: Speed | None = None
    expected: Speed | None = None
    crossover: int | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What `radserve engine plan` shows."""

    size: ModelSize
    question: Question
    rows: tuple[Row, ...]
    training: tuple[TrainingMemory, ...]


def make_plan(
    size: ModelSize,
    question: Question,
    gpus: Sequence[Gpu],
    precisions: Sequence[Precision],
    tensor_parallel: int | None = None,
) -> Plan:
    """Raises PlanError for a tensor-parallel size that no node has; a misfit is a row with its reason."""
    if tensor_parallel is not None and not 1 <= tensor_parallel <= NODE:
        message = f"--tensor-parallel: {tensor_parallel} is not between 1 and {NODE}, the GPUs of one node"
        raise PlanError(message, param="tensor-parallel")
    rows = tuple(_row(size, question, gpu, one, tensor_parallel) for gpu in gpus for one in precisions)
    return Plan(size, question, rows, tuple(training_memory(size.parameters, n) for n in _TRAINING_GPUS))


def impossible(gpu: Gpu, precision: Precision, kv: str) -> str | None:
    """Why the GPU lacks the arithmetic, with the nearest precision that runs there; None if it has it."""
    if not runs_on(precision, gpu.architecture):
        nearest = precision
        while not runs_on(nearest, gpu.architecture):
            nearest = PRECISIONS[nearest.nearest]
        return f"not on this GPU: {precision.title} needs {gpus_of(precision)}; nearest here: {nearest.name}"
    if kv == "fp8" and not runs_on(PRECISIONS["fp8"], gpu.architecture):
        return f"not on this GPU: an FP8 KV cache needs {gpus_of(PRECISIONS['fp8'])}; nearest here: bf16"
    return None


def pathless(size: ModelSize, precision: Precision) -> str | None:
    """Why TensorRT-LLM has no path for the family in that precision; None where it has, or where none is known."""
    known = {family.name: family for family in list_families()}.get(size.family)
    if known is None or known.paths & precision.trtllm_paths:
        return None
    ways = {"llm-api": "the LLM API", "compiled": "compiled engines"}
    path = " or ".join(ways[path] for path in sorted(precision.trtllm_paths))
    return f"not for {known.title}: {precision.title} runs in {path} only; nearest: {precision.nearest}"


def _row(size: ModelSize, question: Question, gpu: Gpu, precision: Precision, wanted: int | None) -> Row:
    reason = impossible(gpu, precision, question.kv) or pathless(size, precision)
    if reason:
        return Row(gpu, precision, reason=reason)
    faults = {n: division_fault(size.language, precision, n) for n in ((wanted,) if wanted else _SIZES)}
    possible = [n for n, fault in faults.items() if fault is None]
    if not possible:
        return Row(gpu, precision, wanted, reason=f"cannot be divided: {next(iter(faults.values()))}")
    memories = {n: memory_for(size, gpu, precision, question, n) for n in possible}
    count = next((n for n in possible if memories[n].fits), possible[-1])
    memory = memories[count]
    most = largest_batch(size, gpu, precision, question, count)
    if not memory.fits:
        return Row(gpu, precision, count, memory, most, reason=_lack(memory, most, count))
    sustained = min(most, SATURATED)
    best = Roofline(size, gpu, precision, question, count, FLOOR)
    return Row(
        gpu=gpu,
        precision=precision,
        tensor_parallel=count,
        memory=memory,
        most=most,
        floor=_speed(best, question.batch, sustained),
        expected=_speed(_at(best, EXPECTED), question.batch, sustained),
        crossover=best.crossover(),
    )


def _lack(memory: Memory, most: int, count: int) -> str:
    each = "" if count == 1 else f" on each of {count} GPUs"
    fewer = f"; at most {most} at once" if most else ""
    return f"does not fit: {-memory.spare / GIB:,.1f} GiB too much{each}{fewer}"


def _at(roofline: Roofline, efficiency: Efficiency) -> Roofline:
    one = roofline
    return Roofline(one.size, one.gpu, one.precision, one.question, one.tensor_parallel, efficiency)


def _speed(roofline: Roofline, batch: int, sustained: int) -> Speed:
    return Speed(
        ttft=roofline.ttft(),
        inter_token=roofline.step(1),
        one=roofline.tokens_per_second(1),
        batch=roofline.tokens_per_second(batch),
        requests=roofline.requests_per_second(sustained),
    )
