"""The LLM API's runtime through the protocol, against a stand-in that refuses what TensorRT-LLM 1.2.1 would."""

import math
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from radserve_engines.errors import EngineFailed, ManifestError, QuestionRefused
from radserve_engines.manifest import EngineManifest
from radserve_engines.runtime import trtllm, trtllm_requests
from radserve_engines.runtime.loading import load_runtime
from radserve_engines.runtime.trtllm import TrtllmRuntime, open_trtllm
from radserve_engines.trtllm.signatures import check_call

Ask = Callable[..., Any]


def _soon(true: Callable[[], bool]) -> bool:
    """The loop's thread gets to it within a second."""
    until = time.monotonic() + 1
    while not true() and time.monotonic() < until:
        time.sleep(0.002)
    return true()


def test_an_answer_streams_token_by_token_and_ends_once(runtime: TrtllmRuntime, ask: Ask) -> None:
    deltas = ask(runtime, "is there a fracture of the left rib").rest()
    assert "".join(d.text for d in deltas) == "is there a fracture of the left rib"
    assert [d.finish_reason for d in deltas if d.finish_reason] == ["stop"]
    assert len([d for d in deltas if d.token_ids]) > 3
    assert max(len(d.token_ids) for d in deltas) == 1


def test_the_prompt_is_the_engines_own_and_the_images_arrive_as_they_were_rendered(
    runtime: TrtllmRuntime, tensorrt_llm: Any, question: Any, follow: Any
) -> None:
    asked = question("which side", images=2)
    pixels = (asked.images[0], np.random.default_rng(0).integers(0, 255, (224, 196, 3), np.uint8))
    follow(runtime, replace(asked, images=pixels)).rest()
    (call,) = tensorrt_llm.llm.calls
    assert call["inputs"]["prompt"] == runtime.template.render(asked.messages, pixels).text
    seen = [np.asarray(image) for image in call["inputs"]["multi_modal_data"]["image"]]
    assert all(np.array_equal(a, b) for a, b in zip(seen, pixels, strict=True))
    assert (
        call["streaming"] is True and call["sampling_params"].add_special_tokens
    )  # a start token, as in ours


def test_a_question_without_an_image_brings_no_multimodal_data(
    runtime: TrtllmRuntime, tensorrt_llm: Any, scripted: Any, ask: Ask
) -> None:
    tensorrt_llm.llm.script = lambda prompt: scripted([5])
    ask(runtime, "hello", images=0).rest()
    assert set(tensorrt_llm.llm.calls[0]["inputs"]) == {"prompt"}


def test_logprobs_come_only_when_asked_for_but_always_count_in_the_score(
    runtime: TrtllmRuntime, ask: Ask
) -> None:
    plain, asked = ask(runtime, "left lung").rest(), ask(runtime, "left lung", logprobs=True).rest()
    tokens = sum(len(d.token_ids) for d in asked)
    assert all(d.logprobs == () for d in plain)
    assert [p for d in asked for p in d.logprobs] == [-0.25] * tokens
    assert plain[-1].score.logprob == pytest.approx(-0.25 * tokens)
    assert plain[-1].score.whole and plain[-1].score.tokens == tokens


def test_a_missing_logprob_makes_the_score_unknown_rather_than_wrong(
    runtime: TrtllmRuntime, monkeypatch: pytest.MonkeyPatch, ask: Ask
) -> None:
    monkeypatch.setattr(trtllm, "read_logprobs", lambda ids, entries: [])
    assert math.isnan(ask(runtime, "left lung").rest()[-1].score.logprob)


def test_many_share_the_engine_and_none_gets_anothers_words(
    runtime: TrtllmRuntime, tensorrt_llm: Any, ask: Ask
) -> None:
    tensorrt_llm.llm.step_s = 0.003
    texts = [f"question number {n} on this image" for n in range(10)]
    asked = [ask(runtime, text) for text in texts]
    assert ["".join(d.text for d in one.rest()) for one in asked] == texts
    assert tensorrt_llm.llm.most == 4
    assert runtime.load().finished == 10 and runtime.load().running == 0


def test_a_burst_is_let_in_at_once_though_nothing_arrives(
    runtime: TrtllmRuntime, tensorrt_llm: Any, monkeypatch: pytest.MonkeyPatch, ask: Ask
) -> None:
    monkeypatch.setattr(trtllm, "_TURN_S", 5.0)
    tensorrt_llm.llm.step_s = 1.2
    began = time.monotonic()
    asked = [ask(runtime, "a") for _ in range(4)]
    while len(tensorrt_llm.llm.calls) < 4 and time.monotonic() - began < 1:
        time.sleep(0.002)
    assert len(tensorrt_llm.llm.calls) == 4
    for one in asked:
        one.handle.cancel()


