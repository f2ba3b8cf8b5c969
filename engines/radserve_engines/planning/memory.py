"""What one GPU has to hold: weights, KV cache, activations and workspace; and what fits.

Weights follow the build's recipes: the layers' matrices are quantized, vision tower, projector, norms, embeddings and
head stay bf16. Under tensor parallelism of N the language model is divided by N, but the vision side, norms, and KV
heads beyond the model's number are repeated on every GPU. Stated, not derived: the workspace.
"""

from dataclasses import dataclass

from radserve_engines.planning.gpus import Gpu
from radserve_engines.planning.language import Language
from radserve_engines.planning.model_size import ModelSize
from radserve_engines.planning.question import Question
from radserve_engines.precision import Precision

GIB = 1024**3
# Tokens of one iteration (max_num_tokens), of a KV block, and the share of free memory that becomes KV cache
# (free_gpu_memory_fraction): the LLM API's defaults in TensorRT-LLM 1.2.1.
ITERATION_TOKENS, BLOCK_TOKENS, KV_SHARE = 8192, 32, 0.9
# CUDA context and modules; workspaces of cuBLASLt and attention; CUDA graphs; NCCL's buffers beside other GPUs.
_CONTEXT, _LIBRARIES, _GRAPHS, _NCCL = 0.55 * GIB, 0.5 * GIB, 0.5 * GIB, 0.5 * GIB
_FRAGMENTATION = 0.02  # of the card
_SCALE_GROUPS = {"int4-awq": 128, "int4-gptq": 128, "w4a8-awq": 128, "nvfp4": 16, "fp8": 16}
_MOST_AT_ONCE = 1 << 16


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes on one GPU. `reserve` is what the runtime leaves free beside the KV cache."""

    weights: float
    kv: float
    activations: float
    workspace: float
    capacity: int

    @property
    def reserve(self) -> float:
        """The free memory that does not become KV cache."""
        return self.kv * (1 / KV_SHARE - 1)

    @property
    def needed(self) -> float:
        """All of it."""
        return self.weights + self.kv + self.reserve + self.activations + self.workspace

    @property
    def spare(self) -> float:
        """What is left; negative for what is missing."""
        return self.capacity - self.needed

    @property
    def fits(self) -> bool:
        """Whether nothing is missing."""
        return self.spare >= 0


def weight_bytes(precision: Precision) -> float:
    """Bytes of one quantized weight, with its share of scales (and zero points) of groups of 128, or 16 for NVFP4."""
    scales = {"int4-awq": 2 / 128, "w4a8-awq": 2 / 128, "int4-gptq": 2.5 / 128, "nvfp4": 1 / 16}
    return precision.weight_bits / 8 + scales.get(precision.name, 0.0)


def weights_on_gpu(size: ModelSize, precision: Precision, tensor_parallel: int) -> float:
    """Bytes of weights that one GPU holds."""
    language = size.language
    divided = language.linear * weight_bytes(precision)
    divided += 2 * (language.embeddings + (0 if language.tied else language.head))
    repeated = language.other + (size.vision.parameters if size.vision else 0) + size.other
    return divided / tensor_parallel + 2 * repeated


def memory_for(
    size: ModelSize,
    gpu: Gpu,
    precision: Precision,
    question: Question,
    tensor_parallel: int,
    batch: int | None = None,
) -> Memory:
    """With `question.batch` answers in flight, or `batch`."""
    at_once = batch or question.batch
    blocks = -(-question.context // BLOCK_TOKENS)
    collectives = _NCCL if tensor_parallel > 1 else 0.0
    return Memory(
        weights=weights_on_gpu(size, precision, tensor_parallel),
        kv=at_once * blocks * BLOCK_TOKENS * size.kv_bytes(question.kv_bytes, tensor_parallel),
        activations=_activations(size, question, tensor_parallel, at_once),
        workspace=_CONTEXT + _LIBRARIES + _GRAPHS + collectives + _FRAGMENTATION * gpu.memory,
        capacity=gpu.memory,
    )


def largest_batch(
    size: ModelSize, gpu: Gpu, precision: Precision, question: Question, tensor_parallel: int
) -> int:
    """Most answers in flight at `question.context` tokens each; 0 if not even one fits."""
    low, high = 0, _MOST_AT_ONCE
    while low < high:
        middle = (low + high + 1) // 2
        fits = memory_for(size, gpu, precision, question, tensor_parallel, middle).fits
        low, high = (middle, high) if fits else (low, middle - 1)
    return low


def division_fault(language: Language, precision: Precision, tensor_parallel: int) -> str | None:
    """Why the model cannot be divided over so many GPUs; None if it can."""
    count = tensor_parallel
    if language.heads % count:
        return f"{language.heads} attention heads are not divisible by {count}"
    if language.kv_heads % count and count % language.kv_heads:
        return f"{language.kv_heads} KV heads and {count} GPUs are no multiples of each other"
    group = _SCALE_GROUPS.get(precision.name, 1)
    for name, width in (
        ("intermediate_size", language.intermediate),
        ("heads", language.heads * language.head_dim),
    ):
        if width % (count * group):
            unit = f"{count} × {group}, {precision.name}'s group" if group > 1 else str(count)
            return f"{name}: {width} is not divisible by {unit}"
    return None


def _activations(size: ModelSize, question: Question, tensor_parallel: int, batch: int) -> float:
    """One iteration's images through the tower, its tokens through a layer (bf16), and logits (fp32 and a copy)."""
    language, vision = size.language, size.vision
    tokens = min(ITERATION_TOKENS, batch * question.prompt)
    attended = (language.heads + 2 * language.kv_heads) * language.head_dim / tensor_parallel
    widest = 2 * language.hidden + max(3 * language.intermediate / tensor_parallel, attended)
    needed = tokens * widest * 2 + batch * language.vocabulary * 6
    if vision and question.seen:
        together = min(batch * question.images, ITERATION_TOKENS // question.image_tokens)
        needed += max(question.images, together) * vision.activation_bytes(question.seen)
    return needed
