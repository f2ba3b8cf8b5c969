"""The document holds what was measured and can be written; its tables say what the document holds."""

import json
from dataclasses import replace
from typing import Any

import pytest

from radserve_bench.record import Description, Load, Point, Record, Usage
from radserve_bench.reporting.document import build_document
from radserve_bench.reporting.numbers import estimated, number, percent
from radserve_bench.reporting.slo import Slo
from radserve_bench.reporting.table import Table
from radserve_bench.reporting.tables import all_tables, heading, markdown, text

DIGEST = "sha256:" + "ab" * 32
SERVER = Description("server", "radserve", "demo", DIGEST, {"precision": "int8"})
TRITON = Description("triton", "triton", "demo", DIGEST)
TORCH = Description("torch", "torch", "demo", "sha256:" + "cd" * 32)
MACHINE = {"processor": "Test 9000", "cores": 2, "gpus": []}
SPEED = (1.0, 1.3, 0.8)


def measured(
    target: str, first_s: float, token_s: float, load: float = 1, workload: str = "ct-slice", **more: Any
) -> list[Point]:
    """Three rounds of 20 answers of 10 tokens, one after another; the machine's speed changes between rounds."""
    points = []
    for place, speed in enumerate(SPEED, 1):
        first, whole = speed * first_s, speed * (first_s + 9 * token_s)
        records = [
            Record(
                "ct", False, at, 0, at * whole, at * whole, at * whole + first, (at + 1) * whole, [], 300, 10
            )
            for at in range(20)
        ]
        point = Point(target, workload, Load("closed", load), place, 20, records, 20 * whole)
        points.append(replace(point, **more))
    return points


def document(
    points: list[Point], *targets: Description, price: Any = None, slo: Slo | None = None
) -> dict[str, Any]:
    made = build_document(points, targets or (SERVER, TORCH), {"tokens": 10}, MACHINE, slo or Slo(), price)
    loaded: dict[str, Any] = json.loads(json.dumps(made, allow_nan=False))
    return loaded


def both() -> list[Point]:
    return measured("server", 0.02, 0.002) + measured("torch", 0.06, 0.006)


def test_it_names_machine_versions_settings_and_targets() -> None:
    made = document(both())
    assert made["machine"] == MACHINE and made["settings"] == {"tokens": 10}
    assert made["versions"]["radserve"] == made["version"] and made["versions"]["python"]
    assert [target["name"] for target in made["targets"]] == ["server", "torch"]
    assert made["targets"][0]["digest"] == DIGEST
    assert made["interrupted"] is None
    said = heading(made)
    assert "2 cores of Test 9000" in said and "sha256:abababababab" in said and "precision int8" in said


def test_figures_are_medians_of_rounds_with_every_round_beside_them() -> None:
    (server, _) = document(both())["points"]
    assert server["metrics"]["ttft_p50_ms"] == {"median": 20, "min": 16, "max": 26, "values": [20, 26, 16]}
    assert server["rounds"] == 3 and server["requests"] == server["answered"] == 60
    assert len(server["ttft_quantiles_ms"]) == 99 and server["ttft_quantiles_ms"][49] == pytest.approx(20)


def test_it_is_said_of_how_many_rounds_figures_are() -> None:
    """A run in a limited time may have fewer than it was to have, and an interrupted one fewer of one target."""
    assert "Medians of 3 rounds, least" in text(document(both()))
    assert "Medians of 2 to 3 rounds, least" in text(document(both()[:5]))
    assert "Of one round." in text(document(both()[:1], SERVER))


def test_a_tail_is_told_of_all_rounds_together_where_one_has_too_few() -> None:
    points = measured("server", 0.02, 0.002)
    for point in points:
        point.records = point.records[:10]
    made = document(points, SERVER)
    metrics = made["points"][0]["metrics"]
    assert metrics["ttft_p95_ms"] == {"median": 26, "min": None, "max": None, "values": [], "pooled": True}
    assert "ttft_p99_ms" not in metrics  # thirty answers
    assert "26.0*" in text(made) and "* of all rounds' answers" in text(made)


