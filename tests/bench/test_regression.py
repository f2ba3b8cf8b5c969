"""The record is left by what got slower or fails more often, and by nothing else."""

import copy
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from radserve_bench.errors import BenchError
from radserve_bench.record import Description, Load, Point, Record
from radserve_bench.regression import (
    BETTER,
    NOT_MEASURED,
    WORSE,
    compare,
    main,
    make_record,
    read_document,
    report,
    wilson,
)
from radserve_bench.reporting.document import build_document
from radserve_bench.reporting.slo import Slo


def run(faster: float = 1.0, machine: float = 1.0, failed: int = 0, rounds: int = 5) -> dict[str, Any]:
    """A server against PyTorch on a machine of some speed; the ratio is 3 times `faster`, 5 % apart by round."""
    points = []
    for number in range(1, rounds + 1):
        for target, total in (("server", 0.1 / faster * (0.95 + 0.02 * number)), ("torch", 0.3)):
            whole = total / machine
            records = [
                Record(
                    "ct", False, at, 0, at * whole, at * whole, (at + 0.5) * whole, (at + 1) * whole, [], 9, 9
                )
                for at in range(20)
            ]
            for record in records[: failed if target == "server" else 0]:
                record.error = "broken"
            points.append(Point(target, "ct-slice", Load("closed", 1), number, 20, records, 20 * whole))
    targets = [Description("server", "radserve", "demo"), Description("torch", "torch", "demo")]
    return build_document(points, targets, {"tokens": 9}, {"processor": "Test 9000", "cores": 2}, Slo())


def verdicts(record: dict[str, Any], document: dict[str, Any]) -> set[str]:
    return {one.verdict for one in compare(record, document)}


def test_a_slower_machine_is_no_regression() -> None:
    assert verdicts(make_record(run()), run(machine=0.2)) == set()


@pytest.mark.parametrize(
    ("faster", "expected"), [(0.7, {WORSE}), (0.9, set()), (1.1, set()), (1.5, {BETTER})]
)
def test_a_ratio_leaves_the_record_beyond_its_interval_and_a_quarter(
    faster: float, expected: set[str]
) -> None:
    assert verdicts(make_record(run()), run(faster)) == expected


@pytest.mark.parametrize(("failed", "expected"), [(0, set()), (1, set()), (3, {WORSE})])
def test_more_failures_than_chance_would_have_are_worse(failed: int, expected: set[str]) -> None:
    """Of 100 requests each; one in twenty is told from none only by more of them."""
    found = compare(make_record(run()), run(failed=failed))
    assert {one.verdict for one in found if "errors" in one.what} == expected


def test_what_is_no_longer_measured_is_told() -> None:
    document = run()
    document["ratios"].pop()
    assert verdicts(make_record(run()), document) == {NOT_MEASURED}


def test_a_record_holds_no_absolute_time_and_says_where_it_is_from() -> None:
    record = make_record(run())
    assert record["machine"] == {"processor": "Test 9000", "cores": 2, "gpus": None}
    text = json.dumps(record)
    assert "_ms" not in text and "_per_s" not in text
    assert all(one["low"] < one["value"] < one["high"] for one in record["ratios"])


def test_another_machine_and_other_settings_are_said() -> None:
    other = copy.deepcopy(run())
    other["machine"]["cores"] = 64
    other["settings"]["tokens"] = 32
    said = report(make_record(run()), other)
    assert "another kind of machine (2 cores" in said and "this is 64 cores" in said
    assert "tokens 9, now 32" in said
    assert "another kind" not in report(make_record(run()), run())


def test_an_interrupted_or_lonely_run_makes_no_record() -> None:
    document = run()
    with pytest.raises(BenchError, match="interrupted"):
        make_record({**document, "interrupted": {"done": 1, "planned": 2, "at": "x"}})
    with pytest.raises(BenchError, match="two targets"):
        make_record({**document, "ratios": []})


def command(monkeypatch: pytest.MonkeyPatch, *words: str | Path) -> int:
    monkeypatch.setattr(sys, "argv", ["regression", *map(str, words)])
    return main()


def test_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It reads a command's output as well as a file, never fails unasked, and with --strict for what is worse."""
    record, good, slow = tmp_path / "results" / "record.json", tmp_path / "good.json", tmp_path / "out.txt"
    good.write_text(json.dumps(run(), indent=1))
    slow.write_text("a table\n\n" + json.dumps(run(0.5)) + "\n")
    assert command(monkeypatch, good, "--record", record) == 0
    assert "There is no record" in capsys.readouterr().out
    assert command(monkeypatch, good, "--record", record, "--strict") == 1
    assert command(monkeypatch, good, "--record", record, "--update") == 0
    assert command(monkeypatch, good, "--record", record, "--strict") == 0
    assert "are where they were" in capsys.readouterr().out
    assert command(monkeypatch, slow, "--record", record) == 0
    said = capsys.readouterr().out
    assert said.count(WORSE) == 4 and "| server / torch: tokens a second" in said
    assert command(monkeypatch, slow, "--record", record, "--strict") == 1


@pytest.mark.parametrize("text", ["", "no JSON", "[1]", '{"tool": "another"}'])
def test_what_is_no_report_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(BenchError, match=r"report\.json"):
        read_document(path)


def test_wilsons_interval_is_the_textbooks() -> None:
    assert wilson(0, 20) == pytest.approx((0, 0.1611), abs=2e-4)
    assert wilson(5, 20) == pytest.approx((0.1119, 0.4687), abs=2e-4)
