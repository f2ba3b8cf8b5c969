"""Every figure is what its formula says, on points whose records were written by hand."""

import math
import random
import statistics
from dataclasses import replace

import numpy as np
import pytest

from radserve_bench.record import Load, Point, Record, Usage
from radserve_bench.reporting.arrivals import generator_warnings, is_saturated
from radserve_bench.reporting.metric import Terms
from radserve_bench.reporting.metrics import METRICS, count_errors, measure
from radserve_bench.reporting.samples import distribution, mean_split_ms, quantile
from radserve_bench.reporting.slo import Slo
from radserve_bench.reporting.spread import difference, ratio, spread, student

CLOSED, OPEN = Load("closed", 1), Load("open", 10)


def answer(due: float, first: float = 0.08, token: float = 0.01, tokens: int = 5, **more: object) -> Record:
    """Answered on a schedule: `first` seconds after it was due, then a token each `token` seconds."""
    begun = due + first
    record = Record("ct", False, 0, 0, due, due, begun, begun + (tokens - 1) * token, [], 300, tokens)
    return replace(record, **more)  # type: ignore[arg-type]


def failure(due: float, end: float, kind: str = "broken", tokens: int = 3) -> Record:
    """Tokens had come before it failed."""
    return Record("ct", False, 0, 0, due, due, due + 0.01, end, [], 300, tokens, kind, f"{kind}, it said")


def closed(records: list[Record], **more: object) -> Point:
    wall = max(record.end or 0.0 for record in records)
    point = Point("server", "ct-slice", CLOSED, 1, len(records), records, wall)
    return replace(point, **more)  # type: ignore[arg-type]


def arriving(rate: float, service_s: float, visits: int = 60) -> Point:
    """Visits that come evenly to a target that answers one at a time."""
    free, records = 0.0, []
    for visit in range(visits):
        due = visit / rate
        first = max(due, free) + service_s
        free = first
        records.append(Record("ct", False, visit, 0, due, due, first, first + 0.04, [], 300, 5))
    return Point("server", "ct-slice", Load("open", rate), 1, visits, records, free + 0.04)


def test_ten_answers_of_five_tokens_on_a_schedule() -> None:
    """One after another, 80 ms to the first token and then one each 10 ms: 120 ms an answer."""
    figures = measure(closed([answer(0.12 * at) for at in range(10)]), Terms())
    expected = {
        "ttft_p50_ms": 80,
        "ttft_mean_ms": 80,
        "itl_p50_ms": 10,
        "itl_mean_ms": 10,
        "total_p50_ms": 120,
        "total_mean_ms": 120,
        "requests_per_s": 10 / 1.2,
        "tokens_per_s": 50 / 1.2,
        "stream_tokens_per_s": 100,
        "tokens_per_answer": 5,
        "error_share": 0,
    }
    assert {key: figures[key] for key in expected} == pytest.approx(expected)


def test_what_the_machine_used_is_told_for_each_answer_and_second() -> None:
    usage = Usage(cpu_s=3.0, memory_bytes=512 * 1024**2, gpu_energy_j=60.0, gpu_power_w=50.0)
    point = closed([answer(0.12 * at) for at in range(10)], usage=usage, generator_cpu_s=0.6)
    figures = measure(point, Terms(price_per_hour=3.6))
    expected = {
        "cpu_s_per_answer": 0.3,
        "cpu_cores": 2.5,
        "memory_mib": 512,
        "energy_j_per_answer": 6,
        "gpu_power_w": 50,
        "generator_cores": 0.5,
        "cost_per_1000_answers": 3.6 / 3600 * 1.2 / 10 * 1000,
        "cost_per_million_tokens": 3.6 / 3600 * 1.2 / 50 * 1e6,
    }
    assert {key: figures[key] for key in expected} == pytest.approx(expected)
    assert "gpu_memory_mib" not in figures


def test_a_target_that_was_not_metered_has_no_such_figures() -> None:
    figures = measure(closed([answer(0)]), Terms())
    assert not figures.keys() & {"cpu_cores", "cpu_s_per_answer", "memory_mib", "cost_per_1000_answers"}


@pytest.mark.parametrize("seed", range(5))
def test_a_failed_request_never_raises_throughput(seed: int) -> None:
    """Turning any answer into a failure, wherever it broke and whatever came before, lowers every rate."""
    chance = random.Random(seed)
    whole = [answer(0.12 * at, tokens=chance.randint(2, 40)) for at in range(20)]
    terms = Terms(Slo(ttft_ms=100))
    before = measure(closed(whole), terms)
    for at in chance.sample(range(20), 5):
        broken = replace(whole[at], error="broken", end=(whole[at].end or 0.0) - chance.random() * 0.01)
        records = [*whole[:at], broken, *whole[at + 1 :]]
        after = measure(closed(records, wall_s=closed(whole).wall_s), terms)
        for rate in ("requests_per_s", "tokens_per_s", "goodput_per_s"):
            assert after[rate] < before[rate]
        assert after["error_share"] == pytest.approx(1 / 20)


