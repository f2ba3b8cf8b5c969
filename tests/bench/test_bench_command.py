"""`radserve bench` as a user runs it, on a real gateway before an engine whose schedule is known."""

import argparse
import asyncio
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import httpx
import pytest

from radserve_bench.driving.presets import make_plan
from radserve_client.bench_command import _wanted, add_bench_word
from radserve_client.cli import main

pytestmark = pytest.mark.timed

_FIRST_MS, _TOKEN_MS = 80.0, 10.0


def bench(*words: str) -> list[str]:
    return [sys.executable, "-m", "radserve_client", "bench", *words]


def run(*words: str) -> dict:
    done = subprocess.run(bench(*words), capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def metric(document, key, over_rounds="median", **which):
    (point,) = [
        point for point in document["points"] if all(point[name] == value for name, value in which.items())
    ]
    return point["metrics"][key][over_rounds]


@pytest.fixture(scope="module")
def scheduled(fake_gateway) -> Iterator[str]:
    options = ("--first-ms", f"{_FIRST_MS:g}", "--token-ms", f"{_TOKEN_MS:g}")
    with fake_gateway(*options) as url:
        yield url


ASKED = ("--workload", "text", "--closed", "1,4", "--requests", "4", "--tokens", "16", "--rounds", "5")


async def test_a_known_schedule_is_measured_as_itself_within_3_ms(schedule, tmp_path):
    """Of an endpoint that does nothing but keep its schedule; of five rounds the least disturbed."""
    async with schedule(first_s=_FIRST_MS / 1e3, token_s=_TOKEN_MS / 1e3) as server:
        document = await asyncio.to_thread(run, server.url, *ASKED, "--out", str(tmp_path))
    for askers in (1, 4):
        load = {"kind": "closed", "amount": askers}
        assert metric(document, "ttft_p50_ms", "min", load=load) == pytest.approx(_FIRST_MS, abs=3)
        assert metric(document, "itl_p50_ms", "min", load=load) == pytest.approx(_TOKEN_MS, abs=3 / 15)
        total = _FIRST_MS + 15 * _TOKEN_MS
        assert metric(document, "total_p50_ms", "min", load=load) == pytest.approx(total, abs=3)
        assert metric(document, "error_share", load=load) == 0
    assert json.loads((tmp_path / "report.json").read_text()) == document
    assert (tmp_path / "report.md").read_text().count("|") > 20


def test_a_gateway_s_answers_take_what_it_says_itself_within_3_ms(scheduled, tmp_path):
    """Its own clock starts when a request has arrived, and has the schedule and the gateway's work in it."""
    before = own_ttft(scheduled)
    document = run(scheduled, *ASKED[:-1], "2", "--out", str(tmp_path))
    after = own_ttft(scheduled)
    own_ms = 1e3 * (after[0] - before[0]) / (after[1] - before[1])
    measured = [point["metrics"]["ttft_mean_ms"]["median"] for point in document["points"]]
    assert all(one >= _FIRST_MS for one in measured)
    assert sum(measured) / len(measured) == pytest.approx(own_ms, abs=3)
    assert all(
        point["metrics"]["itl_p50_ms"]["min"] == pytest.approx(_TOKEN_MS, abs=3 / 15)
        for point in document["points"]
    )


def own_ttft(url: str) -> tuple[float, float]:
    """Seconds of all answers together, and their number, by the gateway's metrics."""
    text = httpx.get(f"{url}/metrics").text
    name = "radserve_time_to_first_token_seconds"
    found = [re.search(rf"^{name}_{part} (\S+)", text, re.MULTILINE) for part in ("sum", "count")]
    total, number = (float(match[1]) for match in found if match)
    return total, number


def test_one_error_in_twenty_is_five_per_cent_and_raises_no_throughput(scheduled, fake_gateway, tmp_path):
    load = ("--workload", "text", "--closed", "10", "--requests", "100", "--tokens", "4", "--rounds", "1")
    sound = run(scheduled, *load, "--out", str(tmp_path / "sound"))
    options = ("--first-ms", f"{_FIRST_MS:g}", "--token-ms", f"{_TOKEN_MS:g}", "--fail-every", "20")
    with fake_gateway(*options) as url:
        ill = run(url, *load, "--out", str(tmp_path / "ill"))
    assert metric(ill, "error_share") == pytest.approx(0.05, abs=0.011)  # the warm-up moves the count
    assert metric(sound, "error_share") == 0
    assert metric(ill, "tokens_per_s") < 1.02 * metric(sound, "tokens_per_s")
    assert metric(ill, "requests_per_s") < 1.02 * metric(sound, "requests_per_s")
    assert "failed" in (tmp_path / "ill" / "report.md").read_text()


def test_an_interrupted_run_keeps_what_is_finished_and_says_how_far_it_got(scheduled, tmp_path):
    words = ("--workload", "text", "--closed", "2", "--requests", "6", "--tokens", "4", "--rounds", "50")
    process = subprocess.Popen(
        bench(scheduled, *words, "--out", str(tmp_path)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    said = ""
    while "round 3" not in said:
        line = process.stderr.readline()
        assert line, said
        said += line
    time.sleep(0.1)  # in the middle of a round
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    document = json.loads(out.splitlines()[-1])
    done = document["interrupted"]["done"]
    assert 3 <= done <= 4 and document["interrupted"]["planned"] == 50
    assert f"{done} of 50" in err
    (point,) = document["points"]
    assert len(point["metrics"]["ttft_p50_ms"]["values"]) == done
    heads = [json.loads(line) for line in (tmp_path / "requests.jsonl").read_text().splitlines()]
    assert sum("point" in head for head in heads) >= done
    assert json.loads((tmp_path / "report.json").read_text()) == document


@pytest.mark.parametrize(
    "words", [("--closed", "0"), ("--open", "-1"), ("--rounds", "x"), ("--closed", "1,,2")]
)
def test_wrong_words_are_refused(words, capsys):
    with pytest.raises(SystemExit) as ended:
        wanted(*words)
    assert ended.value.code == 2 and words[0] in capsys.readouterr().err


def test_an_unknown_workload_is_told_with_those_that_there_are(tmp_path, capsys):
    assert main(["bench", "--workload", "teleradiology", "--out", str(tmp_path)]) == 1
    assert "ct-slice" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [("--slo-ttft", "nan"), ("--slo-total", "inf"), ("--price-per-hour", "nan"), ("--tokens", "-4")]
)
def test_numbers_that_would_make_nonsense_of_a_report_are_refused(words, capsys):
    """NaN and Infinity are no JSON, and nothing is within a bound that is no number."""
    with pytest.raises(SystemExit) as ended:
        wanted(*words)
    assert ended.value.code == 2 and words[0] in capsys.readouterr().err


def test_compare_alone_is_with_the_demo_server():
    assert wanted("--compare", "torch").targets == ("server", "torch")
    assert wanted("http://a:1", "--compare", "torch").targets == ("http://a:1", "torch")
    assert wanted().targets == ()


def test_a_load_that_is_named_twice_is_measured_once():
    """Else both would stand under one name, and one of them in each round's ratio."""
    plan = make_plan(
        wanted("--workload", "text", "--workload", "text", "--closed", "2,2", "--open", "1,1.0").wish
    )
    assert [str(cell.load) for cell in plan.cells] == ["2 at once", "1/s"]


def wanted(*words):
    parser = argparse.ArgumentParser()
    add_bench_word(parser.add_subparsers())
    return _wanted(parser.parse_args(["bench", *words]))


def test_all_workloads_are_listed():
    said = subprocess.run(bench("--workload", "list"), capture_output=True, text=True, check=True).stdout
    for name in ("ct-slice", "x-ray", "series", "study", "morning"):
        assert name in said
