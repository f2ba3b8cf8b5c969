"""TensorRT-LLM 1.2.1 on NVIDIA GPUs, by its LLM API: in-flight batching, many questions in one batch.

`LLM` runs its model in processes of its own. What they send arrives on an asyncio loop, which TensorRT-LLM wants to
find running whenever it has something; so the loop has a thread of its own, and the engine's thread takes from a queue
what it brings. A question's images are prepared inside `generate_async`, on the loop's thread, one after another.

Blocks of the KV cache are never shared between questions: `llm_args.yaml` switches their reuse off.
"""

import asyncio
import contextlib
import logging
import queue
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from radserve_engines.errors import EngineError, EngineFailed, ManifestError
from radserve_engines.generation import Generation
from radserve_engines.manifest import EngineManifest
from radserve_engines.runtime.answer import Answer
from radserve_engines.runtime.loop import EngineLoop
from radserve_engines.runtime.protocol import Runtime, Sink
from radserve_engines.runtime.trtllm_requests import (
    build_inputs,
    build_sampling,
    read_logprobs,
    read_wait,
    refuse_unsupported,
)
from radserve_engines.trtllm.commands import IMAGE
from radserve_engines.trtllm.launcher import launch_command, prepare_environment
from radserve_engines.trtllm.llm_args import read_llm_args
from radserve_engines.trtllm.signatures import check_call

_log = logging.getLogger(__name__)
_TURN_S = 0.005
_FINISHED = {"stop": "stop", "length": "length"}


class EngineDied(BaseException):
    """TensorRT-LLM's processes are gone: the engine's thread ends with it, so that its process is started again."""


@dataclass(frozen=True, slots=True)
class _Step:
    """What TensorRT-LLM added to one answer."""

    token_ids: list[int]
    logprobs: list[float]
    reason: str = ""
    waited_s: float = 0.0


@dataclass(slots=True, eq=False)
class _Stream:
    """An answer under way: `result` is TensorRT-LLM's handle, once it has given one."""

    answer: Answer
    result: Any = None
    dropped: bool = False

    def drop(self) -> None:
        """On the loop's thread: no more of it."""
        self.dropped = True
        if self.result is not None:
            self.result.abort()


_Arrival = tuple[_Stream, _Step | EngineError] | None


