"""Every figure of a point, declared: its key, title, unit, which way is better, and its formula in words.

Rates are over the point's wall time, from the first request's sending to the last end (of open load, all its time),
and count whole answers only: a request that failed adds to the time and to nothing else.
"""

from collections import Counter

from radserve_bench.record import Point, Record
from radserve_bench.reporting import arrivals
from radserve_bench.reporting.metric import Mean, Metric, Quantile, Terms
from radserve_bench.reporting.samples import (
    itl_ms,
    lateness_ms,
    pause_ms,
    routine_ttft_ms,
    stat_ttft_ms,
    stream_rates,
    total_ms,
    ttft_ms,
)

_MIB = 1024**2


def measure(point: Point, terms: Terms) -> dict[str, float]:
    """All figures that this point can tell."""
    found = {metric.key: metric.compute(point, terms) for metric in METRICS}
    return {key: value for key, value in found.items() if value is not None}


def count_errors(point: Point) -> dict[str, int]:
    """Failed requests by the kind of failure, the most frequent first."""
    kinds = Counter(record.error or "failed" for record in point.records if not record.answered)
    return dict(kinds.most_common())


def requests_per_s(point: Point, terms: Terms) -> float | None:
    """whole answers over wall time"""
    return _over_wall(len(_answered(point)), point)


def tokens_per_s(point: Point, terms: Terms) -> float | None:
    """tokens of whole answers, by the server's usage, over wall time"""
    return _over_wall(sum(record.tokens for record in _answered(point)), point)


def tokens_per_answer(point: Point, terms: Terms) -> float | None:
    """tokens of whole answers, by the server's usage, over whole answers"""
    return _over_answers(sum(record.tokens for record in _answered(point)), point)


def prompt_tokens_per_answer(point: Point, terms: Terms) -> float | None:
    """prompt tokens of whole answers, by the server's usage, over whole answers"""
    return _over_answers(sum(record.prompt_tokens for record in _answered(point)), point)


def tokens_per_event(point: Point, terms: Terms) -> float | None:
    """tokens of whole answers over their events with text: above 1, tokens came together, or had no text"""
    events = sum(len(record.events) for record in _answered(point))
    return sum(record.tokens for record in _answered(point)) / events if events else None


def goodput_per_s(point: Point, terms: Terms) -> float | None:
    """whole answers within the SLO over wall time"""
    return _over_wall(sum(map(terms.slo.met_by, point.records)), point) if terms.slo.stated else None


def slo_share(point: Point, terms: Terms) -> float | None:
    """answers within the SLO over all requests, those that failed too"""
    if not point.records or not terms.slo.stated:
        return None
    return sum(map(terms.slo.met_by, point.records)) / len(point.records)


def error_share(point: Point, terms: Terms) -> float | None:
    """requests without a whole answer over all requests"""
    return 1 - len(_answered(point)) / len(point.records) if point.records else None


def under_way(point: Point, terms: Terms) -> float | None:
    """requests under way at once on the average: the time of each from its sending to its end, added, over wall time"""
    return _over_wall(sum((one.end or one.sent) - one.sent for one in point.records), point)


def offered_per_s(point: Point, terms: Terms) -> float | None:
    """open load: visits that came a second, from the first to the last"""
    return arrivals.offered_per_s(point)


def achieved_per_s(point: Point, terms: Terms) -> float | None:
    """open load: visits that ended a second, from the first to the last, times the share that was wholly answered"""
    return arrivals.achieved_per_s(point)


def queue_growth_ms(point: Point, terms: Terms) -> float | None:
    """open load: median TTFT of the last third of the visits' first questions less that of the first third"""
    return arrivals.queue_growth_ms(point)


def cpu_s_per_answer(point: Point, terms: Terms) -> float | None:
    """CPU seconds of all processes of the target over whole answers"""
    return _over_answers(point.usage.cpu_s, point)


def cpu_cores(point: Point, terms: Terms) -> float | None:
    """CPU seconds of all processes of the target over wall time"""
    return _over_wall(point.usage.cpu_s, point)


def memory_mib(point: Point, terms: Terms) -> float | None:
    """greatest memory of all processes of the target together"""
    return None if point.usage.memory_bytes is None else point.usage.memory_bytes / _MIB


def gpu_memory_mib(point: Point, terms: Terms) -> float | None:
    """greatest memory in use on the machine's GPUs together"""
    return None if point.usage.gpu_memory_bytes is None else point.usage.gpu_memory_bytes / _MIB


def gpu_power_w(point: Point, terms: Terms) -> float | None:
    """mean power of the machine's GPUs together"""
    return point.usage.gpu_power_w


def energy_j_per_answer(point: Point, terms: Terms) -> float | None:
    """energy of the machine's GPUs over whole answers"""
    return _over_answers(point.usage.gpu_energy_j, point)


def cost_per_1000_answers(point: Point, terms: Terms) -> float | None:
    """price of an hour / 3600 × wall time / whole answers × 1000"""
    return _cost_of_each(len(_answered(point)), 1e3, point, terms)


def cost_per_million_tokens(point: Point, terms: Terms) -> float | None:
    """price of an hour / 3600 × wall time / tokens of whole answers × 1,000,000"""
    return _cost_of_each(sum(record.tokens for record in _answered(point)), 1e6, point, terms)


def others_share(point: Point, terms: Terms) -> float | None:
    """CPU seconds of programs other than the target and the load generator over all that the machine's cores had"""
    return point.usage.others_share