def test_cancelling_aborts_the_one_and_leaves_the_others_alone(
    runtime: TrtllmRuntime, tensorrt_llm: Any, scripted: Any, ask: Ask
) -> None:
    echo = tensorrt_llm.llm.script
    tensorrt_llm.llm.script = lambda p: scripted([7] * 400) if "endless" in p else echo(p)
    endless, kept = ask(runtime, "endless", max_tokens=400, ignore_eos=True), ask(runtime, "a b c d e f g")
    endless.next()
    began = time.monotonic()
    endless.handle.cancel()
    assert endless.rest()[-1].finish_reason == "cancelled"
    assert time.monotonic() - began < 0.5
    assert "".join(d.text for d in kept.rest()) == "a b c d e f g"
    assert _soon(lambda: [r.aborted for r in tensorrt_llm.llm.results] == [True, False])
    assert runtime.load().cancelled == 1


def test_a_stop_string_ends_the_answer_before_it_and_frees_the_slot(
    runtime: TrtllmRuntime, tensorrt_llm: Any, ask: Ask
) -> None:
    deltas = ask(runtime, "no fracture is seen here at all", stop=["seen here"]).rest()
    assert "".join(d.text for d in deltas) == "no fracture is "
    assert deltas[-1].finish_reason == "stop"
    assert not deltas[-1].score.whole
    assert tensorrt_llm.llm.calls[0]["sampling_params"].stop is None
    assert _soon(lambda: tensorrt_llm.llm.results[0].aborted)


def test_a_loop_of_words_is_cut(runtime: TrtllmRuntime, tensorrt_llm: Any, scripted: Any, ask: Ask) -> None:
    tensorrt_llm.llm.script = lambda prompt: scripted([9, 11] * 200)
    assert ask(runtime, max_tokens=200).rest()[-1].finish_reason == "repetition"


def test_an_answer_stops_at_its_length(runtime: TrtllmRuntime, ask: Ask) -> None:
    last = ask(runtime, "one two three four five six", max_tokens=2).rest()[-1]
    assert last.finish_reason == "length" and last.timings.completion_tokens == 2


def test_sampling_goes_through_as_it_was_asked(runtime: TrtllmRuntime, tensorrt_llm: Any, ask: Ask) -> None:
    ask(runtime, temperature=0.7, top_p=0.9, top_k=20, ignore_eos=True, max_tokens=3).rest()
    ask(runtime, temperature=0, seed=3).rest()
    drawn, greedy = (call["sampling_params"] for call in tensorrt_llm.llm.calls)
    assert (drawn.temperature, drawn.top_p, drawn.top_k) == (0.7, 0.9, 20)
    assert drawn.ignore_eos and drawn.max_tokens == 3
    assert (greedy.temperature, greedy.top_p, greedy.top_k) == (None, None, 1)


def test_a_seed_that_would_change_nothing_is_refused_by_name(runtime: TrtllmRuntime, ask: Ask) -> None:
    with pytest.raises(QuestionRefused) as caught:
        ask(runtime, temperature=0.5, seed=1)
    assert caught.value.param == "seed"


def test_the_wait_in_tensorrt_llms_queue_counts_as_queue(
    runtime: TrtllmRuntime, tensorrt_llm: Any, scripted: Any, ask: Ask
) -> None:
    tensorrt_llm.llm.script = lambda prompt: scripted([5, 6], waited_ms=40.0)
    timings = ask(runtime).rest()[-1].timings
    assert timings.queue_ms >= 40


@pytest.mark.parametrize("after", [0, 3])
def test_a_failing_question_fails_alone(
    runtime: TrtllmRuntime, tensorrt_llm: Any, scripted: Any, ask: Ask, after: int
) -> None:
    echo = tensorrt_llm.llm.script
    broken = scripted([5] * after, error=ValueError("no such image size"))
    tensorrt_llm.llm.script = lambda p: broken if "broken" in p else echo(p)
    bad, good = ask(runtime, "broken"), ask(runtime, "fine")
    with pytest.raises(EngineFailed, match="no such image size"):
        bad.rest()
    assert "".join(d.text for d in good.rest()) == "fine"


def test_an_answer_that_tensorrt_llm_gives_up_is_an_error(
    runtime: TrtllmRuntime, tensorrt_llm: Any, scripted: Any, ask: Ask
) -> None:
    tensorrt_llm.llm.script = lambda prompt: scripted([5], reason="timeout")
    with pytest.raises(EngineFailed, match="timeout"):
        ask(runtime).rest()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_dead_workers_end_the_engine_so_that_it_is_started_again(
    tensorrt_llm: Any, llm_engine: Path, llm_manifest: EngineManifest, scripted: Any, ask: Ask
) -> None:
    runtime = TrtllmRuntime(llm_engine, llm_manifest)
    tensorrt_llm.llm.script = lambda prompt: scripted([5] * 400)
    asked = ask(runtime, max_tokens=400, ignore_eos=True)
    asked.next()
    tensorrt_llm.llm._executor.down = True
    with pytest.raises(EngineFailed, match="processes ended"):
        asked.rest()
    runtime._thread.join(5)
    assert not runtime._thread.is_alive() and not runtime.probe(0.05)
    runtime.close()


