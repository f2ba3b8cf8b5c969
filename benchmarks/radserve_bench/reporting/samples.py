"""What the answers of a point took, one number an answer, and quantiles of them.

A quantile is interpolated linearly between the two answers that it lies between (Hyndman and Fan 1996, type 7; numpy's
own). A tail that no answer lies beyond is not told: the p95 needs 20 answers, the p99 a hundred.
"""

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise

from radserve_bench.record import STAGES, Point

OTHER = "other"
"""What an answer took beyond all stages that its target tells of."""


def ttft_ms(point: Point) -> list[float]:
    """from when a request was due to its first text, of whole answers"""
    return _milliseconds(record.ttft_s for record in point.records)


def itl_ms(point: Point) -> list[float]:
    """an answer's own mean time for each token after its first, of whole answers that came in two events or more"""
    return _milliseconds(record.itl_s for record in point.records)


def pause_ms(point: Point) -> list[float]:
    """the longest time for which an answer that had begun stood still, of whole answers of two events or more"""
    whole = [one for one in point.records if one.answered and len(one.events) > 1]
    return _milliseconds(
        max(later - earlier for earlier, later in pairwise([*one.events, one.end or 0.0])) for one in whole
    )


def total_ms(point: Point) -> list[float]:
    """from when a request was due to the end of its answer, of whole answers"""
    return _milliseconds(record.total_s for record in point.records)


def stat_ttft_ms(point: Point) -> list[float]:
    """TTFT of urgent requests"""
    return _milliseconds(record.ttft_s for record in point.records if record.stat)


def routine_ttft_ms(point: Point) -> list[float]:
    """TTFT of requests that are not urgent, where there are urgent ones as well"""
    if not any(record.stat for record in point.records):
        return []
    return _milliseconds(record.ttft_s for record in point.records if not record.stat)


def lateness_ms(point: Point) -> list[float]:
    """from when a request was due to when the load generator began to send it"""
    return _milliseconds(record.sent - record.due for record in point.records)


def stream_rates(point: Point) -> list[float]:
    """tokens a second of an answer once it has begun: one over its ITL"""
    return [1e3 / one for one in itl_ms(point) if one > 0]


def quantile(values: Sequence[float], share: float) -> float | None:
    """The value that `share` of them lie below, or None where too few were measured to tell."""
    least = math.ceil(round(1 / (1 - share), 6)) if share > 0.5 else 1
    if len(values) < least:
        return None
    ordered = sorted(values)
    below, rest = divmod(share * (len(ordered) - 1), 1)
    low = ordered[int(below)]
    return low + rest * (ordered[min(int(below) + 1, len(ordered) - 1)] - low)


def distribution(values: Sequence[float]) -> list[float]:
    """The value at each per cent from 1 to 99, not interpolated: steps, if there are few. Empty without values."""
    ordered = sorted(values)
    return [ordered[-(-share * len(ordered) // 100) - 1] for share in range(1, 100)] if ordered else []


def mean_split_ms(point: Point) -> dict[str, float]:
    """Mean milliseconds of each stage that is told, over whole answers; `other` is what the stages leave of the total.

    A stage that an answer did not pass counts as nothing. Empty where the target tells no stage.
    """
    told = [record for record in point.records if record.answered and record.split]
    if not told:
        return {}
    named = [stage for stage in STAGES if any(stage in record.split for record in told)]
    split = {stage: sum(one.split.get(stage, 0.0) for one in told) / len(told) for stage in named}
    total = 1e3 * sum(record.total_s or 0.0 for record in told) / len(told)
    return {**split, OTHER: total - sum(split.values())}


def _milliseconds(times: Iterable[float | None]) -> list[float]:
    return [1e3 * time for time in times if time is not None]
