"""The engine's loop: order, slots, cancellation, refusal. All runtimes inherit it; the fake shows it."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from radserve_engines.errors import EngineFailed, QuestionRefused
from radserve_engines.runtime.fake import FakeRuntime

Ask = Callable[..., Any]


def test_an_answer_arrives_token_by_token_and_ends_once(fake: FakeRuntime, ask: Ask) -> None:
    deltas = ask(fake, "is there a fracture").rest()
    assert "".join(d.text for d in deltas) == "is there a fracture"
    assert [d.finish_reason for d in deltas[:-1]] == [""] * (len(deltas) - 1)
    assert deltas[-1].finish_reason == "stop"
    timings = deltas[-1].timings
    assert timings is not None
    assert timings.completion_tokens == sum(len(d.token_ids) for d in deltas)
    assert min(timings.queue_ms, timings.vision_ms, timings.prefill_ms, timings.decode_ms) >= 0


def test_logprobs_come_only_when_asked_for(fake: FakeRuntime, ask: Ask) -> None:
    plain = ask(fake).rest()
    asked = ask(fake, logprobs=True).rest()
    assert all(d.logprobs == () for d in plain)
    assert sum(len(d.logprobs) for d in asked) == sum(len(d.token_ids) for d in asked)


def test_slots_are_bounded_and_the_rest_waits(fake: FakeRuntime, ask: Ask) -> None:
    asked = [ask(fake, max_tokens=400, ignore_eos=True) for _ in range(5)]
    for one in asked[:2]:
        one.next()
    load = fake.load()
    assert (load.running, load.waiting) == (2, 3)
    for one in asked:
        one.handle.cancel()
    for one in asked:
        assert one.rest()[-1].finish_reason == "cancelled"


def test_cancelling_frees_the_slot_at_once(fake: FakeRuntime, ask: Ask) -> None:
    asked = ask(fake, max_tokens=1000, ignore_eos=True)
    asked.next()
    began = time.monotonic()
    asked.handle.cancel()
    assert asked.rest()[-1].finish_reason == "cancelled"
    assert fake.load().running == 0
    assert fake.load().cancelled == 1
    assert time.monotonic() - began < 0.5


def test_cancelling_one_leaves_the_others_alone(fake: FakeRuntime, ask: Ask) -> None:
    kept, dropped = ask(fake, "a b c d e f g"), ask(fake, max_tokens=1000, ignore_eos=True)
    dropped.handle.cancel()
    assert "".join(d.text for d in kept.rest()) == "a b c d e f g"
    assert dropped.rest()[-1].finish_reason == "cancelled"


def test_an_answer_stops_at_its_length(fake: FakeRuntime, ask: Ask) -> None:
    last = ask(fake, "one two three four five six", max_tokens=2).rest()[-1]
    assert last.finish_reason == "length"
    assert last.timings is not None and last.timings.completion_tokens == 2


@pytest.mark.parametrize(
    ("sampling", "field"),
    [
        ({"max_tokens": 0}, "max_tokens"),
        ({"temperature": 3}, "temperature"),
        ({"beams": 2}, "beams"),
        ({"stop": [""]}, "stop"),
    ],
)
def test_an_ill_sampling_field_is_refused_by_name(
    fake: FakeRuntime, ask: Ask, sampling: dict[str, object], field: str
) -> None:
    with pytest.raises(QuestionRefused) as refused:
        ask(fake, **sampling)
    assert refused.value.param == field


def test_a_failing_step_loses_its_questions_and_not_the_engine(
    fake: FakeRuntime, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(running: object) -> list[object]:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(fake, "step", broken)
        with pytest.raises(EngineFailed):
            ask(fake).rest()
    assert ask(fake, "still here").rest()[-1].finish_reason == "stop"
    assert fake.load().running == 0


def test_the_probe_tells_a_turning_loop_from_a_stuck_one(
    fake: FakeRuntime, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert fake.probe(1.0)
    monkeypatch.setattr(fake, "step", lambda running: time.sleep(0.4) or running)
    ask(fake)
    time.sleep(0.05)
    assert not fake.probe(0.1)
