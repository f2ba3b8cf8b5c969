"""Endless repetition: when the tail of an answer is one block of tokens, said over and over.

A greedy model that falls into a loop does not leave it, and would hold its slot to the greatest length. But medical
text repeats itself too ("no, no, no", the cells of a table, a list of normal findings), so the loop must be certain:
the same block of at most `LONGEST_PERIOD` tokens, token for token, at least `LEAST_REPEATS` times in a row, and
at least `LEAST_TOKENS` tokens in all. A word said 32 times is cut, "no, " said 16 times, a sentence of 20 tokens
said four times. What changes from one round to the next ("1. normal 2. normal") is never cut here.
"""

from collections import deque
from dataclasses import dataclass, field

LONGEST_PERIOD = 32
LEAST_REPEATS = 4
LEAST_TOKENS = 32


@dataclass(slots=True)
class RepetitionWatch:
    """Is told every token once; a token costs one comparison for each period."""

    found: bool = False
    _recent: deque[int] = field(default_factory=lambda: deque(maxlen=LONGEST_PERIOD))
    _matches: list[int] = field(default_factory=lambda: [0] * LONGEST_PERIOD)

    def push(self, token_id: int) -> None:
        """Sets `found` once the tail is a loop; it stays so."""
        for place, earlier in enumerate(reversed(self._recent)):
            period = place + 1
            self._matches[place] = self._matches[place] + 1 if earlier == token_id else 0
            # The first of the blocks matches nothing before it.
            if self._matches[place] + period >= max(LEAST_REPEATS * period, LEAST_TOKENS):
                self.found = True
        self._recent.append(token_id)
