"""Endless repetition is cut when it is certain, and only then; in the loop of every runtime alike."""

import itertools
import time
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from radserve_engines.runtime.fake import FakeRuntime
from radserve_engines.runtime.repetition import LEAST_TOKENS, LONGEST_PERIOD, RepetitionWatch

Ask = Callable[..., Any]


def found_after(tokens: Iterable[int]) -> int | None:
    """How many tokens it took."""
    watch = RepetitionWatch()
    for number, token in enumerate(tokens, 1):
        watch.push(token)
        if watch.found:
            return number
    return None


@pytest.mark.parametrize("period", range(1, LONGEST_PERIOD + 1))
def test_a_loop_of_any_period_is_found_after_four_rounds_and_32_tokens(period: int) -> None:
    said = [1000 + number for number in range(50)]
    loop = itertools.islice(itertools.cycle(range(period)), 500)
    assert found_after([*said, *loop]) == len(said) + max(4 * period, LEAST_TOKENS)


def test_a_loop_within_its_block_is_found_too() -> None:
    """The block itself repeats a token: no no yes, no no yes …"""
    assert found_after([7, 7, 8] * 100) == LEAST_TOKENS


@pytest.mark.parametrize(
    "tokens",
    [
        [1] * (LEAST_TOKENS - 1),
        [5, 9] * 15,  # "no, no, no, …" fifteen times
        [3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14] * 3,  # a sentence said three times
        [token for row in range(200) for token in (20, 21, 100 + row, 22)],  # the rows of a table
        [token for _ in range(3) for token in range(40)],  # longer than the longest period
        [*[1] * 31, 2] * 3,  # a row of a table, three times
        list(range(2000)),
    ],
)
def test_what_is_not_certain_is_not_cut(tokens: list[int]) -> None:
    assert found_after(tokens) is None


def test_a_token_costs_little() -> None:
    watch = RepetitionWatch()
    began = time.perf_counter()
    for token in range(10_000):
        watch.push(token)
    assert (time.perf_counter() - began) / 10_000 < 100e-6


def test_an_answer_that_repeats_itself_is_cut_and_its_slot_freed(fake: FakeRuntime, ask: Ask) -> None:
    deltas = ask(fake, "see the lung" + " no" * 200, max_tokens=400).rest()
    last = deltas[-1]
    assert last.finish_reason == "repetition"
    text = "".join(delta.text for delta in deltas)
    assert text.startswith("see the lung no no") and text.count(" no") == LEAST_TOKENS
    assert last.timings.completion_tokens == sum(len(delta.token_ids) for delta in deltas) < 50
    assert last.score.whole is False
    assert fake.probe(5)  # the loop has counted what it has sent
    assert fake.load().running == 0


def test_a_benchmark_is_not_cut(fake: FakeRuntime, ask: Ask) -> None:
    last = ask(fake, "no no no no", max_tokens=100, ignore_eos=True).rest()[-1]
    assert (last.finish_reason != "repetition", last.timings.completion_tokens) == (True, 100)


def test_a_stop_string_or_the_length_that_comes_first_is_the_reason(fake: FakeRuntime, ask: Ask) -> None:
    assert ask(fake, "no " * 90, max_tokens=31).rest()[-1].finish_reason == "length"
    stopped = ask(fake, "a b c d" + " no" * 90, stop=["no no"]).rest()[-1]
    assert (stopped.finish_reason, stopped.score.whole) == ("stop", False)
