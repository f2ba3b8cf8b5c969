"""A workload is a mixture of kinds of visits, drawn at random by their shares."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

from radserve_bench.visit import Visit
from radserve_bench.workloads.kinds import Kind

_PIXELS_BITS = 16


@dataclass(frozen=True, slots=True)
class Share:
    """A kind, and how many of all visits are of it, from 0 to 1."""

    kind: Kind
    part: float


@dataclass(frozen=True, slots=True)
class Mixture:
    """`stat`: how many of the visits are urgent, from 0 to 1."""

    name: str
    description: str
    shares: Sequence[Share]
    arrivals: str = "poisson"
    stat: float = 0.0

    def visits(self, seed: int, pixels: int | None = None) -> Iterator[Visit]:
        """Visits without end; the pixels of 65,536 in a row differ, and from those of every other `pixels`, of 16 bits.

        Without it the seed draws it, so that two seeds in 65,536 have the same.
        """
        draw = random.Random(seed)
        drawn = draw.getrandbits(_PIXELS_BITS)
        first = (drawn if pixels is None else pixels % (1 << _PIXELS_BITS)) << _PIXELS_BITS
        kinds, parts = [share.kind for share in self.shares], [share.part for share in self.shares]
        for number in count():
            kind = kinds[0] if len(kinds) == 1 else draw.choices(kinds, parts)[0]
            yield kind.visit(first + number, self.stat > 0 and draw.random() < self.stat)
