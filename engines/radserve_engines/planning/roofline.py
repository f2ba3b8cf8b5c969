"""How fast at best: the roofline of vision, prefill and decode, and what of it to expect.

Vision and prefill are bound by arithmetic, 2 FLOP a parameter and token plus attention; one decode step by reading
the weights and the KV cache, until the batch is large enough that arithmetic takes over. The floor is 100 % of the
data sheet. What to expect is half of the arithmetic and 65 % of the bandwidth, with the latency of every all-reduce:
what good engines reach, an assumption until `radserve bench` has measured it.
"""

from dataclasses import dataclass

from radserve_engines.planning.gpus import Gpu
from radserve_engines.planning.memory import weight_bytes
from radserve_engines.planning.model_size import ModelSize
from radserve_engines.planning.question import Question
from radserve_engines.precision import Precision


@dataclass(frozen=True, slots=True)
class Efficiency:
    """Shares of peak arithmetic and bandwidth, and of the stated latency of an all-reduce."""

    compute: float
    bandwidth: float
    latency: float


FLOOR = Efficiency(1.0, 1.0, 0.0)
EXPECTED = Efficiency(0.5, 0.65, 1.0)
# Answers in flight beyond which throughput hardly grows, for the weights are read for all of them at once.
SATURATED = 256


@dataclass(frozen=True, slots=True)
class Roofline:
    """One model in one precision on `tensor_parallel` GPUs, for one question, at one efficiency. Seconds."""

    size: ModelSize
    gpu: Gpu
    precision: Precision
    question: Question
    tensor_parallel: int = 1
    efficiency: Efficiency = FLOOR

    def vision(self) -> float:
        """All images of a question through the tower, which every GPU runs in whole and in bf16."""
        vision, question = self.size.vision, self.question
        if vision is None or question.seen is None:
            return 0.0
        flops = question.images * vision.flops(question.seen)
        return max(self._compute(flops), self._read(2 * vision.parameters))

    def prefill(self) -> float:
        """The prompt through the language model, up to the first token's logits."""
        language, tokens = self.size.language, self.question.prompt
        attention = 2 * tokens * tokens * language.heads * language.head_dim * language.layers
        compute = self._multiply(2 * language.prefilled * tokens)
        compute += self._compute(attention + 2 * language.head) / self.tensor_parallel
        weights = language.streamed(tokens) * weight_bytes(self.precision) / self.tensor_parallel
        return max(compute, self._read(weights)) + self._reduce(tokens)

    def ttft(self) -> float:
        """Time to first token on an idle engine, without waiting, decoding of DICOM, or the network."""
        return self.vision() + self.prefill()

    def step(self, batch: int) -> float:
        """One token for each of `batch` answers: the inter-token latency."""
        return max(self._step_compute(batch), self._step_memory(batch)) + self._reduce(batch)

    def tokens_per_second(self, batch: int) -> float:
        """Of `batch` answers together, while nothing is prefilled."""
        return batch / self.step(batch)

    def crossover(self, most: int = 1 << 16) -> int | None:
        """The batch from which arithmetic, not memory, bounds decoding; None if KV reading always does."""
        if self._step_compute(most) <= self._step_memory(most):
            return None
        low, high = 1, most
        while low < high:
            middle = (low + high) // 2
            bound = self._step_compute(middle) > self._step_memory(middle)
            low, high = (low, middle) if bound else (middle + 1, high)
        return low

    def requests_per_second(self, batch: int) -> float:
        """Questions answered a second with `batch` in flight: vision, prefill and a share of every decode step."""
        decode = self.question.answer * self.step(batch) / batch
        return 1 / (self.vision() + self.prefill() + decode)

    def _step_memory(self, batch: int) -> float:
        language, question = self.size.language, self.question
        weights = language.streamed(batch) * weight_bytes(self.precision) + 2 * language.head
        cache = batch * question.decoding * self.size.kv_bytes(question.kv_bytes, self.tensor_parallel)
        return self._read(weights / self.tensor_parallel + 2 * language.other + cache)

    def _step_compute(self, batch: int) -> float:
        language = self.size.language
        attention = 4 * self.question.decoding * language.heads * language.head_dim * language.layers
        plain = self._compute(batch * (attention + 2 * language.head)) / self.tensor_parallel
        return self._multiply(2 * language.decoded * batch) + plain

    def _multiply(self, flops: float) -> float:
        return flops / (self.gpu.peak(self.precision) * self.efficiency.compute * self.tensor_parallel)

    def _compute(self, flops: float) -> float:
        return flops / (self.gpu.bf16 * self.efficiency.compute)

    def _read(self, size: float) -> float:
        return size / (self.gpu.bandwidth * self.efficiency.bandwidth)

    def _reduce(self, tokens: int) -> float:
        """Two ring all-reduces a layer of `tokens` hidden states in bf16."""
        if self.tensor_parallel == 1:
            return 0.0
        count, language = self.tensor_parallel, self.size.language
        sent = 2 * (count - 1) / count * tokens * language.hidden * 2
        once = (
            sent / (self.gpu.link * self.efficiency.bandwidth)
            + self.gpu.link_latency * self.efficiency.latency
        )
        return 2 * language.layers * once
