"""The run's figures as Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

from radserve_bench.reporting.table import Table

Entry = Mapping[str, Any]


def markdown(document: Entry) -> str:
    """What was measured and where, and a table each of streams, kinds of study, and gateways side by side."""
    tables = (stream_table, triton_table, question_table, replica_table)
    return "\n\n".join([_heading(document), *(table(document).markdown() for table in tables)]) + "\n"


def stream_table(document: Entry) -> Table:
    """A row a number of streams."""
    rows = tuple(
        (
            f"{row['streams']}",
            f"{row['due_per_s']:,.0f}",
            f"{row['events_per_s']['median']:,.0f}",
            ranged(row["cpu_us_per_event"]),
            percent(row["cores"]),
            f"{row['late_ms']:.1f}",
            percent(row["generator_cores"]),
        )
        for row in document["streams"]
    )
    head = (
        "streams",
        "tokens/s due",
        "events/s",
        "CPU µs an event",
        "of the core",
        "late, ms",
        "load's core",
    )
    notes = (
        "Tokens that wait are joined to one event, so a full core sends fewer events than tokens. Late: the last token "
        "of an answer, after its time by the engine's schedule; the median of all streams.",
    )
    return Table("Streams of an answer's tokens, one gateway on one core", head, rows, 1, notes)


def triton_table(document: Entry) -> Table:
    """The same before the demonstration engine."""
    rows = tuple(
        (
            f"{row['streams']}",
            f"{row['tokens']:,}",
            f"{row['events']:,}",
            f"{row['cpu_us_per_token']:.0f}",
            f"{row['cpu_us_per_event']:.0f}",
        )
        for row in document["triton"]
    )
    head = ("streams", "tokens", "events", "CPU µs a token", "CPU µs an event")
    notes = (
        "By the demonstration engine, which runs on the same cores; CPU time of the gateway's own process. What it is "
        "more than above is Triton's gRPC.",
    )
    return Table("Streams through Triton", head, rows, 1, notes)


def question_table(document: Entry) -> Table:
    """A row a kind of study."""
    rows = tuple(
        (
            row["name"],
            f"{row['megabytes']:.1f}",
            ranged(row["cpu_ms"]),
            f"{row['http_ms']:.1f}",
            f"{row['decode_ms']:.1f}",
            ranged(row["questions_per_s"]),
            percent(row["cores"]),
            percent(row["generator_cores"]),
        )
        for row in document["questions"]
    )
    head = (
        "study",
        "MB",
        "CPU ms a question",
        "of it HTTP",
        "codec, ms",
        "questions/s",
        "of the core",
        "load's core",
    )
    settings = document["settings"]
    notes = (
        f"Files uploaded anew, then a question, streamed, {settings['answer_tokens']} tokens; {settings['askers']} "
        "askers. HTTP: the gateway's own process; the rest is its decoding worker's. Codec: the time that the gateway "
        "tells, by the clock, for one image, of which a series has many. The model is shown "
        f"{settings['image_side']} × {settings['image_side']} px of each image, if not told otherwise.",
    )
    return Table("Questions by what the study is made of, one gateway on one core", head, rows, 1, notes)


def replica_table(document: Entry) -> Table:
    """Two gateways beside the same kind before one."""
    rows = []
    for two in document["replicas"]:
        one = alone(document, two["key"])
        for row in (one, two):
            times = row["questions_per_s"]["median"] / one["questions_per_s"]["median"]
            figures = ranged(row["questions_per_s"]), f"{times:.2f}", ranged(row["cpu_ms"])
            shares = percent(row["cores"]), percent(row["generator_cores"])
            rows.append(
                (row["name"], str(row["gateways"]), *figures, *shares, f"{with_full_cores(one, row):.2f}")
            )
    head = (
        *("study", "gateways", "questions/s", "times", "CPU ms a question"),
        *("of a core", "load's", "times, cores full"),
    )
    notes = (
        "Two gateways have a core each; the load, at the lowest priority, what they and others leave. With full cores: "
        "by CPU time alone, as if gateways had had all of their cores.",
    )
    return Table("One gateway and two", head, tuple(rows), 2, notes)


def alone(document: Entry, key: str) -> Entry:
    """The row of a kind before one gateway."""
    return next(row for row in document["questions"] if row["key"] == key)


def with_full_cores(one: Entry, row: Entry) -> float:
    """How many times as many questions a second as one gateway, by CPU time alone."""
    return float(row["gateways"] * one["cpu_ms"]["median"] / row["cpu_ms"]["median"])


def ranged(spread: Entry) -> str:
    """Median, and least and most in brackets."""
    return f"{_figure(spread['median'])} ({_figure(spread['min'])}–{_figure(spread['max'])})"


def percent(share: float) -> str:
    """As per cent."""
    return f"{100 * share:.0f} %"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _heading(document: Entry) -> str:
    machine, versions = document["machine"], document["versions"]
    told = ", ".join(f"{name} {number}" for name, number in versions.items())
    return "\n\n".join(
        [
            "# Where the gateway saturates",
            f"A core of {machine['processor']} ({machine['cores']} cores), {document['when'][:10]}; the whole run took "
            f"{document['took_s']:.0f} s, while other processes took {document['others_cores']:.2f} cores. {told}.",
            "Medians, least and most in brackets. The engine is the fake one, so all CPU time is the gateway's. "
            "Made by `python -m radserve_bench.gateway_limits`; what it means for a hospital: `docs/sizing.md`.",
        ]
    )


def rows_by_cost(document: Entry) -> Sequence[Entry]:
    """Kinds of study, the cheapest first."""
    return sorted(document["questions"], key=lambda row: row["cpu_ms"]["median"])