def test_closing_cancels_what_runs_and_ends_the_workers(
    tensorrt_llm: Any, llm_engine: Path, llm_manifest: EngineManifest, scripted: Any, ask: Ask
) -> None:
    runtime = TrtllmRuntime(llm_engine, llm_manifest)
    tensorrt_llm.llm.script = lambda prompt: scripted([5] * 400)
    asked = ask(runtime, max_tokens=400, ignore_eos=True)
    asked.next()
    assert runtime.probe(1.0)
    runtime.close()
    assert asked.rest()[-1].finish_reason == "cancelled"
    assert tensorrt_llm.llm._executor is None
    assert "trtllm" not in {thread.name for thread in threading.enumerate()}


def test_a_full_queue_refuses(
    tensorrt_llm: Any, llm_engine: Path, llm_manifest: EngineManifest, scripted: Any, ask: Ask
) -> None:
    runtime = TrtllmRuntime(llm_engine, llm_manifest, max_running=1, max_waiting=1)
    tensorrt_llm.llm.script = lambda prompt: scripted([5] * 400)
    first = ask(runtime, max_tokens=400, ignore_eos=True)
    first.next()
    ask(runtime)
    with pytest.raises(QuestionRefused, match="waiting"):
        ask(runtime)
    runtime.close()


def test_the_engine_is_loaded_as_llm_args_says_and_reports_nothing(
    runtime: TrtllmRuntime, tensorrt_llm: Any, llm_engine: Path
) -> None:
    arguments = tensorrt_llm.llm.arguments
    assert arguments["model"] == str(llm_engine)
    assert arguments["kv_cache_config"]["enable_block_reuse"] is False
    assert os.environ["TRTLLM_NO_USAGE_STATS"] == os.environ["DO_NOT_TRACK"] == "1"


def test_an_engine_of_this_target_is_loaded_by_its_path(
    tensorrt_llm: Any, llm_engine: Path, llm_manifest: EngineManifest
) -> None:
    runtime = load_runtime(llm_engine, llm_manifest)
    assert isinstance(runtime, TrtllmRuntime)
    runtime.close()
    with pytest.raises(ManifestError, match=r"runtime_options\.path"):
        open_trtllm(llm_engine, replace(llm_manifest, runtime_options={"path": "llmapi"}))


def test_without_tensorrt_llm_the_message_names_the_container(
    monkeypatch: pytest.MonkeyPatch, llm_engine: Path, llm_manifest: EngineManifest
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt_llm", None)
    with pytest.raises(ManifestError, match="trtllm-python-py3"):
        TrtllmRuntime(llm_engine, llm_manifest)


def test_an_engine_that_does_not_load_says_how_triton_must_be_started(
    tensorrt_llm: Any, llm_engine: Path, llm_manifest: EngineManifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: Any) -> None:
        raise RuntimeError("MPI_ERR_SPAWN: could not spawn processes")

    monkeypatch.setattr(sys.modules["tensorrt_llm"], "LLM", fail)
    with pytest.raises(EngineFailed, match="trtllm-llmapi-launch tritonserver"):
        TrtllmRuntime(llm_engine, llm_manifest)


def test_a_misspelt_argument_fails_with_the_nearest_name() -> None:
    with pytest.raises(TypeError, match="did you mean max_tokens"):
        check_call("SamplingParams", {"max_token": 3})
    with pytest.raises(TypeError, match="did you mean streaming"):
        check_call("generate_async", {"inputs": {}, "stream": True})
    with pytest.raises(TypeError, match="multi_modal_data"):
        check_call("TextPrompt", {"prompt": "", "multimodal_data": {}})


def test_a_misspelt_argument_reaches_nobody(
    runtime: TrtllmRuntime, tensorrt_llm: Any, monkeypatch: pytest.MonkeyPatch, ask: Ask
) -> None:
    """Even where our own check is left out, the stand-in refuses as TensorRT-LLM does."""
    monkeypatch.setattr(trtllm, "build_sampling", lambda answer: {"max_token": 3})
    with pytest.raises(EngineFailed, match="max_token"):
        ask(runtime).rest()
    assert tensorrt_llm.llm.calls == []


def test_logprobs_are_read_by_token_id_or_as_plain_numbers() -> None:
    read = trtllm_requests.read_logprobs
    assert read([4, 5], [{4: -1.0, 9: -0.1}, {5: -2.0}]) == [-1.0, -2.0]
    assert read([4], [-0.5]) == [-0.5]
    assert read([4, 5], [{4: -1.0}]) == []
    assert read([4], [{9: -0.1}]) == []