def test_five_per_cent_of_errors_are_five_per_cent_by_kind() -> None:
    records = (
        [answer(0.1 * at) for at in range(95)] + [failure(9.5, 9.6, "refused")] * 2 + [failure(9.6, 9.7)] * 3
    )
    assert measure(closed(records), Terms())["error_share"] == pytest.approx(0.05)
    assert count_errors(closed(records)) == {"broken": 3, "refused": 2}


def test_failures_alone_have_no_latency_and_no_throughput() -> None:
    figures = measure(closed([failure(0, 0.1), failure(0.1, 0.2)]), Terms())
    assert figures["requests_per_s"] == figures["tokens_per_s"] == 0
    assert figures["error_share"] == 1
    assert not any(key.startswith(("ttft", "itl", "total")) for key in figures)


def test_goodput_counts_what_came_in_time() -> None:
    records = [answer(0.5 * at, first=0.05 if at % 4 else 0.2) for at in range(20)] + [failure(10, 10)]
    point = closed(records, wall_s=10.0)
    figures = measure(point, Terms(Slo(ttft_ms=100)))
    assert figures["goodput_per_s"] == pytest.approx(1.5)
    assert figures["slo_share"] == pytest.approx(15 / 21)
    assert "goodput_per_s" not in measure(point, Terms())


@pytest.mark.parametrize(
    ("slo", "met"),
    [
        (Slo(), True),
        (Slo(80, 10, 120), True),
        (Slo(ttft_ms=79), False),
        (Slo(itl_ms=9), False),
        (Slo(total_ms=119), False),
    ],
)
def test_each_bound_of_an_slo_holds_alone(slo: Slo, met: bool) -> None:
    exact = replace(answer(0), first=0.08, end=0.12)
    assert slo.met_by(exact) is met
    assert not slo.met_by(failure(0, 0.01))


def test_one_token_has_no_inter_token_latency() -> None:
    figures = measure(closed([answer(0, tokens=1)]), Terms(Slo(itl_ms=1)))
    assert "itl_p50_ms" not in figures and figures["slo_share"] == 1


def test_waiting_in_line_shows_in_the_ttft_of_open_load() -> None:
    """20 visits a second to a target that answers 10: the last waits as long as the whole load is behind."""
    figures = measure(arriving(20, 0.1, visits=100), Terms())
    assert figures["ttft_p99_ms"] > 4800 and figures["ttft_p50_ms"] == pytest.approx(2575, rel=0.02)
    assert figures["offered_per_s"] == pytest.approx(20)
    assert figures["achieved_per_s"] == pytest.approx(10)
    assert figures["queue_growth_ms"] == pytest.approx(67 * 50, rel=0.02)
    assert measure(arriving(5, 0.1), Terms())["ttft_p95_ms"] == pytest.approx(100)


def test_latency_counts_from_when_a_request_was_due_not_from_when_it_was_sent() -> None:
    late = replace(answer(1.0, first=0.5), sent=1.45)
    assert measure(closed([late]), Terms())["ttft_p50_ms"] == pytest.approx(500)


def test_a_visit_is_answered_when_all_its_questions_are() -> None:
    """Ten visits of two questions, one a second; the second question of every other visit failed."""
    records = []
    for visit in range(10):
        for question in range(2):
            one = answer(visit + 0.2 * question, visit=visit, question=question)
            failed = question == 1 and visit % 2 == 1
            records.append(replace(one, error="broken" if failed else None))
    figures = measure(replace(closed(records), load=OPEN), Terms())
    assert figures["offered_per_s"] == pytest.approx(1)
    assert figures["achieved_per_s"] == pytest.approx(0.5)
    assert figures["requests_per_s"] == pytest.approx(15 / 9.32)


@pytest.mark.parametrize("rate", [2, 8, 9.5, 12, 20, 40])
def test_saturation_is_more_than_a_target_can_answer(rate: float) -> None:
    assert is_saturated(arriving(rate, 0.1)) is (rate >= 12)


def test_a_burst_of_a_poisson_process_is_not_saturation() -> None:
    """At 70 % of capacity lines come and go; at 150 % they do not go."""
    wrong = 0
    for seed in range(40):
        for rate, expected in ((7.0, False), (15.0, True)):
            chance, due, free, records = random.Random(seed), 0.0, 0.0, []
            for visit in range(100):
                due += chance.expovariate(rate)
                free = max(due, free) + 0.1
                records.append(Record("ct", False, visit, 0, due, due, free, free, [], 0, 1))
            point = Point("server", "x", Load("open", rate), 1, 100, records, free)
            wrong += is_saturated(point) is not expected
    assert wrong <= 1


