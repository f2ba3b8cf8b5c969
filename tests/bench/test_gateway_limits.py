"""What the gateway carries is measured on a real one; here in haste, so that only what must hold is looked at."""

import json
import os
import subprocess
import sys

import pytest

from radserve_bench.errors import BenchError
from radserve_bench.fake_gateway import fake_gateway_process
from radserve_bench.gateway_limits.cpu import CpuClock
from radserve_bench.gateway_limits.kinds import KINDS
from radserve_bench.gateway_limits.pace import HASTY
from radserve_bench.gateway_limits.spread import Spread
from radserve_bench.gateway_limits.streams import Tally, count_events, measure_streams, open_session
from radserve_bench.gateway_limits.tables import markdown
from radserve_imaging import ImagePolicy, render

pytestmark = pytest.mark.timed

RUN = (sys.executable, "-m", "radserve_bench.gateway_limits", "--hasty", "--without-triton")


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    """Of a whole run, but for the real engine; its files lie in document["folder"]."""
    folder = tmp_path_factory.mktemp("limits")
    command = [*RUN, "--kinds", "png,ct-j2k", "--streams", "4", "8", "--out", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said == json.loads((folder / "gateway-limits.json").read_text())
    assert 0 <= said["others_cores"] <= os.cpu_count()
    return {**said, "folder": folder}


@pytest.mark.parametrize("key", [key for key in KINDS if key != "xray-j2k"])
def test_no_two_studies_of_a_kind_are_the_same_file_and_each_can_be_read(key):
    first, second = (KINDS[key].files(number) for number in (1, 2))
    assert not {file.digest for file in first} & {file.digest for file in second}
    assert len({file.digest for file in first}) == len(first) == (20 if key == "series" else 1)
    for file in (first[0], second[-1]):
        assert render(file.data, ImagePolicy()).record.media_type == file.media_type


def test_what_decodes_wavelets_costs_more_than_what_does_not(document):
    rows = {row["key"]: row for row in document["questions"]}
    assert list(rows) == ["png", "ct-j2k", "further"]
    assert rows["ct-j2k"]["decode_ms"] > 2 * rows["png"]["decode_ms"] > 0
    assert rows["ct-j2k"]["cpu_ms"]["median"] > rows["further"]["cpu_ms"]["median"]
    assert rows["further"]["decode_ms"] == 0


def test_a_gateway_has_one_core_and_two_have_two(document):
    alone = [row["cores"] for row in (*document["questions"], *document["streams"])]
    assert max(alone) < 1.3, alone  # more than one only by the clock's ticks in so short a time
    (two,) = document["replicas"]
    assert (two["gateways"], two["key"]) == (2, "ct-j2k")
    assert two["cores"] < 2.3


def test_tables_and_plot_show_each_row(document):
    page = (document["folder"] / "gateway-limits.md").read_text()
    assert page == markdown(document)
    for row in (*document["questions"], *document["replicas"]):
        assert row["name"] in page
    assert (document["folder"] / "gateway-limits.png").read_bytes().startswith(b"\x89PNG")


async def test_events_come_at_the_rate_that_the_engine_has():
    """Six streams of 100 tokens a second each."""
    async with fake_gateway_process("--first-ms", "80", "--token-ms", "10") as gateway:
        (row,) = await measure_streams(gateway.url, gateway.pid, [6], HASTY)
    assert row.due_per_s == 600
    assert row.events_per_s.median == pytest.approx(600, rel=0.15)
    assert row.cpu_us_per_event.median < 1000 and row.late_ms < 50


async def test_each_token_is_an_event_where_none_waits():
    async with fake_gateway_process("--first-ms", "5", "--token-ms", "5") as gateway:
        tally = Tally()
        async with open_session(gateway.url) as session:
            await count_events(session, "fake-vqa", 20, tally)
    assert tally.events == 20 + 3  # who speaks, how it ended, and the end mark


async def test_a_stream_that_is_refused_ends_the_run():
    async with fake_gateway_process() as gateway, open_session(gateway.url) as session:
        with pytest.raises(BenchError, match="no model 'other'"):
            await count_events(session, "other", 20, Tally())


async def test_the_gateway_s_own_time_and_its_workers_are_told_apart():
    async with fake_gateway_process("--first-ms", "0", "--workers", "2") as gateway:
        clock = CpuClock(gateway.pid)
        before = clock.read()
        span = clock.read() - before
        assert 0 <= span.gateway <= span.at + 0.02 and 0 <= span.workers <= 2 * span.at + 0.02
        assert before.gateway > 0.1 and before.workers > 0.1  # each has imported what it needs


def test_an_unknown_kind_is_refused():
    done = subprocess.run([*RUN, "--kinds", "mri"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "unknown kind mri" in done.stderr


def test_a_spread_has_four_digits():
    assert Spread.of([3.14159, 1.0, 2.71828]) == Spread(2.718, 1.0, 3.142)