def test_rounds_with_a_failure_are_not_left_out_of_a_tail() -> None:
    """Nineteen answers of a round do not tell a p95: then all rounds do, and not the one that had no failure."""
    points = measured("server", 0.02, 0.002)
    for point in points[:2]:
        point.records[0] = replace(point.records[0], error="timed out")
    found = document(points, SERVER)["points"][0]["metrics"]
    assert found["ttft_p95_ms"]["pooled"] and found["ttft_p95_ms"]["median"] == pytest.approx(26)
    assert found["ttft_p50_ms"]["values"] == [20, 26, 16]
    assert (
        "pooled"
        not in document(measured("server", 0.02, 0.002), SERVER)["points"][0]["metrics"]["ttft_p95_ms"]
    )


def test_a_ratio_with_a_target_that_did_not_keep_up_says_so() -> None:
    """Its wait grows as long as the load lasts: a longer run has any ratio."""
    points = []
    for name, service in (("server", 0.1), ("torch", 4.0)):
        for place in (1, 2, 3):
            ends = [(at + 1) * service if service > 1 else at + service for at in range(20)]
            records = [
                Record("ct", False, at, 0, at, at, end, end + 0.1, [], 9, 5) for at, end in enumerate(ends)
            ]
            points.append(Point(name, "ct-slice", Load("open", 1), place, 20, records, ends[-1] + 0.1))
    table = next(one for one in all_tables(document(points)) if one.title == "How many times better")
    said = " ".join(table.notes)
    assert "torch (1/s, ct-slice) did not keep up" in said and "server (1/s" not in said
    clean = next(one for one in all_tables(document(both())) if one.title == "How many times better")
    assert "keep up" not in " ".join(clean.notes)


def test_ratios_do_not_feel_the_machine_change() -> None:
    """Speed differs by half between rounds; the targets took turns, and the ratio is exact."""
    found = {one["figure"]: one for one in document(both())["ratios"]}
    assert set(found) == {"ttft", "total", "requests", "tokens"}
    for one in found.values():
        assert (one["value"], one["low"], one["high"]) == pytest.approx((3, 3, 3))
        assert (one["first"], one["other"], one["workload"]) == ("server", "torch", "ct-slice")


def test_ratios_are_of_the_same_workload_load_and_round() -> None:
    points = measured("server", 0.02, 0.002) + measured("torch", 0.06, 0.006, load=8)
    points += measured("torch", 0.06, 0.006, workload="x-ray")
    assert document(points)["ratios"] == []
    points = [*measured("server", 0.02, 0.002)[:2], *measured("torch", 0.06, 0.006)[1:]]
    one = document(points)["ratios"][0]
    assert one["values"] == pytest.approx([3]) and one["low"] is None


def test_the_interval_of_two_rounds_is_kept_and_not_shown() -> None:
    (one, *_) = document([*measured("server", 0.02, 0.002)[:2], *measured("torch", 0.06, 0.003)[:2]])[
        "ratios"
    ]
    assert one["low"] is not None
    assert estimated(one) == "3.00" and estimated({**one, "values": [3, 3, 3]}) == "3.00 (3.00–3.00)"


def test_targets_stand_in_the_order_in_which_they_were_named() -> None:
    made = document([*measured("torch", 0.06, 0.006), *measured("server", 0.02, 0.002)])
    assert [point["target"] for point in made["points"]] == ["server", "torch"]


def test_what_a_target_says_of_itself_is_told_in_short() -> None:
    details = {"policy_sha256": "ab" * 32, "gate": {"status": "passed"}, "owner": None, "sizes": [1, 2]}
    said = heading(document(both(), Description("server", "radserve", "demo", None, details), TORCH))
    assert "policy_sha256 abababababab…, gate status passed, sizes 1 2." in said and "owner" not in said


def test_what_the_gateway_adds_is_a_difference_for_the_same_engine_only() -> None:
    points = both() + measured("triton", 0.017, 0.002)
    (added,) = document(points, SERVER, TRITON, TORCH)["differences"]
    assert added["value"] == pytest.approx(3 * sum(SPEED) / 3) and added["low"] < 3 < added["high"]
    assert document(points, SERVER, replace(TRITON, digest="sha256:other"), TORCH)["differences"] == []
    assert "3.10" in text(document(points, SERVER, TRITON, TORCH))


