"""The checkpoint in PyTorch: `transformers` `generate`, one question at a time, as its authors run it.

The baseline of every benchmark and the reference of every gate. A quantized checkpoint is simulated from its own file
(`quantization.simulated`), so that a gate can judge it where no GPU runs it.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, GenerationConfig
from transformers.generation.logits_process import LogitsProcessor
from transformers.generation.stopping_criteria import StoppingCriteria
from transformers.generation.streamers import BaseStreamer

from radserve_engines.checkpoints.loading import check_complete
from radserve_engines.errors import CheckpointError, EngineFailed
from radserve_engines.families import Family
from radserve_engines.families.model_inputs import ModelInputs
from radserve_engines.generation import Generation
from radserve_engines.manifest import EngineManifest
from radserve_engines.quantization.simulated import find_class, load_simulated
from radserve_engines.quantization.unpacking import is_quantized
from radserve_engines.runtime.answer import Answer
from radserve_engines.runtime.one_by_one import OneByOne, require_image
from radserve_engines.runtime.protocol import Sink
from radserve_engines.runtime.vision_memory import remember

_TOKENS = ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id")


class TorchRuntime(OneByOne):
    """Weights are kept in `dtype` (fp32 by default: bf16 is slower on most CPUs) on `device`.

    `vision_memory` bytes hold what the vision tower made of the latest images, for evaluations that ask often about
    each; 0, the default, encodes every time.
    """

    def __init__(
        self,
        folder: Path,
        manifest: EngineManifest,
        *,
        dtype: torch.dtype = torch.float32,
        device: str = "cpu",
        vision_memory: int = 0,
        **loop: Any,
    ) -> None:
        super().__init__(folder, manifest, **loop)
        self._inputs = ModelInputs(folder)
        self._model = load_model(folder, dtype).to(device)
        self._device = device
        self._tower = find_tower(self._model, self._inputs.family)
        if self._tower is not None and vision_memory:
            remember(self._tower, vision_memory)
        if (head := self._model.get_output_embeddings()) is not None:
            head.register_forward_hook(_refuse_non_finite)
        ends = _keep_tokens(self._model, self._inputs.family)
        self._ends = set(ends if isinstance(ends, list) else [ends])
        self._thread.start()

    def submit(self, generation: Generation, sink: Sink) -> Answer:
        """See `Runtime.submit`; BLIP-2 refuses a question without an image: its `generate` cannot ask it."""
        if self._inputs.family.name == "blip-2":
            require_image(generation)
        return super().submit(generation, sink)

    def step(self, running: list[Answer]) -> list[Answer]:
        """`generate` is one step from first to last token."""
        (answer,) = running
        tokens = _TokenStream(answer)
        try:
            inputs = self._encode(answer)
            answer.clock.encoded = time.perf_counter()  # with no image, nothing more is encoded
            with torch.inference_mode(), _encoded_at(self._tower, answer):
                self._model.generate(
                    **inputs,
                    **_generation_arguments(answer),
                    streamer=tokens,
                    logits_processor=[tokens.scores],
                    stopping_criteria=[_Stopped(answer)],
                )
        except EngineFailed as error:
            answer.fail(error)
            return running
        if not answer.cancelled:
            answer.finish(answer.cut or ("stop" if tokens.last in self._ends else "length"))
            return running
        return []

    def _encode(self, answer: Answer) -> dict[str, torch.Tensor]:
        inputs = self._inputs.encode(answer.prompt.text, answer.generation.images)
        return {name: tensor.to(self._device) for name, tensor in inputs.items()}


def load_model(folder: Path, dtype: torch.dtype) -> Any:
    """The folder's model in eval mode on the CPU, simulated if it is quantized. Raises CheckpointError."""
    if is_quantized(folder):
        return load_simulated(folder, dtype)
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    try:
        model, found = find_class(folder, config).from_pretrained(
            folder, dtype=dtype, local_files_only=True, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{folder} cannot be loaded: {error}") from error
    check_complete(folder, model, found)
    return model.eval()


def find_tower(model: Any, family: Family) -> torch.nn.Module | None:
    """The outermost module among those that the family's row calls its vision; None if there is none."""
    named = ((f"{name}.", module) for name, module in model.named_modules())
    return next(
        (module for name, module in named if any(fnmatchcase(name, wanted) for wanted in family.vision)), None
    )


def _keep_tokens(model: Any, family: Family) -> Any:
    """Of all that a checkpoint suggests for generation, keep which tokens begin, end and fill; returns the ends.

    How tokens are chosen is the question's to say, as in every runtime: Qwen2.5-VL's own repetition penalty would set
    this one, the reference of gates, apart from the engines.
    """
    generating = model.language_model if family.name == "blip-2" else model
    kept = {name: getattr(generating.generation_config, name) for name in _TOKENS}
    generating.generation_config = GenerationConfig(**kept)
    return kept["eos_token_id"]


def _refuse_non_finite(_: torch.nn.Module, __: Any, logits: torch.Tensor) -> None:
    if not logits.isfinite().all():
        raise EngineFailed("the model gave non-finite logits: its answer means nothing", code="non_finite")


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
        return torch.tensor([self._answer.cancelled or bool(self._answer.cut)], device=input_ids.device)


@contextmanager
def _encoded_at(tower: torch.nn.Module | None, answer: Answer) -> Iterator[None]:
    """Notes when the vision tower is done, so that its time stands apart from the prefill's."""
    if tower is None:
        yield
        return

    def note(*_: object) -> None:
        if torch.cuda.is_available():  # the GPU is still at it when the call returns
            torch.cuda.synchronize()
        answer.clock.encoded = time.perf_counter()

    hook = tower.register_forward_hook(note)
    try:
        yield
    finally:
        hook.remove()


def _generation_arguments(answer: Answer) -> dict[str, Any]:
    sampling = answer.generation.sampling
    arguments: dict[str, Any] = {"max_new_tokens": answer.max_tokens, "do_sample": not sampling.greedy}
    if sampling.ignore_eos:
        arguments["min_new_tokens"] = answer.max_tokens
    if not sampling.greedy:
        arguments |= {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": sampling.top_k or 0,
        }
        if sampling.seed is not None:
            torch.manual_seed(sampling.seed)
    return arguments
