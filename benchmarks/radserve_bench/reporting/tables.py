"""The document as tables that a person reads: one a workload, what targets are to each other, where time goes."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from radserve_bench.record import STAGES
from radserve_bench.reporting.cautions import failed_much
from radserve_bench.reporting.numbers import count, estimated, median, number, percent, ranged
from radserve_bench.reporting.places import Entry, families, figure, kind, load
from radserve_bench.reporting.samples import OTHER
from radserve_bench.reporting.slo import Slo
from radserve_bench.reporting.table import NONE, Table

_FIGURES = (
    ("TTFT p50", "ttft_p50_ms", ranged),
    ("p95", "ttft_p95_ms", median),
    ("p99", "ttft_p99_ms", median),
    ("ITL", "itl_p50_ms", median),
    ("pause", "pause_p50_ms", median),
    ("whole", "total_p50_ms", median),
    ("answers", "requests_per_s", median),
    ("tokens", "tokens_per_s", ranged),
    ("goodput", "goodput_per_s", median),
)
_USAGE = (
    ("tokens/answer", "tokens_per_answer", count),
    ("tokens/event", "tokens_per_event", median),
    ("stream, tokens/s", "stream_tokens_per_s", median),
    ("CPU s/answer", "cpu_s_per_answer", median),
    ("cores", "cpu_cores", median),
    ("memory, MiB", "memory_mib", median),
    ("GPU, MiB", "gpu_memory_mib", median),
    ("GPU, W", "gpu_power_w", median),
    ("J/answer", "energy_j_per_answer", median),
)
_OPEN = (
    ("visits/s offered", "offered_per_s", median),
    ("answered", "achieved_per_s", median),
    ("wait grew, ms", "queue_growth_ms", median),
    ("STAT TTFT p50, ms", "stat_ttft_p50_ms", median),
    ("p95", "stat_ttft_p95_ms", median),
    ("routine p50", "routine_ttft_p50_ms", median),
    ("p95", "routine_ttft_p95_ms", median),
)
_RATIOS = (
    ("TTFT sooner", "ttft"),
    ("whole answer", "total"),
    ("answers/s", "requests"),
    ("tokens/s", "tokens"),
    ("gateway adds, ms", "gateway"),
)
_SHA256 = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")
_CANNOT_TELL = "Fewer than nine visits a round, or such as failed, do not tell whether a target kept up."
_POOLED = "* of all rounds' answers together: a round alone has too few."


def markdown(document: Entry) -> str:
    """All tables, with what they were measured on; for a file."""
    parts = [
        heading(document),
        *(table.markdown() for table in all_tables(document)),
        *warning_list(document),
    ]
    return "\n\n".join(parts) + "\n"


def text(document: Entry) -> str:
    """The same for a terminal of 110 columns."""
    parts = [*(table.text() for table in all_tables(document)), *warning_list(document)]
    return "\n\n".join(parts)


def all_tables(document: Entry) -> list[Table]:
    """Those that have something to say; kinds of one workload ("ct-slice, 4 images") share theirs."""
    tables = [ratio_table(document)]
    for name, points in families(document).items():
        tables += [figure_table(name, points), arrival_table(name, points), kind_table(name, points)]
        tables += [split_table(name, points), usage_table(name, points)]
    tables += [cost_table(document), error_table(document)]
    return [table for table in tables if table.rows]


def figure_table(name: str, points: Sequence[Entry]) -> Table:
    """A row a load and target: latencies, throughput, errors."""
    rows = [(*_cells(point, _FIGURES), _errors(point)) for point in points]
    notes = [_reading(points)] + [_POOLED] * any(cell.endswith("*") for row in rows for cell in row)
    head = (*(title for title, *_ in _FIGURES), "errors")
    return _table(f"{name}: times in ms, rates a second", points, head, rows, " ".join(notes))


def arrival_table(name: str, points: Sequence[Entry]) -> Table:
    """Open loads: whether the target kept up; and how urgent requests fared."""
    told = [one for one in points if one["load"]["kind"] == "open" or "stat_ttft_p50_ms" in one["metrics"]]
    rows = [(*_cells(point, _OPEN), _kept_up(point)) for point in told]
    head = (*(title for title, *_ in _OPEN), "kept up")
    dark = any(one["load"]["kind"] == "open" and one["saturated"] is None for one in told)
    return _table(f"{name}: arrivals", told, head, rows, *[_CANNOT_TELL] * dark)


def kind_table(name: str, points: Sequence[Entry]) -> Table:
    """Of workloads of several kinds of visits: each kind's requests, errors and latencies."""
    rows = [
        (
            visit,
            str(load(point)),
            point["target"],
            f"{found['requests']:,}",
            *(number(found[key]) for key in ("ttft_p50_ms", "ttft_p95_ms", "total_p50_ms")),
            _errors(found),
        )
        for visit in dict.fromkeys(visit for point in points for visit in point["kinds"])
        for point in points
        if (found := point["kinds"].get(visit))
    ]
    head = ("visit", "load", "target", "requests", "TTFT p50", "p95", "whole", "errors")
    return Table(f"{name}: by kind of visit, all rounds together, ms", head, tuple(rows), 3)


