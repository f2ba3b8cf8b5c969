"""A recording stand-in for `tensorrt_llm`: it takes what version 1.2.1 takes, and answers in its shape and order.

Looked up in the sources of the 1.2 line, and nothing beyond: the names and types of all arguments (the tables of
radserve_engines.trtllm); generate_async wants a running loop, and gives a result that is iterated (executor/result.py:
one growing CompletionOutput, log-probabilities by token id, finish_reason with the last, an abort that answers
"cancelled"); the executor says whether it is shut down. What the model would say is scripted by the test.
"""

import asyncio
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from radserve_engines.manifest import EngineManifest, digest_files, read_manifest, write_manifest
from radserve_engines.runtime.trtllm import TrtllmRuntime
from radserve_engines.trtllm import LlmSettings, build_llm_args, write_llm_args
from radserve_engines.trtllm.signatures import find_faults, read_tables


class SamplingParams:
    def __init__(self, **given: Any) -> None:
        refuse(find_faults(given, read_tables("calls")["SamplingParams"]))
        table = read_tables("calls")["SamplingParams"]
        self.__dict__.update({name: parameter.get("default") for name, parameter in table.items()} | given)


@dataclass
class Script:
    """What the model says to one question: ids, one a step; `reason` as the last word, or an error in its place."""

    token_ids: list[int]
    reason: str = "stop"
    error: Exception | None = None
    logprob: float = -0.25
    waited_ms: float = 0.0


class Executor:
    def __init__(self) -> None:
        self.down = False

    def is_shutdown(self) -> bool:
        return self.down


class Result:
    """GenerationResult: the same CompletionOutput grows with each step."""

    def __init__(self, llm: "LLM", script: Script, sampling: SamplingParams) -> None:
        self._llm, self._script, self._sampling = llm, script, sampling
        self._left = list(script.token_ids[: sampling.max_tokens])
        self._done = self.aborted = False
        self.completion = SimpleNamespace(
            index=0, text="", token_ids=[], logprobs=[], finish_reason=None, request_perf_metrics=None
        )
        self.outputs = [self.completion]

    def abort(self) -> None:
        self.aborted = True

    def __aiter__(self) -> "Result":
        return self

    async def __anext__(self) -> "Result":
        if self._done:
            raise StopAsyncIteration
        await asyncio.sleep(self._llm.step_s)
        if self.aborted:
            self._end("cancelled")
        elif self._script.error and not self._left:
            raise self._script.error
        elif self._left:
            self._grow(self._left.pop(0))
        if not self._left and not self._done and not self._script.error:
            full = len(self._script.token_ids) > self._sampling.max_tokens
            self._end("length" if full else self._script.reason)
        return self

    def _grow(self, token_id: int) -> None:
        self.completion.token_ids.append(token_id)
        other = {token_id + 1: SimpleNamespace(logprob=-9.0, rank=2)}
        self.completion.logprobs.append(
            {token_id: SimpleNamespace(logprob=self._script.logprob, rank=1)} | other
        )

    def _end(self, reason: str) -> None:
        self._done, self.completion.finish_reason = True, reason
        self._llm.under_way -= 1
        waited = timedelta(milliseconds=self._script.waited_ms)
        timing = SimpleNamespace(arrival_time=timedelta(0), first_scheduled_time=waited)
        self.completion.request_perf_metrics = SimpleNamespace(timing_metrics=timing)


class LLM:
    made: "list[LLM]" = []  # noqa: RUF012

    def __init__(self, **given: Any) -> None:
        tables = read_tables("llm_args")
        nested = {name: tables[name] for name in ("KvCacheConfig", "SchedulerConfig", "CudaGraphConfig")}
        refuse(find_faults(given, tables["LLM"], nested))
        self.arguments = given
        self._executor: Executor | None = Executor()
        self.script: Callable[[str], Script] = lambda prompt: Script([])
        self.calls: list[dict[str, Any]] = []
        self.results: list[Result] = []
        self.step_s = 0.001
        self.under_way = self.most = 0
        LLM.made.append(self)

    def generate_async(self, inputs: Any, sampling_params: Any = None, **given: Any) -> Result:
        asyncio.get_running_loop()
        call = {"inputs": inputs, "sampling_params": sampling_params, **given}
        refuse(find_faults(call, read_tables("calls")["generate_async"]))
        refuse(find_faults(inputs, read_tables("calls")["TextPrompt"]))
        if self._executor is None or self._executor.is_shutdown():
            raise RuntimeError("LLM is shutting down")
        self.calls.append(call)
        script = self.script(inputs["prompt"])
        if script.error and not script.token_ids:
            raise script.error
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        self.results.append(Result(self, script, sampling_params))
        return self.results[-1]

    def shutdown(self) -> None:
        self._executor = None


def refuse(faults: list[str]) -> None:
    if faults:
        raise TypeError("; ".join(faults))


@dataclass
class StandIn:
    """The modules that were put in place."""

    llms: list[LLM] = field(default_factory=lambda: LLM.made)

    @property
    def llm(self) -> LLM:
        return self.llms[-1]


@pytest.fixture
def tensorrt_llm(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    module = ModuleType("tensorrt_llm")
    module.LLM, module.SamplingParams = LLM, SamplingParams  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tensorrt_llm", module)
    monkeypatch.setattr(LLM, "made", [])
    return StandIn(LLM.made)


@pytest.fixture
def llm_engine(copied_engine: Path) -> Path:
    """An engine folder for the LLM API; four answers at once."""
    manifest = read_manifest(copied_engine)
    write_llm_args(copied_engine, build_llm_args(LlmSettings(max_batch_size=4, max_seq_len=512)))
    files = digest_files(copied_engine)
    path = {"path": "llm-api"}
    write_manifest(copied_engine, replace(manifest, target="trtllm", files=files, runtime_options=path))
    return copied_engine


@pytest.fixture
def llm_manifest(llm_engine: Path) -> EngineManifest:
    return read_manifest(llm_engine)


@pytest.fixture
def runtime(tensorrt_llm: StandIn, llm_engine: Path, llm_manifest: EngineManifest) -> Iterator[TrtllmRuntime]:
    """The model repeats the question; see `repeating`."""
    made = TrtllmRuntime(llm_engine, llm_manifest)
    tensorrt_llm.llm.script = repeating(made)
    yield made
    made.close()


def repeating(runtime: TrtllmRuntime, **script: Any) -> Callable[[str], Script]:
    """The question's own words, then the end-of-turn token."""
    tokenizer = runtime.template.tokenizer
    end = tokenizer.token_to_id("<|im_end|>")

    def say(prompt: str) -> Script:
        words = prompt.rpartition("<|vision_end|>")[2].partition("<|im_end|>")[0]
        ids = list(tokenizer.encode(words, add_special_tokens=False).ids)
        return Script([*ids, end], **script)

    return say


@pytest.fixture
def scripted() -> type[Script]:
    return Script