def test_a_target_that_turns_requests_away_is_saturated_without_a_queue() -> None:
    point = arriving(8, 0.1)
    for at in range(0, 60, 4):
        point.records[at] = replace(point.records[at], error="refused", first=None)
    assert is_saturated(point)
    broken = replace(point, records=[replace(one, error=one.error and "broken") for one in point.records])
    assert not is_saturated(broken)


def test_too_few_visits_cannot_tell_whether_a_target_kept_up() -> None:
    """Eight that come within a second to a target that takes two for each; and many of which none was answered."""
    assert is_saturated(arriving(8, 2.0, visits=8)) is None
    assert is_saturated(arriving(8, 2.0, visits=20)) is True
    point = arriving(8, 0.1)
    nothing = replace(point, records=[replace(one, error="broken") for one in point.records])
    assert is_saturated(nothing) is None


def test_an_answer_that_came_at_once_has_no_inter_token_latency() -> None:
    """A server that holds its answer back until it is whole has not made its tokens in no time."""
    whole = replace(answer(0, first=0.5, token=0.0, tokens=32), events=[0.5])
    later = replace(whole, end=0.5001)  # the event that says that it is finished
    figures = measure(closed([whole, later, replace(whole, events=[])]), Terms())
    assert not figures.keys() & {"itl_p50_ms", "itl_mean_ms", "stream_tokens_per_s"}
    assert figures["tokens_per_event"] == 48


def test_a_pause_in_the_middle_of_an_answer_shows() -> None:
    """The mean of 31 gaps hides that one of them was two seconds long."""
    events = [0.08 + 0.01 * at + (2.0 if at > 15 else 0.0) for at in range(32)]
    stalled = replace(answer(0, tokens=32), events=events, end=events[-1])
    figures = measure(closed([stalled]), Terms())
    assert figures["itl_p50_ms"] == pytest.approx(2310 / 31)
    assert figures["pause_p50_ms"] == pytest.approx(2010)
    assert "pause_p50_ms" not in measure(closed([replace(stalled, events=[0.08])]), Terms())


def test_tokens_that_come_together_are_told() -> None:
    """32 tokens, eight at a time; and one each."""
    burst = replace(answer(0, tokens=32), events=[0.08, 0.16, 0.24, 0.32])
    assert measure(closed([burst]), Terms())["tokens_per_event"] == 8
    each = replace(answer(0, tokens=5), events=[0.08, 0.09, 0.1, 0.11, 0.12])
    assert measure(closed([each]), Terms())["tokens_per_event"] == 1
    assert "tokens_per_event" not in measure(closed([answer(0)]), Terms())


def test_a_burst_of_answers_is_not_the_rate_of_a_load() -> None:
    """Ten visits a second for six seconds; the first five are answered together, the others turned away."""
    point = arriving(10, 0.01)
    for at, one in enumerate(point.records):
        point.records[at] = (
            replace(one, first=0.5, end=0.5 + 0.001 * at)
            if at < 5
            else replace(one, error="refused", first=None, end=one.due + 0.001)
        )
    assert is_saturated(point) is True
    assert measure(point, Terms())["achieved_per_s"] == pytest.approx(10 * 5 / 60, rel=0.15)


def test_how_many_were_under_way_at_once_is_told() -> None:
    """Two from 0 to 1 s, one of which failed; then one to 3 s."""
    records = [answer(0, first=1.0, tokens=1), failure(0, 1.0), answer(1.0, first=2.0, tokens=1)]
    assert measure(closed(records), Terms())["under_way"] == pytest.approx(4 / 3)


def test_closed_load_has_no_queue_to_speak_of() -> None:
    point = replace(arriving(20, 0.1), load=CLOSED)
    assert not is_saturated(point)
    assert not measure(point, Terms()).keys() & {"offered_per_s", "achieved_per_s", "queue_growth_ms"}


def test_urgent_requests_are_told_apart() -> None:
    records = [answer(at, first=0.02 if at % 5 == 0 else 0.2, stat=at % 5 == 0) for at in range(100)]
    figures = measure(closed(records), Terms())
    assert figures["stat_ttft_p50_ms"] == pytest.approx(20)
    assert figures["stat_ttft_p95_ms"] == pytest.approx(20)
    assert figures["routine_ttft_p50_ms"] == pytest.approx(200)
    assert "routine_ttft_p50_ms" not in measure(closed([answer(0)]), Terms())


