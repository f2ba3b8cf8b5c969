"""What an answer costs at least: FLOP done and bytes read, stage by stage, out of `radserve_engines.planning`.

- vision: all images of a question through the tower; its weights are read once.
- prefill: the prompt through the language model to the first token's logits; its weights are read once.
- decode: one token for each of `batch` answers. Weights and head are read once for all of them, and each one's KV
  cache, as long as it is halfway through the answer.

Activations are not counted: at best they stay in the caches.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from radserve_engines.manifest import EngineManifest
from radserve_engines.planning.gpus import GPUS
from radserve_engines.planning.memory import weight_bytes
from radserve_engines.planning.model_size import ModelSize, size_of
from radserve_engines.planning.question import Question, question_for
from radserve_engines.planning.roofline import Roofline
from radserve_engines.precision import PRECISIONS

_BYTES: Mapping[str, float] = {
    "float32": 4,
    "float16": 2,
    "bfloat16": 2,
    "f32": 4,
    "f16": 2,
    "bf16": 2,
    "u8": 1,
}
_BF16 = PRECISIONS["bf16"]
# A machine of 1 FLOP/s whose memory costs nothing: its seconds are FLOP.
_COUNTER = replace(GPUS["H100"], bandwidth=math.inf, bf16=1.0)


@dataclass(frozen=True, slots=True)
class Stored:
    """Bytes of one value: of the layers' matrices, of the head (and norms), of the vision tower, of the KV cache."""

    weights: float
    head: float
    vision: float
    cache: float


@dataclass(frozen=True, slots=True)
class Stage:
    """FLOP, and bytes that have to be read for them."""

    flop: float
    read: float

    @property
    def intensity(self) -> float:
        """FLOP a byte."""
        return self.flop / self.read


@dataclass(frozen=True, slots=True)
class Work:
    """One model, stored in one way, asked one question."""

    size: ModelSize
    question: Question
    stored: Stored

    def vision(self) -> Stage | None:
        """None for a question without images."""
        tower = self.size.vision
        if tower is None or self.question.seen is None:
            return None
        return Stage(self._counted().vision(), self.stored.vision * tower.parameters)

    def prefill(self) -> Stage:
        """Of one question."""
        language, stored = self.size.language, self.stored
        weights = stored.weights * language.streamed(self.question.prompt)
        rest = stored.head * (language.head + language.other)
        return Stage(self._counted().prefill(), weights + rest)

    def decode(self, batch: int) -> Stage:
        """One step."""
        language, stored = self.size.language, self.stored
        weights = stored.weights * language.streamed(batch)
        rest = stored.head * (language.head + language.other)
        cache = batch * self.question.decoding * language.kv_values() * stored.cache
        return Stage(self._counted().step(batch), weights + rest + cache)

    def _counted(self) -> Roofline:
        return Roofline(self.size, _COUNTER, _BF16, self.question)


def work_of(
    model: str | Path,
    stored: Stored,
    *,
    answer: int,
    prompt: int | None = None,
    images: int = 1,
    image: tuple[int, int] = (896, 896),
) -> Work:
    """`model` is a checkpoint's or engine's folder, or a known name; `prompt` and `answer` are tokens by usage.

    `image` is (height, width) as rendered; without `prompt` the text is taken to be 76 tokens. Raises PlanError.
    """
    size = size_of(str(model))
    context = None if prompt is None else prompt + answer
    return Work(size, question_for(size, image=image, images=images, answer=answer, context=context), stored)


def stored_as(manifest: EngineManifest, dtype: str | None = None, kv: str | None = None) -> Stored:
    """How an engine keeps its values, by its manifest; `dtype` ("float32") is that of a checkpoint run in PyTorch.

    `kv` names the cache's kind where the manifest does not: bf16 for TensorRT-LLM, u8 for OpenVINO on most CPUs.
    """
    if manifest.target == "torch":
        each = _BYTES[dtype or "float32"]
        return Stored(each, each, each, each)
    weights = weight_bytes(PRECISIONS[manifest.precision])
    if manifest.target == "openvino":  # head and tower are INT8 beside whatever the layers are
        rest = min(weights, 2.0) if manifest.precision == "bf16" else 1.0
        cache = str(manifest.runtime_options.get("KV_CACHE_PRECISION", kv or "u8"))
        return Stored(weights, rest, rest, _BYTES[cache])
    return Stored(weights, 2, 2, 1 if kv in ("fp8", "int8") else 2)