def test_an_interrupted_run_keeps_the_finished_rounds_and_says_how_far_it_got() -> None:
    points = both()
    cut = points[5]
    cut.records, cut.complete, cut.wall_s = cut.records[:7], False, 5.0
    made = document(points)
    assert made["interrupted"] == {"done": 107, "planned": 120, "at": "torch, ct-slice, 1 at once, round 3"}
    torch = made["points"][1]
    assert torch["rounds"] == 2 and torch["metrics"]["requests_per_s"]["values"] == pytest.approx(
        [1 / 0.114, 1 / 0.1482], rel=1e-4
    )
    assert "Interrupted: 107 of 120 done" in text(made)


def test_a_round_that_was_cut_stands_where_there_is_no_other() -> None:
    points = measured("server", 0.02, 0.002)[:1]
    points[0].records, points[0].complete = points[0].records[:7], False
    made = document(points, SERVER)
    assert made["points"][0]["answered"] == 7 and not made["points"][0]["complete"]
    points[0].records = []
    made = document(points, SERVER)
    assert made["points"] == [] and made["interrupted"]["done"] == 0
    assert "Interrupted: 0 of 20" in markdown(made)


def test_errors_are_counted_by_kind_and_quoted() -> None:
    points = measured("server", 0.02, 0.002)
    for point in points:
        point.records[3] = replace(point.records[3], error="broken", message="the engine | failed")
    made = document(points, SERVER)
    assert made["points"][0]["errors"] == {"broken": 3}
    assert "5.0 %" in text(made) or "5 %" in text(made)
    assert "3 of 60" in text(made) and "the engine | failed" in text(made)
    assert "the engine \\| failed" in markdown(made)
    assert "Errors" not in text(document(both()))


def test_failures_are_warned_of_where_times_and_ratios_are_read() -> None:
    """Of a target that turned two of three requests away, the others' times are prompt; that is not all."""
    points = both()
    for point in points[:3]:
        point.records = [
            replace(one, error="refused") if at % 3 else one for at, one in enumerate(point.records)
        ]
    made = document(points)
    assert "39 of 60 requests failed: times are those of the others" in made["points"][0]["warnings"]
    assert made["points"][1]["warnings"] == [one for one in made["points"][1]["warnings"] if "rounds" in one]
    table = next(one for one in all_tables(made) if one.title == "How many times better")
    assert "server (1 at once, ct-slice) failed 65.0 % of its requests" in " ".join(table.notes)
    clean = next(one for one in all_tables(document(both())) if one.title == "How many times better")
    assert "failed" not in " ".join(clean.notes)


def test_a_round_without_an_answer_is_told_and_has_no_ratio_of_rates() -> None:
    points = both()
    points[1].records = [replace(one, error="broken") for one in points[1].records]
    made = document(points)
    assert "nothing was answered in 1 of 3 rounds" in made["points"][0]["warnings"]
    assert {one["figure"] for one in made["ratios"]} == {"ttft", "total"}


def test_answers_of_another_length_than_asked_are_warned_of() -> None:
    """A target that stops early has finished sooner; one whose usage is wrong has made tokens of nothing."""
    for told, asked, warned in (
        (10, 32, True),
        (320, 10, True),
        (0, 10, True),
        (10, 10, False),
        (10, None, False),
    ):
        points = measured("server", 0.02, 0.002)
        for point in points:
            point.records = [replace(one, tokens=told, asked=asked) for one in point.records]
        said = " ".join(document(points, SERVER)["points"][0]["warnings"])
        assert (f"60 of 60 answers have {told} tokens, not {asked}" in said) is warned


def test_targets_that_were_not_given_the_same_work_are_warned_of() -> None:
    points = both()
    for point in points[3:]:
        point.records = [replace(one, prompt_tokens=1024, tokens=5) for one in point.records]
    made = document(points)
    assert not any("server" in one for one in made["points"][0]["warnings"])
    said = made["points"][1]["warnings"]
    assert "its prompts have 1,024 tokens, those of server 300: not the same work" in said
    assert "its answers have 5 tokens, those of server 10: not the same work" in said