def split_table(name: str, points: Sequence[Entry]) -> Table:
    """Mean milliseconds of each stage that takes 0.05 ms anywhere."""
    told = [point for point in points if point["split_ms"]]
    splits = [point["split_ms"] for point in told]
    stages = [
        stage for stage in (*STAGES, OTHER) if any(abs(split.get(stage, 0.0)) >= 0.05 for split in splits)
    ]
    rows = [(*(_tenths(one.get(stage)) for stage in stages), _tenths(sum(one.values()))) for one in splits]
    return _table(f"{name}: where the time goes, mean ms", told, (*stages, "total"), rows)


def usage_table(name: str, points: Sequence[Entry]) -> Table:
    """What an answer takes of processor, memory and energy."""
    rows = [_cells(point, _USAGE) for point in points]
    return _table(f"{name}: what it takes", points, tuple(title for title, *_ in _USAGE), rows)


def ratio_table(document: Entry) -> Table:
    """How many times better each target is than those after it; answers/s only where tokens/s do not say the same."""
    places: dict[tuple[str, ...], dict[str, str]] = {}
    for one in (*document["ratios"], *document["differences"]):
        place = (f"{one['first']} / {one['other']}", one["workload"], str(load(one)))
        places.setdefault(place, {})[one["figure"]] = estimated(one)
    same = all(found.get("requests") == found.get("tokens") for found in places.values())
    shown = [one for one in _RATIOS if one[1] != "requests" or not same]
    rows = [(*place, *(found.get(key, NONE) for _, key in shown)) for place, found in places.items()]
    head = ("compared", "workload", "load", *(title for title, _ in shown))
    note = "Geometric means of the ratios within each round, and their 95 % intervals; above 1 the first is better."
    return Table("How many times better", head, tuple(rows), 3, (note, *_ratio_notes(document))).filled()


def _ratio_notes(document: Entry) -> Iterator[str]:
    """What must be known before ratios and differences are believed."""
    if document["differences"]:
        yield "What the gateway adds is the images' upload, decoding, window and resize as well: Triton gets pixels."
    for point in document["points"]:
        who = f"{point['target']} ({load(point)}, {point['workload']})"
        if failed_much(point):
            yield f"{who} failed {_errors(point)} of its requests: ratios of times are of the others."
        if point["saturated"]:
            yield f"{who} did not keep up: its times, and their ratios, grow as long as the load lasts."


def error_table(document: Entry) -> Table:
    """Failed requests by kind; empty where none failed."""
    rows = tuple(
        (
            point["workload"],
            str(load(point)),
            point["target"],
            failure,
            f"{times} of {point['requests']}",
            point["messages"].get(failure, NONE),
        )
        for point in document["points"]
        for failure, times in point["errors"].items()
    )
    head = ("workload", "load", "target", "kind", "requests", "the first one said")
    return Table("Errors", head, rows, len(head))


def cost_table(document: Entry) -> Table:
    """In the shape in which training runs are compared: each target at the load at which it gave most tokens/s
    without failures, if there is one.

    What it runs on is told where the target says it (`details`, "runs on") or its processes were measured here.
    """
    rows = []
    for target in document["targets"]:
        points = [one for one in document["points"] if one["target"] == target["name"]]
        for workload in dict.fromkeys(one["workload"] for one in points):
            here = [one for one in points if one["workload"] == workload]
            sound = [one for one in here if not failed_much(one)]
            best = max(sound or here, key=lambda one: figure(one, "tokens_per_s") or 0.0)
            figures = [_cell(best, key, median) for key in ("tokens_per_s", "gpu_power_w")]
            costs = [_cell(best, key, median) for key in ("cost_per_1000_answers", "cost_per_million_tokens")]
            price = _price(document, target["name"])
            hour = NONE if price is None else f"{price:g}"
            names = (target["name"], target["model"], _runs_on(document, target, best), workload)
            rows.append((*names, str(load(best)), *figures, hour, *costs))
    head = ("target", "model", "runs on", "workload", "load", "tokens/s", "power, W", "an hour")
    note = "Costs are in the currency of the price of an hour; without one, they are not known."
    return Table("Cost", (*head, "1,000 answers", "1 M tokens"), tuple(rows), 5, (note,))


