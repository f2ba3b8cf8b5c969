"""The shipped INT8 engine through OpenVINO: it answers, streams, stops, cancels, and runs several at once."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from radserve_engines.manifest import read_manifest
from radserve_engines.runtime.loading import load_runtime
from radserve_engines.runtime.protocol import Runtime

Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def engine(engine_folder: Path) -> Iterator[Runtime]:
    runtime = load_runtime(engine_folder, read_manifest(engine_folder))
    yield runtime
    runtime.close()


def test_greedy_answers_repeat_exactly(engine: Runtime, ask: Ask) -> None:
    first, second = (ask(engine, "What modality is used to take this image?").rest() for _ in range(2))
    assert [d.token_ids for d in first] == [d.token_ids for d in second]
    assert "".join(d.text for d in first).strip()
    assert first[-1].finish_reason == "stop"


def test_the_engine_counts_the_tokens_that_the_prompt_template_foretold(engine: Runtime, ask: Ask) -> None:
    timings = ask(engine, images=2).rest()[-1].timings
    assert timings.image_tokens == 2 * 64
    assert timings.vision_ms > 0 and timings.prefill_ms > 0


def test_a_question_of_many_images_is_answered_beside_others(engine: Runtime, ask: Ask) -> None:
    """Its prompt is longer than what GenAI takes in one step by default, which failed everybody's answer."""
    asked = [ask(engine, max_tokens=4, ignore_eos=True) for _ in range(3)]
    asked.append(ask(engine, images=4, max_tokens=4, ignore_eos=True))
    last = [one.rest()[-1] for one in asked]
    assert [answer.finish_reason for answer in last] == ["length"] * 4
    assert last[-1].timings.image_tokens == 4 * 64


def test_each_token_has_a_log_probability(engine: Runtime, ask: Ask) -> None:
    deltas = ask(engine, logprobs=True, max_tokens=12, ignore_eos=True).rest()
    logprobs = [value for d in deltas for value in d.logprobs]
    assert len(logprobs) == sum(len(d.token_ids) for d in deltas) == 12
    assert all(value <= 1e-4 for value in logprobs)
    assert any(value < 0 for value in logprobs)


def test_greedy_answers_do_not_depend_on_what_runs_beside_them(engine: Runtime, ask: Ask) -> None:
    texts = ["Is this a CT?", "Which organ is shown?", "Where is the lesion?", "Is there a fracture?"]
    alone = [ask(engine, text).rest() for text in texts]
    beside = [one.rest() for one in [ask(engine, text) for text in texts]]
    assert [[d.token_ids for d in one] for one in alone] == [[d.token_ids for d in one] for one in beside]


def test_a_seed_repeats_a_sampled_answer(engine: Runtime, ask: Ask) -> None:
    def drawn(seed: int) -> list[int]:
        deltas = ask(engine, temperature=2.0, seed=seed, max_tokens=16, ignore_eos=True).rest()
        return [token for d in deltas for token in d.token_ids]

    assert drawn(1) == drawn(1)
    assert len({tuple(drawn(seed)) for seed in range(4)}) > 1


@pytest.mark.parametrize("drawn", [{"top_p": 0.0}, {"top_k": 1}], ids=["top_p", "top_k"])
def test_a_draw_from_one_token_is_greedy(engine: Runtime, ask: Ask, drawn: dict[str, float]) -> None:
    """GenAI itself refuses a top_p of 0."""
    greedy, one = (ask(engine, **more).rest() for more in ({}, {"temperature": 2.0, **drawn}))
    assert [d.token_ids for d in greedy] == [d.token_ids for d in one]


def test_a_stop_string_ends_the_answer_before_it(engine: Runtime, ask: Ask) -> None:
    drawn = {"temperature": 2.0, "seed": 3, "max_tokens": 24, "ignore_eos": True}  # greedy answers are short
    full = "".join(d.text for d in ask(engine, **drawn).rest())
    stop = full.strip()[4:8]
    deltas = ask(engine, **drawn, stop=[stop]).rest()
    assert "".join(d.text for d in deltas) == full[: full.index(stop)]
    assert deltas[-1].finish_reason == "stop"
    assert engine.load().running == 0


def test_cancelling_gives_the_slot_back_and_the_engine_goes_on(engine: Runtime, ask: Ask) -> None:
    asked = ask(engine, max_tokens=1500, ignore_eos=True)
    asked.next()
    began = time.monotonic()
    asked.handle.cancel()
    assert asked.rest()[-1].finish_reason == "cancelled"
    assert time.monotonic() - began < 0.5
    assert engine.load().running == 0
    assert ask(engine).rest()[-1].finish_reason == "stop"


def test_more_questions_than_slots_are_all_answered(engine_folder: Path, ask: Ask) -> None:
    runtime = load_runtime(engine_folder, read_manifest(engine_folder), max_running=2)
    answers = [one.rest()[-1] for one in [ask(runtime, max_tokens=6, ignore_eos=True) for _ in range(5)]]
    runtime.close()
    assert [a.finish_reason for a in answers] == ["length"] * 5
    assert runtime.load().finished == 5


def test_the_engine_imports_no_torch(engine_folder: Path) -> None:
    program = (
        "import sys; from pathlib import Path; import radserve_engines.triton_model;"
        "from radserve_engines.runtime.loading import load_runtime;"
        "from radserve_engines.acceptance import Acceptance;"
        "from radserve_engines.warm_up import warm_up;"
        f"folder = Path({str(engine_folder)!r});"
        "runtime = load_runtime(folder, Acceptance(allow_ungated=True).accept(folder));"
        "warm_up(runtime); runtime.close();"
        "assert 'openvino_genai' in sys.modules;"
        "print([name for name in sys.modules if name.partition('.')[0] in ('torch', 'transformers')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == "[]"
