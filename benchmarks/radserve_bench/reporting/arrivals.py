"""Whether a target kept up with visits that came on their own time (open load), and whether the generator did.

Above capacity the wait grows for as long as the load lasts: visits that come at `offered` a second and leave at
`achieved` wait longer by offered / achieved − 1 seconds for each second passed. Rates are taken between the first and
last arrival, and between the first and last departure, so that neither one answer's length nor the draw of a Poisson
process looks like a lack of capacity.
"""

import statistics
from collections import defaultdict
from collections.abc import Sequence

from radserve_bench.record import Point, Record
from radserve_bench.reporting.samples import lateness_ms, quantile, ttft_ms

_LEAST_VISITS = 9
_KEPT_UP, _GROWING, _TURNED_AWAY = 0.9, 0.05, 0.05
_BUSY, _LAG_S, _LATE_MS, _LATE_SHARE = 0.9, 0.05, 5.0, 0.05
_TOLD_S = 0.05  # of CPU: less tells nothing of a core
_GIVEN_UP = ("refused", "timed out")


def offered_per_s(point: Point) -> float | None:
    """open load: visits that came a second, from the first to the last"""
    return _rate([one.due for one in _openings(point)]) if point.load.kind == "open" else None


def achieved_per_s(point: Point) -> float | None:
    """open load: visits that ended a second, from the first to the last, times the share that was wholly answered"""
    if point.load.kind != "open":
        return None
    visits: dict[int, list[Record]] = defaultdict(list)
    for record in point.records:
        visits[record.visit].append(record)
    whole = sum(all(one.answered for one in records) for records in visits.values())
    rate = _rate([max(one.end or 0.0 for one in records) for records in visits.values()])
    return None if rate is None else rate * whole / len(visits)


def queue_growth_ms(point: Point) -> float | None:
    """open load: median TTFT of the last third of the visits' first questions less that of the first third"""
    asked = [one for one in _openings(point) if one.ttft_s is not None]
    if point.load.kind != "open" or len(asked) < _LEAST_VISITS:
        return None
    third = len(asked) // 3
    early, late = (
        statistics.median(one.ttft_s or 0.0 for one in part) for part in (asked[:third], asked[-third:])
    )
    return 1e3 * (late - early)


def is_saturated(point: Point) -> bool | None:
    """Whether more came than the target could answer.

    So it is when fewer than 90 % of the visits that come leave answered, and the wait grew by more than 5 % of the time
    that passed or more than 5 % of the requests were refused or ran out of time. None where that cannot be told: of
    closed load, of fewer than nine visits, and where they failed for other reasons.
    """
    offered, achieved = offered_per_s(point), achieved_per_s(point)
    arrivals = [one.due for one in _openings(point)]
    if offered is None or len(arrivals) < _LEAST_VISITS:
        return None
    if achieved is not None and achieved >= _KEPT_UP * offered:
        return False
    away = sum(record.error in _GIVEN_UP for record in point.records)
    between_thirds = 1e3 * (arrivals[-1] - arrivals[0]) * 2 / 3
    growth = queue_growth_ms(point)
    if (growth is not None and growth > _GROWING * between_thirds) or away > _TURNED_AWAY * len(
        point.records
    ):
        return True
    failed = sum(not record.answered for record in point.records)
    return None if failed > (1 - _KEPT_UP) * len(point.records) else False


def generator_warnings(point: Point) -> list[str]:
    """What makes this point a measure of the load generator rather than of the target; empty is good."""
    warnings = []
    if point.generator_cpu_s > max(_BUSY * point.wall_s, _TOLD_S) and point.wall_s > 0:
        busy = 100 * point.generator_cpu_s / point.wall_s
        warnings.append(
            f"the load generator used {busy:.0f} % of a core: more would come from several of them"
        )
    if point.generator_lag_s > _LAG_S:
        warnings.append(
            f"the load generator's event loop stood still for {1e3 * point.generator_lag_s:.0f} ms"
        )
    late, usual = quantile(lateness_ms(point), 0.95), quantile(ttft_ms(point), 0.5)
    if late is not None and late > max(_LATE_MS, _LATE_SHARE * (usual or 0.0)):
        warnings.append(f"one request in twenty was sent {late:.0f} ms late or later; latencies contain that")
    return warnings


def _openings(point: Point) -> list[Record]:
    """The first question of each visit, as they were due."""
    return sorted((one for one in point.records if one.question == 0), key=lambda one: one.due)


def _rate(times: Sequence[float]) -> float | None:
    if len(times) < 2 or max(times) <= min(times):
        return None
    return (len(times) - 1) / (max(times) - min(times))