class TrtllmRuntime(EngineLoop):
    """`max_running` answers share each step, by default as many as the engine was built for.

    Raises ManifestError: `llm_args.yaml` is ill or tensorrt_llm is not installed; EngineFailed: the model did not load.
    """

    def __init__(
        self, folder: Path, manifest: EngineManifest, *, max_running: int | None = None, **loop: Any
    ) -> None:
        super().__init__(folder, manifest, **loop)
        arguments = read_llm_args(folder)
        self._max_running = max_running or int(arguments["max_batch_size"])
        self._streams: dict[int, _Stream] = {}
        self._arrivals: queue.SimpleQueue[_Arrival] = queue.SimpleQueue()
        self._llm, self._sampling_params = _load(folder, arguments)
        self._loop = asyncio.new_event_loop()
        self._loop_thread = threading.Thread(target=self._loop.run_forever, name="trtllm", daemon=True)
        self._loop_thread.start()
        self._thread.start()

    def submit(self, generation: Generation, sink: Sink) -> Answer:
        """See `Runtime.submit`."""
        refuse_unsupported(generation.sampling)
        answer = super().submit(generation, sink)
        self._arrivals.put(None)  # do not sit out the turn
        return answer

    def probe(self, timeout_s: float) -> bool:
        """See `Runtime.probe`: the loop turns, and TensorRT-LLM's processes are there."""
        return super().probe(timeout_s) and not self._is_dead()

    def close(self) -> None:
        """See `Runtime.close`; TensorRT-LLM's processes end, and with them what they hold of the GPU."""
        super().close()
        asyncio.run_coroutine_threadsafe(_end_tasks(), self._loop).result()
        self._llm.shutdown()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._loop_thread.join()
        self._loop.close()

    def has_slot(self, running: int) -> bool:
        return running < self._max_running

    def start(self, answer: Answer) -> None:
        """Hand the question over; what comes of it arrives in `step`."""
        answer.clock.admitted = time.perf_counter()
        stream = self._streams[id(answer)] = _Stream(answer)
        asyncio.run_coroutine_threadsafe(self._follow(stream), self._loop)
        self._arrivals.put(None)  # the next one may come in at once

    def step(self, running: list[Answer]) -> list[Answer]:
        """Deliver what has arrived, waiting for it no longer than a turn."""
        arrived: list[_Arrival] = []
        with contextlib.suppress(queue.Empty):
            arrived.append(self._arrivals.get(timeout=_TURN_S))
            while True:
                arrived.append(self._arrivals.get_nowait())
        done = [a[0].answer for a in arrived if a is not None and self._deliver(*a)]
        if self._is_dead():
            for answer in (a for a in running if a not in done):
                answer.fail(EngineFailed("TensorRT-LLM's processes ended in the middle of this answer"))
            raise EngineDied
        return done

    def release(self, answer: Answer) -> None:
        stream = self._streams.pop(id(answer), None)
        if stream is not None:
            self._loop.call_soon_threadsafe(stream.drop)

    async def _follow(self, stream: _Stream) -> None:
        """On the loop's thread: from the question to its last token."""
        try:
            await self._read(stream)
        except Exception as error:  # the process's edge: one question must not end the engine
            _log.exception("TensorRT-LLM failed at a question")
            self._arrivals.put((stream, EngineFailed(f"the engine failed at this question: {error}")))

    async def _read(self, stream: _Stream) -> None:
        answer, seen = stream.answer, 0
        if stream.dropped:
            return
        request = {
            "inputs": build_inputs(answer),
            "sampling_params": self._sampling_params(**build_sampling(answer)),
            "streaming": True,
        }
        stream.result = self._llm.generate_async(**check_call("generate_async", request))
        answer.clock.encoded = time.perf_counter()
        async for output in stream.result:
            completion = output.outputs[0]
            step = _read_step(completion, seen)
            seen += len(step.token_ids)
            self._arrivals.put((stream, step))
            if step.reason:
                return
        if not stream.dropped:
            raise RuntimeError("the stream ended without a reason")

    def _deliver(self, stream: _Stream, item: _Step | EngineError) -> bool:
        """On the engine's thread; True when it was the answer's last."""
        answer = stream.answer
        if self._streams.get(id(answer)) is not stream:
            return False  # cancelled, or cut, while this was on its way
        if isinstance(item, EngineError):
            del self._streams[id(answer)]
            answer.fail(item)
            return True
        if item.reason and item.reason not in _FINISHED:
            message = f"TensorRT-LLM gave this answer up ({item.reason})"
            return self._deliver(stream, EngineFailed(message))
        # The wait in TensorRT-LLM's queue is a part of the queue, not of the prefill.
        answer.clock.admitted += item.waited_s
        answer.clock.encoded += item.waited_s
        if item.reason:
            del self._streams[id(answer)]
            answer.finish(_FINISHED[item.reason], item.token_ids, item.logprobs)
            return True
        if item.token_ids:
            answer.push(item.token_ids, item.logprobs)
        if reason := answer.cut:
            self.release(answer)
            answer.finish(reason)
        return bool(reason)

    def _is_dead(self) -> bool:
        executor = self._llm._executor
        return executor is None or executor.is_shutdown()


async def _end_tasks() -> None:
    """What is still being read, of answers that are over: nobody waits for it."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def open_trtllm(folder: Path, manifest: EngineManifest, **loop: Any) -> Runtime:
    """The runtime of an engine's path: the LLM API's or that of compiled engines. Raises ManifestError."""
    path = manifest.runtime_options.get("path")
    if path == "llm-api":
        return TrtllmRuntime(folder, manifest, **loop)
    if path == "compiled":
        from radserve_engines.runtime.trtllm_compiled import CompiledRuntime

        return CompiledRuntime(folder, manifest, **loop)
    raise ManifestError(f'runtime_options.path must be "llm-api" or "compiled", not {path!r}')


def _load(folder: Path, arguments: dict[str, Any]) -> tuple[Any, Any]:
    prepare_environment()
    try:
        from tensorrt_llm import LLM, SamplingParams
    except ImportError as error:
        raise ManifestError(f"this engine needs TensorRT-LLM 1.2.1 ({error}): serve it in {IMAGE}") from error
    try:
        return LLM(**{**arguments, "model": str(folder)}), SamplingParams
    except (
        Exception
    ) as error:  # TensorRT-LLM's own, CUDA's and MPI's: all mean that this engine cannot be served here
        start = " ".join(launch_command(["tritonserver", "…"], arguments["tensor_parallel_size"]))
        raise EngineFailed(
            f"TensorRT-LLM could not load the engine: {error}. If MPI could not spawn its workers: start with {start}"
        ) from error


def _read_step(completion: Any, seen: int) -> _Step:
    token_ids = [int(token_id) for token_id in completion.token_ids[seen:]]
    logprobs = read_logprobs(token_ids, (completion.logprobs or [])[seen:])
    reason = str(completion.finish_reason or "")
    return _Step(token_ids, logprobs, reason, read_wait(completion) if reason else 0.0)