@pytest.mark.parametrize("visits", [5, 30])
def test_whether_a_target_kept_up_is_told_only_of_visits_enough(visits: int) -> None:
    """One a second comes, one in two seconds is answered."""
    records = [Record("ct", False, at, 0, at, at, 2 * at + 2, 2 * at + 2.1, [], 9, 5) for at in range(visits)]
    point = Point("server", "ct-slice", Load("open", 1), 1, visits, records, 2.0 * visits)
    made = document([point], SERVER)
    table = next(one for one in all_tables(made) if one.title.endswith("arrivals"))
    assert made["points"][0]["saturated"] is (True if visits > 9 else None)
    told = table.rows[0][-1] if table.head[-1] == "kept up" else "–"
    assert told == ("no" if visits > 9 else "–")


def test_a_price_gives_costs_and_none_gives_none() -> None:
    """Ten tokens in 38 ms: 1,000 answers take 38 s of an hour at 36."""
    priced = document(both(), price=36.0)
    assert priced["points"][0]["metrics"]["cost_per_1000_answers"]["median"] == pytest.approx(0.38)
    assert priced["points"][0]["metrics"]["cost_per_million_tokens"]["median"] == pytest.approx(38)
    cost = next(table for table in all_tables(priced) if table.title == "Cost")
    assert cost.rows[0][-3:] == ("36", "0.380", "38.0")
    by_target = document(both(), price={"torch": 36.0})
    cost = next(table for table in all_tables(by_target) if table.title == "Cost")
    assert cost.rows[0][-3:] == ("–", "–", "–") and cost.rows[1][-3:] == ("36", "1.14", "114")


def test_a_cost_is_not_of_a_load_under_which_requests_failed() -> None:
    """Eight at once gave most tokens a second, and turned a third of the requests away."""
    points = measured("server", 0.02, 0.002) + measured("server", 0.01, 0.001, load=8)
    for point in points[3:]:
        point.records = [
            replace(one, error=None if at % 3 else "refused") for at, one in enumerate(point.records)
        ]
    cost = next(table for table in all_tables(document(points, SERVER)) if table.title == "Cost")
    assert cost.rows[0][4] == "1 at once"
    alone = next(table for table in all_tables(document(points[3:], SERVER)) if table.title == "Cost")
    assert alone.rows[0][4] == "8 at once"


def test_the_machine_is_named_only_for_what_was_seen_to_run_on_it() -> None:
    points = measured("server", 0.02, 0.002, usage=Usage(cpu_s=1.0)) + measured("torch", 0.06, 0.006)
    cost = next(table for table in all_tables(document(points)) if table.title == "Cost")
    assert [row[2] for row in cost.rows] == ["2 cores", "–"]


def test_goodput_has_a_column_only_under_an_slo() -> None:
    assert "goodput" not in text(document(both()))
    bounded = document(both(), slo=Slo(ttft_ms=30))
    assert "goodput" in text(bounded) and "SLO: TTFT ≤ 30 ms" in markdown(bounded)


def test_kinds_of_a_workload_share_a_table() -> None:
    points = measured("server", 0.02, 0.002) + measured("server", 0.04, 0.002, workload="ct-slice images=2")
    points += measured("server", 0.02, 0.002, workload="ct-slice, 64 tokens")
    tables = [
        table for table in all_tables(document(points, SERVER)) if table.title.startswith("ct-slice: times")
    ]
    assert len(tables) == 1 and tables[0].head[0] == "kind"
    assert [row[0] for row in tables[0].rows] == ["", "images=2", "64 tokens"]


def test_kinds_of_visits_are_told_apart() -> None:
    points = measured("server", 0.02, 0.002, workload="morning")
    for point in points:
        for record in point.records[::4]:
            record.kind = "X-ray"
            record.first = (record.first or 0.0) + 0.01
        point.records[0].error = "broken"
    made = document(points, SERVER)
    assert made["points"][0]["kinds"] == {
        "X-ray": {
            "requests": 15,
            "answered": 12,
            "ttft_p50_ms": 30,
            "ttft_p95_ms": None,
            "total_p50_ms": 38,
        },
        "ct": {
            "requests": 45,
            "answered": 45,
            "ttft_p50_ms": 20,
            "ttft_p95_ms": 26,
            "total_p50_ms": 38,
        },
    }
    table = next(one for one in all_tables(made) if "kind of visit" in one.title)
    assert table.rows[0] == ("X-ray", "1 at once", "server", "15", "30.0", "–", "38.0", "20.0 %")
    assert document(both())["points"][0]["kinds"] == {}


