"""OpenVINO GenAI on a CPU: continuous batching, `add_request` and `step` on the engine's one thread."""

import itertools
import time
from pathlib import Path
from typing import Any

import openvino as ov
import openvino_genai as genai

from radserve_engines.manifest import EngineManifest
from radserve_engines.runtime.answer import Answer
from radserve_engines.runtime.loop import EngineLoop

_KV_CACHE_GB = 1
_FINISHED = {genai.GenerationFinishReason.STOP: "stop", genai.GenerationFinishReason.LENGTH: "length"}


class OpenVinoRuntime(EngineLoop):
    """`max_running` answers share each step. KV blocks are never shared between questions: no prefix caching."""

    def __init__(self, folder: Path, manifest: EngineManifest, *, max_running: int = 16, **loop: Any) -> None:
        super().__init__(folder, manifest, **loop)
        self._max_running = max_running
        self._ids = itertools.count()
        self._handles: dict[int, Any] = {}
        scheduler = genai.SchedulerConfig()
        scheduler.cache_size = _KV_CACHE_GB
        scheduler.max_num_seqs = max_running
        # A prompt is taken in one step, and GenAI fails the step of all answers over one that is longer than this.
        scheduler.max_num_batched_tokens = manifest.context_length
        scheduler.enable_prefix_caching = False
        scheduler.dynamic_split_fuse = False
        self._pipeline = genai.ContinuousBatchingPipeline(
            folder, scheduler, "CPU", dict(manifest.runtime_options)
        )
        self._thread.start()

    def has_slot(self, running: int) -> bool:
        return running < self._max_running

    def start(self, answer: Answer) -> None:
        """Tokenize and encode the images; GenAI does both inside `add_request`."""
        answer.clock.admitted = time.perf_counter()
        images = [ov.Tensor(image[None]) for image in answer.generation.images]
        config = _config(answer)
        handle = self._pipeline.add_request(next(self._ids), answer.prompt.text, images, config)
        answer.clock.encoded = time.perf_counter()
        self._handles[id(answer)] = handle

    def step(self, running: list[Answer]) -> list[Answer]:
        self._pipeline.step()
        return [answer for answer in running if self._collect(answer)]

    def release(self, answer: Answer) -> None:
        self._handles.pop(id(answer)).cancel()
        if not self._handles:
            self._pipeline.step()  # GenAI frees a cancelled request's blocks in its next step

    def _collect(self, answer: Answer) -> bool:
        """Read what the step gave this answer; True when it was the last."""
        handle = self._handles[id(answer)]
        token_ids: list[int] = []
        logprobs: list[float] = []
        reason = ""
        while handle.can_read():
            for output in handle.read().values():
                token_ids += output.generated_ids
                logprobs += output.generated_log_probs
                reason = _FINISHED.get(output.finish_reason, reason)
        if handle.get_status() == genai.GenerationStatus.IGNORED:
            reason = "length"  # the KV cache is full: GenAI gives the request up
        if reason:
            answer.finish(reason, token_ids, logprobs)
        elif token_ids:
            answer.push(token_ids, logprobs)
            if reason := answer.cut:
                handle.stop()
                answer.finish(reason)
        if reason:
            del self._handles[id(answer)]
        return bool(reason)


def _config(answer: Answer) -> Any:
    sampling = answer.generation.sampling
    config = genai.GenerationConfig()
    config.apply_chat_template = False
    config.max_new_tokens = answer.max_tokens
    config.logprobs = 1
    config.ignore_eos = sampling.ignore_eos
    if not sampling.greedy:
        config.do_sample = True
        config.temperature = sampling.temperature
        config.top_p = sampling.top_p
        if sampling.top_k is not None:
            config.top_k = sampling.top_k
        if sampling.seed is not None:
            config.rng_seed = sampling.seed
    return config
