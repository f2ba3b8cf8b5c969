"""Does a change make it slower? `python -m radserve_bench.regression report.json` compares with a stored record.

Absolute times say more about the machine that ran than about the change, so the record holds only what a run measures
against itself: ratios of targets that took turns, with their intervals, and shares of requests that failed. A ratio has
left the record when it lies outside the record's 95 % interval with a quarter more on either side; a share of errors
when its own interval (Wilson) lies above the record's. Prints Markdown; the exit status is 0 whatever is found, unless
`--strict` is given. `--update` makes the record anew from this run.
"""

import argparse
import json
import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from radserve_bench.errors import BenchError
from radserve_bench.reporting.numbers import estimated, percent
from radserve_bench.reporting.places import Entry, load
from radserve_bench.reporting.table import NONE, Table

RECORD = Path("benchmarks/results/record.json")
WORSE, BETTER, NOT_MEASURED = "**worse**", "better: make the record anew", "not measured"
_WIDENING = 1.25
_KIND_OF_MACHINE = ("processor", "cores", "gpus")
_PLACE = ("figure", "first", "other", "workload", "load")
_Z = 1.959964


@dataclass(frozen=True, slots=True)
class Departure:
    """A figure that left the record, as words for a row."""

    what: str
    workload: str
    load: str
    was: str
    now: str
    verdict: str


def make_record(document: Entry) -> dict[str, Any]:
    """What is kept of a run. Raises BenchError for one that was cut short or compared nothing."""
    if document["interrupted"]:
        raise BenchError("this run was interrupted: a record is made of a whole one")
    if not document["ratios"]:
        raise BenchError("this run compared nothing: give radserve bench two targets")
    return {
        "when": document["when"],
        "version": document["version"],
        "machine": {name: document["machine"].get(name) for name in _KIND_OF_MACHINE},
        "settings": document["settings"],
        "ratios": [
            {name: one[name] for name in (*_PLACE, "title", "value", "low", "high")}
            for one in document["ratios"]
        ],
        "errors": [
            {
                **{name: point[name] for name in ("target", "workload", "load", "requests")},
                "failed": point["requests"] - point["answered"],
            }
            for point in document["points"]
        ],
    }


def compare(record: Entry, document: Entry) -> list[Departure]:
    """What has left the record, for better or worse, and what is no longer measured."""
    return [*_ratios(record, document), *_errors(record, document)]


def same_machine(record: Entry, document: Entry) -> bool:
    """Whether both were measured on the same kind of machine."""
    return all(record["machine"].get(name) == document["machine"].get(name) for name in _KIND_OF_MACHINE)


def report(record: Entry, document: Entry) -> str:
    """Markdown: what was compared with what, and a table of what left the record."""
    lines = [f"Compared with the record of {record['when'][:10]} (radserve {record['version']})."]
    if not same_machine(record, document):
        lines.append(
            f"The record is of another kind of machine ({_machine(record)}; this is {_machine(document)}): ratios may "
            "differ for that alone."
        )
    if record["settings"] != document["settings"]:
        changed = _changed(record["settings"], document["settings"])
        lines.append(f"The record was measured with other settings: {changed}.")
    if document["interrupted"]:
        lines.append("This run was interrupted, and not everything was measured.")
    departures = compare(record, document)
    compared = len(record["ratios"]) + len(record["errors"])
    if not departures:
        return " ".join([*lines, f"All {compared} ratios and shares of errors are where they were."])
    lines.append(f"⚠ {len(departures)} of {compared} ratios and shares of errors left it.")
    rows = tuple((one.what, one.workload, one.load, one.was, one.now, one.verdict) for one in departures)
    head = ("figure", "workload", "load", "record", "now", "")
    table = Table("Left the record", head, rows, len(head))
    return " ".join(lines) + "\n\n" + table.markdown()


def read_document(path: Path) -> dict[str, Any]:
    """A report.json, or the output of `radserve bench`, whose last line it is. Raises BenchError."""
    try:
        text = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BenchError(f"{path} cannot be read: {error}") from error
    for candidate in (text, text.rpartition("\n")[2]):
        try:
            document = json.loads(candidate)
        except ValueError:
            continue
        if isinstance(document, dict) and document.get("tool") == "radserve bench":
            return document
    raise BenchError(f"{path} is no report of radserve bench")


