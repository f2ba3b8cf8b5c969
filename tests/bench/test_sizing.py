"""Cores and GPUs follow from what was measured by the stated formula, and the page of sizes from both."""

import argparse
import json

import pytest

from radserve_bench.errors import BenchError
from radserve_bench.sizing.reckoning import MIX, UTILISATION, Need, engine_of, read_limits, size
from radserve_bench.sizing.report import cost, json_report, text_report
from radserve_client.errors import RadserveError
from radserve_client.size_command import add_size_word
from radserve_engines.errors import PlanError

# Figures that can be reckoned with in one's head: 10 ms, 100 ms and 1 ms a question, 100 µs a token.
LIMITS = {
    "when": "2026-01-01T00:00:00+00:00",
    "machine": {"processor": "a processor", "cores": 2},
    "settings": {"answer_tokens": 4},
    "triton": [{"cpu_us_per_event": 100.0}],
    "questions": [
        {"key": key, "name": key, "cpu_ms": {"median": ms}}
        for key, ms in (("ct", 10.0), ("xray-j2k", 100.0), ("series", 200.0), ("further", 1.0))
    ],
}


@pytest.fixture(scope="module")
def engine():
    return engine_of("qwen2.5-vl-7b", "H100", "fp8", (896, 896))


@pytest.fixture
def command(capsys):
    """What `radserve size …` prints."""
    parser = argparse.ArgumentParser()
    add_size_word(parser.add_subparsers(required=True))

    def run(*words):
        given = parser.parse_args(["size", *words])
        given.run(given)
        return capsys.readouterr().out

    return run


@pytest.fixture
def limits_file(tmp_path):
    path = tmp_path / "limits.json"
    path.write_text(json.dumps(LIMITS))
    return str(path)


def test_cores_follow_the_formula(engine):
    """3,600 studies an hour, doubled, are 2 a second; each takes 10 + 2 × 1 ms and 3 × 60 tokens of 0.1 ms."""
    found = size(Need(3600, {"ct": 1.0}), engine, LIMITS)
    assert found.parts[0].cpu_s == pytest.approx(0.030)
    assert found.busy_cores == pytest.approx(0.060)
    assert found.cores == 1
    assert found.studies_per_core == pytest.approx(0.6 / 0.030 * 3600 / 2)


def test_a_mix_is_the_mean_of_its_parts(engine):
    need = Need(3600, {"ct": 0.75, "xray-j2k": 0.25}, questions=1, answer_tokens=4, busy_hour_factor=1)
    assert size(need, engine, LIMITS).busy_cores == pytest.approx(0.75 * 0.010 + 0.25 * 0.100)


def test_so_many_studies_as_the_cores_and_gpus_carry_and_one_more(engine):
    """Just below a whole number of them, and just above."""
    need = {"mix": {"series": 1.0}, "questions": 2}
    one = size(Need(1, **need), engine, LIMITS)
    for carried, count in ((one.studies_per_core, "cores"), (one.studies_per_gpu, "gpus")):
        below, above = (
            getattr(size(Need(3 * carried * part, **need), engine, LIMITS), count) for part in (0.99, 1.01)
        )
        assert (below, above) == (3, 4)


def test_gpus_follow_the_roofline_of_the_plan(engine):
    from radserve_engines.planning.fitting import make_plan
    from radserve_engines.planning.question import question_for

    question = question_for(engine.size, image=(896, 896), images=20, answer=64)
    (row,) = make_plan(engine.size, question, [engine.gpu], [engine.precision]).rows
    found = size(Need(1000, {"series": 1.0}, busy_hour_factor=3), engine, LIMITS)
    assert found.busy_gpus == pytest.approx(3000 / 3600 * 3 / row.expected.requests)
    assert found.gpus == -(-found.busy_gpus // UTILISATION)


def test_a_model_that_needs_several_gpus_comes_in_whole_engines():
    large = engine_of("qwen2.5-vl-72b", "H100", "bf16", (896, 896))
    found = size(Need(100, {"ct": 0.5, "series": 0.5}), large, LIMITS)
    assert found.gpus_per_engine > 1 and found.gpus % found.gpus_per_engine == 0


def test_more_tokens_questions_and_hours_never_need_less(engine):
    base = {"studies_per_hour": 1000, "mix": {"ct": 1.0}}
    plain = size(Need(**base), engine, LIMITS)
    for more in ({"questions": 4}, {"answer_tokens": 128}, {"busy_hour_factor": 2.5}):
        found = size(Need(**base, **more), engine, LIMITS)
        assert found.busy_cores > plain.busy_cores and found.busy_gpus > plain.busy_gpus


@pytest.mark.parametrize(
    ("mix", "said"),
    [({"mri": 1.0}, "mri is not measured"), ({"ct": 0.5}, "add up to 0.5"), ({"ct": 1.5}, "no share")],
)
def test_a_mix_that_is_none_is_refused(engine, mix, said):
    with pytest.raises(BenchError, match=said):
        size(Need(100, mix), engine, LIMITS)


def test_figures_that_are_not_whole_are_refused(engine):
    with pytest.raises(BenchError, match="not whole"):
        size(Need(100, {"ct": 1.0}), engine, {**LIMITS, "triton": []})


def test_an_engine_that_cannot_be_is_refused(engine):
    with pytest.raises(BenchError, match="FP8"):
        size(Need(100, {"ct": 1.0}), engine_of("qwen2.5-vl-7b", "A100-80", "fp8", (896, 896)), LIMITS)
    with pytest.raises(PlanError):
        engine_of("qwen2.5-vl-7b", "H900", "fp8", (896, 896))


def test_cost_is_that_of_the_gpus(engine):
    sizing = size(Need(100, {"ct": 1.0}), engine, LIMITS)
    assert cost(sizing, 3.0) == {"per_hour": 3.0, "per_1000_questions": pytest.approx(10.0)}
    assert json_report(sizing)["gpu_cost"] is None


def test_the_report_says_what_it_assumed(engine):
    text = text_report(size(Need(100, {"ct": 1.0}), engine, LIMITS))
    for told in ("60 % of each", "50 % of arithmetic", "65 % of bandwidth", "a processor", "not counted"):
        assert told in text


def test_the_command_tells_people_and_programs_the_same(command, limits_file):
    words = ("--studies-per-hour", "3600", "--mix", "ct=0.5,xray-j2k=0.5", "--limits", limits_file)
    told = json.loads(command(*words, "--json", "--price-per-gpu-hour", "2"))
    assert told["need"]["mix"] == {"ct": 0.5, "xray-j2k": 0.5}
    assert f"{told['busy_cores']:.2f} busy" in command(*words)
    assert told["gpu_cost"]["per_hour"] == 2 * told["gpus"]


@pytest.mark.parametrize(
    "words",
    [("--mix", "mri=1"), ("--gpu", "H900"), ("--precision", "fp3"), ("--limits", "/nowhere/limits.json")],
)
def test_the_command_tells_what_is_wrong_in_its_own_error(command, limits_file, words):
    with pytest.raises(RadserveError):
        command("--studies-per-hour", "5", "--mix", "ct=1", "--limits", limits_file, *words)


@pytest.mark.parametrize("words", [("--studies-per-hour", "0"), ("--studies-per-hour", "5", "--mix", "ct")])
def test_nonsense_on_the_command_line_is_wrong_usage(command, words):
    with pytest.raises(SystemExit):
        command(*words)


def test_the_default_mix_is_measured(engine):
    assert size(Need(100, MIX), engine, read_limits()).cores == 1
