"""What a reader must know of a point before believing its figures."""

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from radserve_bench.record import Point
from radserve_bench.reporting.arrivals import generator_warnings
from radserve_bench.reporting.places import Entry

_UNLIKE, _OTHER_WORK = 1.5, 1.1
_FAILED = 0.01
"""As many failures as could hide a p99."""

_OTHERS = 0.1
"""Of the machine's processor time."""

_UNDER_WAY = 0.6
"""Of the askers of a closed load; at its end some are done before the others."""

_WORK = (("prompts have", "prompt_tokens_per_answer"), ("answers have", "tokens_per_answer"))


def warnings_of(
    together: Point, rounds: Sequence[Point], figures: Sequence[Mapping[str, float]]
) -> list[str]:
    """Of one target under one load: the generator, failures, lengths, rounds, an interruption; empty is good."""
    warnings = [
        *generator_warnings(together),
        *_failures(together, rounds),
        *_lengths(together),
        *_others(rounds),
    ]
    warnings += _idle_askers(together, figures)
    medians = [one["ttft_p50_ms"] for one in figures if "ttft_p50_ms" in one]
    if medians and max(medians) > _UNLIKE * min(medians):
        warnings.append(
            f"rounds differ: TTFT p50 from {min(medians):.4g} to {max(medians):.4g} ms; look at the ratios"
        )
    done, planned = sum(len(one.records) for one in rounds), sum(one.planned for one in rounds)
    if not all(one.complete for one in rounds):
        warnings.append(f"interrupted: {done} of {planned} requests")
    return warnings


def warn_of_other_work(points: Sequence[dict[str, Any]], first: str) -> None:
    """Adds to `warnings` of points whose prompts or answers are not as long as the first target's at the same load."""
    places = {(one["workload"], str(one["load"])): one for one in points if one["target"] == first}
    for point in points:
        ours = places.get((point["workload"], str(point["load"])), point)
        for what, key in _WORK:
            own, other = point["metrics"].get(key), ours["metrics"].get(key)
            if own and other and _apart(own["median"], other["median"]):
                told = (
                    f"its {what} {_tokens(own)} tokens, those of {first} {_tokens(other)}: not the same work"
                )
                point["warnings"].append(told)


def failed_much(point: Entry) -> bool:
    """Whether so many requests failed that the times of the others are not the whole story."""
    return bool(point["requests"] - point["answered"] >= _FAILED * max(point["requests"], 1))


def _failures(together: Point, rounds: Sequence[Point]) -> list[str]:
    failed = sum(not record.answered for record in together.records)
    empty = sum(not any(record.answered for record in one.records) for one in rounds)
    warnings = []
    if failed >= _FAILED * len(together.records) and failed:
        warnings.append(f"{failed} of {len(together.records)} requests failed: times are those of the others")
    if empty:
        warnings.append(f"nothing was answered in {empty} of {len(rounds)} rounds")
    return warnings


def _lengths(together: Point) -> list[str]:
    """Answers that were to have an exact length and, by the server's usage, have another."""
    fixed = [one for one in together.records if one.answered and one.asked is not None]
    other = Counter((one.tokens, one.asked) for one in fixed if one.tokens != one.asked)
    if not other:
        return []
    (tokens, asked), _ = other.most_common(1)[0]
    much = "" if len(other) == 1 else " or another number"
    return [f"{other.total()} of {len(fixed)} answers have {tokens}{much} tokens, not {asked}"]


def _idle_askers(point: Point, figures: Sequence[Mapping[str, float]]) -> list[str]:
    """Of closed load: too few requests for so many askers, who are done before the others."""
    told = [one["under_way"] for one in figures if "under_way" in one]
    if point.load.kind == "open" or not told or statistics.median(told) >= _UNDER_WAY * point.load.amount:
        return []
    there = f"{statistics.median(told):.2g} of {point.load.amount:g} askers"
    return [f"on the average {there} had a question under way: more --requests would keep them busy"]


def _others(rounds: Sequence[Point]) -> list[str]:
    told = [(one.wall_s, one.usage.others_share) for one in rounds if one.usage.others_share is not None]
    wall = sum(seconds for seconds, _ in told)
    share = sum(seconds * part for seconds, part in told) / wall if wall > 0 else 0.0
    if share < _OTHERS:
        return []
    return [
        f"other programs took {100 * share:.0f} % of the machine's processor time: not all targets suffer alike"
    ]


def _apart(one: float, other: float) -> bool:
    return max(one, other) > _OTHER_WORK * min(one, other)


def _tokens(spread: Mapping[str, Any]) -> str:
    return f"{spread['median']:,.4g}" if spread["median"] < 1000 else f"{spread['median']:,.0f}"
