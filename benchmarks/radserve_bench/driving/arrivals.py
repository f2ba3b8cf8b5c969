"""When visits come, under open load."""

import random


def arrival_times(rate: float, seconds: float, pattern: str, seed: int) -> list[float]:
    """Seconds from the start, in order; `rate` visits a second.

    "even": one each 1/rate. "poisson": exponential gaps, scaled so that exactly round(rate · seconds) fall into the
    time: given their number, the times of a Poisson process are uniform, so nothing else of it changes, and two
    targets get the same amount of work.
    """
    count = max(1, round(rate * seconds))
    if pattern == "even":
        return [index / rate for index in range(count)]
    draw = random.Random(seed)
    return sorted(draw.uniform(0.0, count / rate) for _ in range(count))
