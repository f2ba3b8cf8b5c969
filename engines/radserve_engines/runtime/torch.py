"""The baseline: `transformers` `generate` in PyTorch, one question at a time, as the checkpoint's authors run it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForImageTextToText, Qwen2VLImageProcessor
from transformers.generation.logits_process import LogitsProcessor
from transformers.generation.stopping_criteria import StoppingCriteria
from transformers.generation.streamers import BaseStreamer

from radserve_engines.manifest import EngineManifest
from radserve_engines.runtime.answer import Answer
from radserve_engines.runtime.loop import EngineLoop


class TorchRuntime(EngineLoop):
    """Weights are kept in `dtype` (fp32 by default: bf16 is slower on most CPUs)."""

    def __init__(
        self, folder: Path, manifest: EngineManifest, *, dtype: torch.dtype = torch.float32, **loop: Any
    ) -> None:
        super().__init__(folder, manifest, **loop)
        self._model = AutoModelForImageTextToText.from_pretrained(
            folder, dtype=dtype, local_files_only=True
        ).eval()
        self._processor = Qwen2VLImageProcessor.from_pretrained(folder, local_files_only=True)
        self._image_token = self._model.config.image_token_id
        ends = self._model.generation_config.eos_token_id
        self._ends = set(ends if isinstance(ends, list) else [ends])
        self._thread.start()

    def has_slot(self, running: int) -> bool:
        return running == 0

    def start(self, answer: Answer) -> None:
        answer.clock.admitted = time.perf_counter()

    def step(self, running: list[Answer]) -> list[Answer]:
        """`generate` is one step from first to last token."""
        (answer,) = running
        tokens = _TokenStream(answer)
        with torch.inference_mode(), _encoded_at(self._model, answer):
            self._model.generate(
                **self._inputs(answer),
                **_generation_arguments(answer),
                streamer=tokens,
                logits_processor=[tokens.scores],
                stopping_criteria=[_Stopped(answer)],
            )
        if not answer.cancelled:
            answer.finish(answer.cut or ("stop" if tokens.last in self._ends else "length"))
            return running
        return []

    def release(self, answer: Answer) -> None:
        """Nothing is held between steps."""

    def _inputs(self, answer: Answer) -> dict[str, Any]:
        ids = self.template.tokenizer.encode(answer.prompt.text).ids
        images = list(answer.generation.images)
        inputs: dict[str, Any] = {}
        if images:
            features = self._processor(images=images, return_tensors="pt")
            inputs = {"pixel_values": features["pixel_values"], "image_grid_thw": features["image_grid_thw"]}
            merged = (features["image_grid_thw"].prod(-1) // self._processor.merge_size**2).tolist()
            ids = _expanded(ids, self._image_token, merged)
        inputs["input_ids"] = torch.tensor([ids])
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
        return inputs


class _TokenStream(BaseStreamer):  # type: ignore[misc]
    """Feeds the sink as `generate` produces tokens, each with its log-probability."""

    def __init__(self, answer: Answer) -> None:
        self.scores = _LastLogits()
        self.last: int | None = None
        self._answer = answer
        self._prompt_seen = False

    def put(self, value: torch.Tensor) -> None:
        if not self._prompt_seen:  # generate streams the prompt first
            self._prompt_seen = True
            return
        self.last = int(value.reshape(-1)[0])
        logprob = torch.log_softmax(self.scores.logits.float(), -1)[self.last].item()
        if not self._answer.cancelled:
            self._answer.push([self.last], [logprob])

    def end(self) -> None:
        """`step` sends the last delta."""


class _LastLogits(LogitsProcessor):  # type: ignore[misc]
    logits: torch.Tensor

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        self.logits = scores[0]
        return scores


class _Stopped(StoppingCriteria):  # type: ignore[misc]
    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **_: Any) -> torch.Tensor:
        return torch.tensor([self._answer.cancelled or bool(self._answer.cut)])


@contextmanager
def _encoded_at(model: Any, answer: Answer) -> Iterator[None]:
    """Notes when the vision tower is done, so that its time stands apart from the prefill's."""

    def note(*_: object) -> None:
        answer.clock.encoded = time.perf_counter()

    hook = model.model.visual.register_forward_hook(note)
    try:
        yield
    finally:
        hook.remove()


def _expanded(ids: list[int], image_token: int, counts: list[int]) -> list[int]:
    """Each image's placeholder token repeated once for every merged patch."""
    left = iter(counts)
    return [token for i in ids for token in ([i] * next(left) if i == image_token else [i])]


def _generation_arguments(answer: Answer) -> dict[str, Any]:
    sampling = answer.generation.sampling
    arguments: dict[str, Any] = {"max_new_tokens": answer.max_tokens, "do_sample": sampling.temperature > 0}
    if sampling.ignore_eos:
        arguments["min_new_tokens"] = answer.max_tokens
    if sampling.temperature > 0:
        arguments |= {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": sampling.top_k or 0,
        }
        if sampling.seed is not None:
            torch.manual_seed(sampling.seed)
    return arguments