def read_record(path: Path) -> dict[str, Any] | None:
    """None where there is none yet. Raises BenchError."""
    if not path.exists():
        return None
    try:
        record: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise BenchError(f"the record {path} cannot be read: {error}") from error
    return record


def write_record(path: Path, document: Entry) -> None:
    """Make the record anew. Raises BenchError for a run that is none, OSError."""
    text = json.dumps(make_record(document), indent=1, ensure_ascii=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n", "utf-8")


def _ratios(record: Entry, document: Entry) -> Iterator[Departure]:
    fresh = {_place(one): one for one in document["ratios"]}
    for was in record["ratios"]:
        now = fresh.get(_place(was))
        words = (f"{was['first']} / {was['other']}: {was['title']}", was["workload"], str(load(was)))
        if now is None:
            yield Departure(*words, estimated(was), NONE, NOT_MEASURED)
        elif now["value"] < (was["low"] or was["value"]) / _WIDENING:
            yield Departure(*words, estimated(was), estimated(now), WORSE)
        elif now["value"] > (was["high"] or was["value"]) * _WIDENING:
            yield Departure(*words, estimated(was), estimated(now), BETTER)


def _errors(record: Entry, document: Entry) -> Iterator[Departure]:
    fresh = {(one["target"], one["workload"], load(one)): one for one in document["points"]}
    for was in record["errors"]:
        now = fresh.get((was["target"], was["workload"], load(was)))
        words = (f"{was['target']}: share of errors", was["workload"], str(load(was)))
        before = was["failed"] / was["requests"]
        if now is None:
            yield Departure(*words, percent(before), NONE, NOT_MEASURED)
            continue
        failed = now["requests"] - now["answered"]
        if wilson(failed, now["requests"])[0] > wilson(was["failed"], was["requests"])[1]:
            share = f"{percent(failed / now['requests'])} ({failed} of {now['requests']})"
            yield Departure(*words, percent(before), share, WORSE)


def wilson(hits: int, of: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927)."""
    share, weight = hits / of, _Z * _Z / of
    middle = (share + weight / 2) / (1 + weight)
    half = math.sqrt(share * (1 - share) * weight + weight * weight / 4) / (1 + weight)
    return middle - half, middle + half


def _place(one: Entry) -> tuple[str, ...]:
    return (*(str(one[name]) for name in _PLACE[:-1]), str(load(one)))


def _machine(holder: Entry) -> str:
    machine: Mapping[str, Any] = holder["machine"]
    gpus = ", ".join(map(str, machine.get("gpus") or ()))
    return f"{machine.get('cores', '?')} cores of {machine.get('processor', '?')}" + (
        f", {gpus}" if gpus else ""
    )


def _changed(was: Entry, now: Entry) -> str:
    names = [name for name in {**was, **now} if was.get(name) != now.get(name)]
    return ", ".join(f"{name} {was.get(name, NONE)}, now {now.get(name, NONE)}" for name in names)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="radserve_bench.regression", description="Compare a run with the stored record."
    )
    parser.add_argument("document", type=Path, help="report.json of radserve bench, or its output in a file")
    parser.add_argument("--record", type=Path, default=RECORD, help=f"default: {RECORD}")
    parser.add_argument("--update", action="store_true", help="make the record anew from this run")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if anything is worse or missing")
    given = parser.parse_args()
    try:
        document = read_document(given.document)
        if given.update:
            write_record(given.record, document)
            print(f"{given.record} is now the record of {document['when'][:10]}.")
            return 0
        record = read_record(given.record)
    except BenchError as error:
        parser.error(str(error))
    if record is None:
        print(f"There is no record at {given.record} to compare with; --update makes it.")
        return int(given.strict)
    print(report(record, document))
    worse = [one for one in compare(record, document) if one.verdict != BETTER]
    return int(given.strict and same_machine(record, document) and bool(worse))


if __name__ == "__main__":
    sys.exit(main())