def test_a_generator_that_measures_itself_is_warned_of() -> None:
    quiet = closed([answer(0.12 * at) for at in range(40)], generator_cpu_s=0.5, generator_lag_s=0.004)
    assert generator_warnings(quiet) == []
    assert generator_warnings(replace(quiet, wall_s=0.004, generator_cpu_s=0.009)) == []  # too short to tell
    (busy,) = generator_warnings(replace(quiet, generator_cpu_s=4.6))
    assert "96 % of a core" in busy
    (lagging,) = generator_warnings(replace(quiet, generator_lag_s=0.2))
    assert "200 ms" in lagging
    records = [replace(one, sent=one.due + 0.03) for one in quiet.records]
    (late,) = generator_warnings(replace(quiet, records=records))
    assert "30 ms late" in late


def test_the_stages_and_the_rest_are_the_whole() -> None:
    records = [
        answer(0, split={"upload": 10.0, "prefill": 60.0, "decode": 40.0}),
        answer(1, split={"prefill": 70.0, "decode": 40.0}),
        failure(2, 3),
    ]
    split = mean_split_ms(closed(records))
    assert split == pytest.approx({"upload": 5, "prefill": 65, "decode": 40, "other": 10})
    assert list(split) == ["upload", "prefill", "decode", "other"]
    assert mean_split_ms(closed([answer(0)])) == {}


def test_quantiles_are_numpys_and_a_tail_nobody_is_in_is_not_told() -> None:
    values = [random.Random(3).expovariate(1) for _ in range(137)]
    for share in (0.05, 0.5, 0.95, 0.99):
        assert quantile(values, share) == pytest.approx(np.quantile(values, share))
    assert quantile(values[:19], 0.95) is None and quantile(values[:20], 0.95) is not None
    assert quantile(values[:99], 0.99) is None and quantile(values[:100], 0.99) is not None
    assert quantile([7.0], 0.5) == 7.0 and quantile([], 0.5) is None


def test_a_curve_of_few_answers_has_steps() -> None:
    curve = distribution([30.0, 10.0, 20.0, 40.0])
    assert [curve[share - 1] for share in (1, 25, 26, 50, 51, 99)] == [10, 10, 20, 20, 30, 40]
    assert distribution([]) == [] and len(curve) == 99


def test_every_metric_says_what_it_is() -> None:
    assert len({metric.key for metric in METRICS}) == len(METRICS)
    for metric in METRICS:
        legend = metric.to_json()
        assert len(legend["formula"]) > 15 and legend["title"] and legend["unit"]


def test_students_quantiles_are_the_tables() -> None:
    for freedom, expected in ((1, 12.706), (4, 2.776), (10, 2.228), (11, 2.201), (30, 2.042), (120, 1.980)):
        assert student(freedom) == pytest.approx(expected, abs=6e-4)


def test_a_ratio_is_paired_by_round() -> None:
    """The machine's speed differs tenfold between rounds, and the ratio does not."""
    found = ratio([(20.0, 10.0), (200.0, 100.0), (2.0, 1.0)])
    assert found is not None and (found.value, found.low, found.high) == pytest.approx((2, 2, 2))
    found = ratio([(2.0, 1.0), (8.0, 1.0)])
    assert found is not None and found.value == pytest.approx(4)
    assert math.log(found.high or 0) - math.log(4) == pytest.approx(12.7062 * math.log(2))


def test_a_difference_is_paired_by_round() -> None:
    found = difference([(12.0, 10.0), (104.0, 100.0), (None, 3.0)])
    assert found is not None and found.value == pytest.approx(3) and found.values == (2, 4)
    assert (found.high or 0) - 3 == pytest.approx(12.7062 * math.sqrt(2) / math.sqrt(2))


def test_one_round_has_no_interval_and_none_has_no_ratio() -> None:
    found = ratio([(3.0, 2.0)])
    assert found is not None and found.to_json() == {"value": 1.5, "low": None, "high": None, "values": [1.5]}
    assert ratio([(None, 2.0), (0.0, 1.0)]) is None


def test_a_round_without_any_answer_is_not_left_out_of_a_ratio() -> None:
    """Five tokens a second twice and none once are not as good as five."""
    assert ratio([(5.0, 5.0), (5.0, 5.0), (0.0, 5.0)]) is None
    assert ratio([(5.0, 5.0), (5.0, 5.0), (5.0, 0.0)]) is None


@pytest.mark.parametrize("rounds", [3, 7, 20])
def test_the_interval_covers_the_truth_about_nineteen_times_in_twenty(rounds: int) -> None:
    chance, covered, runs = random.Random(11), 0, 2000
    for _ in range(runs):
        pairs = [(3.0 * chance.lognormvariate(0, 0.2), chance.lognormvariate(0, 0.1)) for _ in range(rounds)]
        found = ratio(pairs)
        assert found is not None and found.low is not None and found.high is not None
        covered += found.low <= 3.0 <= found.high
    assert 0.935 < covered / runs < 0.965


def test_spread_keeps_every_round() -> None:
    values = [3.0, 1.0, 2.0, 10.0]
    assert spread(values) == {"median": statistics.median(values), "min": 1, "max": 10, "values": values}