def heading(document: Entry) -> str:
    """What was measured, on what, when, with what."""
    machine = document["machine"]
    about = [f"{machine.get('cores', '?')} cores of {machine.get('processor', 'an unknown processor')}"]
    about += [f"{_gpus(machine)}"] if _gpus(machine) else []
    versions = ", ".join(f"{name} {what}" for name, what in document["versions"].items())
    settings = ", ".join(f"{name} {_plain(value)}" for name, value in document["settings"].items())
    lines = [
        f"radserve bench {document['version']} on {', '.join(about)}, {document['when'][:10]}.",
        f"Versions: {versions}.",
        *([f"Settings: {settings}."] if settings else []),
        *(f"{one['name']}: {_described(one)}." for one in document["targets"]),
        *([f"SLO: {Slo(**document['slo'])}."] if Slo(**document["slo"]).stated else []),
    ]
    return "\n\n".join(lines)


def warning_list(document: Entry) -> list[str]:
    """One block of all that a reader must know before believing a figure; none if there is nothing."""
    lines = [
        f"- {point['target']}, {point['workload']}, {load(point)}: {said}"
        for point in document["points"]
        for said in point["warnings"]
    ]
    cut = document["interrupted"]
    if cut:
        why = f": {cut['why']}" if cut.get("why") else "."
        lines.insert(
            0, f"- Interrupted: {cut['done']} of {cut['planned']} done; it ended at {cut['at']}{why}"
        )
    return ["\n".join(["Warnings:", "", *lines])] if lines else []


def _table(
    title: str, points: Sequence[Entry], head: Sequence[str], rows: Sequence[Sequence[str]], *notes: str
) -> Table:
    """Rows of figures, each named by its load and target, and by its kind of the workload where there are several."""
    names = [(kind(point), str(load(point)), point["target"]) for point in points]
    first = 0 if any(name[0] for name in names) else 1
    whole = tuple((*name[first:], *row) for name, row in zip(names, rows, strict=True))
    return Table(title, (*("kind", "load", "target")[first:], *head), whole, 3 - first, notes).filled()


def _reading(points: Sequence[Entry]) -> str:
    rounds = sorted({int(point["rounds"]) for point in points})
    if rounds == [1]:
        return "Of one round."
    many = " to ".join(str(one) for one in dict.fromkeys((rounds[0], rounds[-1])))
    return f"Medians of {many} rounds, least and most in brackets."


def _cells(
    point: Entry, figures: Sequence[tuple[str, str, Callable[[Entry | None], str]]]
) -> tuple[str, ...]:
    return tuple(_cell(point, key, told) for _, key, told in figures)


def _cell(point: Entry, key: str, told: Callable[[Entry | None], str]) -> str:
    spread = point["metrics"].get(key)
    return told(spread) + ("*" if spread and spread.get("pooled") else "")


def _errors(point: Entry) -> str:
    """Of all rounds together."""
    return percent(1 - point["answered"] / point["requests"]) if point["requests"] else NONE


def _tenths(value: float | None) -> str:
    return NONE if value is None else f"{value:,.1f}".replace("-", "−")


def _kept_up(point: Entry) -> str:
    return {True: "no", False: "yes"}.get(point["saturated"], NONE)


def _price(document: Entry, target: str) -> float | None:
    price: float | Mapping[str, float] | None = document["price_per_hour"]
    return price.get(target) if isinstance(price, Mapping) else price


def _runs_on(document: Entry, target: Entry, point: Entry) -> str:
    told = target["details"].get("runs on")
    if told or "cpu_cores" not in point["metrics"]:
        return str(told or NONE)
    machine = document["machine"]
    return _gpus(machine) or f"{machine.get('cores', '?')} cores"


def _gpus(machine: Entry) -> str:
    names = Counter(str(one) for one in machine.get("gpus") or ())
    return ", ".join(f"{count} × {name}" for name, count in names.items())


def _described(target: Entry) -> str:
    digest = f" {_plain(target['digest'])}" if target["digest"] else ""
    details = "".join(
        f", {name} {_plain(value)}" for name, value in target["details"].items() if value is not None
    )
    return f"{target['kind']}, {target['model']}{digest}{details}"


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return _SHA256.sub(r"\1…", value)
    if isinstance(value, Mapping):
        return " ".join(f"{name} {_plain(one)}" for name, one in value.items())
    return " ".join(map(_plain, value)) if isinstance(value, Sequence) else str(value)
