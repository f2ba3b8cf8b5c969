"""What the machine's other programs took of its processors while something was measured.

On a busy machine targets do not suffer alike: threads that wait for each other at every layer, as PyTorch's do, lose
far more to a neighbour than those that do not, so that not even ratios are what they are on a quiet one.
"""

import os
import time

import psutil

_IDLE = ("idle", "iowait", "guest", "guest_nice")
"""Guests are counted under user time already."""


class Bystanders:
    """Between `start` and `stop`; whoever is neither this process nor named by its caller."""

    def __init__(self) -> None:
        self._busy = self._own = self._began = 0.0

    def start(self) -> None:
        """Begin to count."""
        self._busy, self._own, self._began = busy_s(), time.process_time(), time.perf_counter()

    def stop(self, target_s: float) -> float:
        """Share of all the machine's processor time, 0 to 1, beyond `target_s`, the target's CPU seconds."""
        elapsed = time.perf_counter() - self._began
        others = busy_s() - self._busy - (time.process_time() - self._own) - target_s
        return min(max(others / (elapsed * (os.cpu_count() or 1)), 0.0), 1.0) if elapsed > 0 else 0.0


def busy_s() -> float:
    """CPU seconds of all cores since the machine was started, with those that a hypervisor took."""
    times = psutil.cpu_times()
    return float(sum(value for name, value in times._asdict().items() if name not in _IDLE))