def generator_cores(point: Point, terms: Terms) -> float | None:
    """CPU seconds of the load generator over wall time"""
    return _over_wall(point.generator_cpu_s, point)


def generator_lag_ms(point: Point, terms: Terms) -> float | None:
    """longest time for which the load generator's event loop stood still"""
    return 1e3 * point.generator_lag_s if point.records else None


METRICS = (
    Metric("ttft_p50_ms", "TTFT p50", "ms", "lower", Quantile(ttft_ms, 0.50)),
    Metric("ttft_p95_ms", "TTFT p95", "ms", "lower", Quantile(ttft_ms, 0.95)),
    Metric("ttft_p99_ms", "TTFT p99", "ms", "lower", Quantile(ttft_ms, 0.99)),
    Metric("ttft_mean_ms", "TTFT mean", "ms", "lower", Mean(ttft_ms)),
    Metric("itl_p50_ms", "ITL p50", "ms/token", "lower", Quantile(itl_ms, 0.50)),
    Metric("itl_p95_ms", "ITL p95", "ms/token", "lower", Quantile(itl_ms, 0.95)),
    Metric("itl_mean_ms", "ITL mean", "ms/token", "lower", Mean(itl_ms)),
    Metric("pause_p50_ms", "longest pause p50", "ms", "lower", Quantile(pause_ms, 0.50)),
    Metric("pause_p95_ms", "longest pause p95", "ms", "lower", Quantile(pause_ms, 0.95)),
    Metric("total_p50_ms", "whole answer p50", "ms", "lower", Quantile(total_ms, 0.50)),
    Metric("total_p95_ms", "whole answer p95", "ms", "lower", Quantile(total_ms, 0.95)),
    Metric("total_p99_ms", "whole answer p99", "ms", "lower", Quantile(total_ms, 0.99)),
    Metric("total_mean_ms", "whole answer mean", "ms", "lower", Mean(total_ms)),
    Metric("stat_ttft_p50_ms", "STAT TTFT p50", "ms", "lower", Quantile(stat_ttft_ms, 0.50)),
    Metric("stat_ttft_p95_ms", "STAT TTFT p95", "ms", "lower", Quantile(stat_ttft_ms, 0.95)),
    Metric("routine_ttft_p50_ms", "routine TTFT p50", "ms", "lower", Quantile(routine_ttft_ms, 0.50)),
    Metric("routine_ttft_p95_ms", "routine TTFT p95", "ms", "lower", Quantile(routine_ttft_ms, 0.95)),
    Metric("requests_per_s", "answers", "1/s", "higher", requests_per_s),
    Metric("tokens_per_s", "tokens", "1/s", "higher", tokens_per_s),
    Metric("stream_tokens_per_s", "tokens of one stream", "1/s", "higher", Quantile(stream_rates, 0.50)),
    Metric("tokens_per_answer", "tokens an answer", "1", "neither", tokens_per_answer),
    Metric("prompt_tokens_per_answer", "prompt tokens", "1", "neither", prompt_tokens_per_answer),
    Metric("tokens_per_event", "tokens an event", "1", "neither", tokens_per_event),
    Metric("under_way", "under way at once", "1", "neither", under_way),
    Metric("offered_per_s", "visits offered", "1/s", "neither", offered_per_s),
    Metric("achieved_per_s", "visits answered", "1/s", "higher", achieved_per_s),
    Metric("queue_growth_ms", "growth of the wait", "ms", "lower", queue_growth_ms),
    Metric("goodput_per_s", "answers within the SLO", "1/s", "higher", goodput_per_s),
    Metric("slo_share", "share within the SLO", "1", "higher", slo_share),
    Metric("error_share", "share of errors", "1", "lower", error_share),
    Metric("cpu_s_per_answer", "CPU an answer", "s", "lower", cpu_s_per_answer),
    Metric("cpu_cores", "CPU cores in use", "1", "lower", cpu_cores),
    Metric("memory_mib", "peak memory", "MiB", "lower", memory_mib),
    Metric("gpu_memory_mib", "peak GPU memory", "MiB", "lower", gpu_memory_mib),
    Metric("gpu_power_w", "GPU power", "W", "lower", gpu_power_w),
    Metric("energy_j_per_answer", "GPU energy an answer", "J", "lower", energy_j_per_answer),
    Metric("cost_per_1000_answers", "cost of 1,000 answers", "of the price", "lower", cost_per_1000_answers),
    Metric(
        "cost_per_million_tokens",
        "cost of a million tokens",
        "of the price",
        "lower",
        cost_per_million_tokens,
    ),
    Metric("others_share", "others' share of the processors", "1", "neither", others_share),
    Metric("generator_cores", "load generator's cores", "1", "lower", generator_cores),
    Metric("generator_lag_ms", "load generator's lag", "ms", "lower", generator_lag_ms),
    Metric("lateness_p95_ms", "sent late p95", "ms", "lower", Quantile(lateness_ms, 0.95)),
)


def _answered(point: Point) -> list[Record]:
    return [record for record in point.records if record.answered]


def _over_wall(amount: float | None, point: Point) -> float | None:
    return None if amount is None or point.wall_s <= 0 else amount / point.wall_s


def _over_answers(amount: float | None, point: Point) -> float | None:
    answers = len(_answered(point))
    return None if amount is None or not answers else amount / answers


def _cost_of_each(amount: int, many: float, point: Point, terms: Terms) -> float | None:
    if terms.price_per_hour is None or not amount:
        return None
    return terms.price_per_hour / 3600 * point.wall_s / amount * many