def test_the_split_table_ends_with_the_total() -> None:
    points = measured("server", 0.02, 0.002)
    for point in points:
        for record in point.records:
            record.split = {"upload": 4.0, "decode": 10.0}
    table = next(one for one in all_tables(document(points, SERVER)) if "where the time goes" in one.title)
    assert table.head == ("load", "target", "upload", "decode", "other", "total")
    total = 38 * sum(SPEED) / 3
    assert table.rows == (("1 at once", "server", "4.0", "10.0", f"{total - 14:.1f}", f"{total:.1f}"),)


def test_rounds_that_disagree_are_warned_of() -> None:
    points = measured("server", 0.02, 0.002)
    assert "rounds differ: TTFT p50 from 16 to 26 ms" in text(document(points, SERVER))
    assert "rounds differ" not in text(document(points[:2], SERVER))


def test_a_load_that_was_hardly_there_is_warned_of() -> None:
    """One after another is not eight at once, whatever the row is called."""
    said = document(measured("server", 0.02, 0.002, load=8), SERVER)["points"][0]["warnings"]
    assert any(one.startswith("on the average 1 of 8 askers had a question under way") for one in said)
    said = document(measured("server", 0.02, 0.002, load=1), SERVER)["points"][0]["warnings"]
    assert not any("askers" in one for one in said)


def test_other_programs_are_warned_of() -> None:
    """Rounds count by their length: 60 % of 0.76 s, nothing of the other 1.6 s."""
    points = measured("server", 0.02, 0.002)
    for point, share in zip(points, (0.6, 0.0, 0.0), strict=True):
        point.usage = Usage(cpu_s=0.1, others_share=share)
    made = document(points, SERVER)["points"][0]
    assert (
        "other programs took 19 % of the machine's processor time: not all targets suffer alike"
        in made["warnings"]
    )
    assert made["metrics"]["others_share"]["values"] == [0.6, 0, 0]
    points[0].usage = Usage(cpu_s=0.1, others_share=0.2)
    assert not any("other programs" in one for one in document(points, SERVER)["points"][0]["warnings"])


def test_the_generator_is_warned_of_once_with_its_longest_lag() -> None:
    points = measured("server", 0.02, 0.002)[:2]
    for point, lag in zip(points, (0.07, 0.2), strict=True):
        point.generator_lag_s, point.generator_cpu_s = lag, 0.95 * point.wall_s
    assert document(points, SERVER)["points"][0]["warnings"] == [
        "the load generator used 95 % of a core: more would come from several of them",
        "the load generator's event loop stood still for 200 ms",
    ]


def test_a_terminal_of_110_columns_is_wide_enough() -> None:
    points = both() + measured("server", 1.02, 0.002, load=8) + measured("torch", 1.06, 0.006, load=8)
    said = text(document(points, price=1.0, slo=Slo(ttft_ms=30)))
    tables = [line for line in said.splitlines() if not line.startswith("-")]
    assert max(map(len, tables)) <= 110


def test_a_markdown_table_has_as_many_cells_in_every_row() -> None:
    for block in markdown(document(both(), price=1.0)).split("\n\n"):
        if block.startswith("|"):
            assert len({line.count("|") for line in block.splitlines()}) == 1


def test_columns_nobody_has_a_figure_for_are_left_out() -> None:
    table = Table("t", ("name", "a", "b"), (("x", "1", "–"), ("y", "–", "–")))
    assert table.filled().head == ("name", "a")
    assert Table("t", ("name", "a"), (("x", "–"),)).filled().rows == ()


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, "–"),
        (0, "0"),
        (0.000425, "0.000425"),
        (0.19, "0.190"),
        (9.996, "10.0"),
        (12.345, "12.3"),
        (999.6, "1,000"),
        (1478.2, "1,478"),
        (-2.5, "−2.50"),
    ],
)
def test_numbers_have_three_digits_that_count(value: float | None, told: str) -> None:
    assert number(value) == told


def test_a_small_share_is_never_told_as_nothing() -> None:
    assert [percent(one) for one in (None, 0, 0.0004, 0.05, 0.5, 1)] == [
        "–",
        "0 %",
        "0.04 %",
        "5 %",
        "50.0 %",
        "100.0 %",
    ]
