"""How long the run takes, and how sure its figures are."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds, but for counts. Streams start within `start_s`, settle for `settle_s`, and are watched in `windows`.

    A round of questions is to take `round_s`, and has `least` to `most` of them.
    """

    start_s: float = 0.5
    settle_s: float = 0.7
    window_s: float = 0.8
    windows: int = 3
    round_s: float = 1.2
    rounds: int = 3
    least: int = 3
    most: int = 150


THOROUGH = Pace()
HASTY = Pace(start_s=0.1, settle_s=0.1, window_s=0.2, windows=2, round_s=0.1, rounds=2, most=6)
"""To see that it works."""
