"""The seam between what is asked and how it is sent."""

from collections.abc import Iterator
from typing import Protocol

from radserve_bench.visit import Visit


class Workload(Protocol):
    """A named stream of visits, the same for the same seed.

    `arrivals` says how visits come under open load: "poisson" or "even". Consecutive visits never hold the same
    pixels, so that no cache of an engine or gateway answers for the work (except within a visit, where it should).
    """

    @property
    def name(self) -> str: ...

    @property
    def description(self) -> str: ...

    @property
    def arrivals(self) -> str: ...

    def visits(self, seed: int, pixels: int | None = None) -> Iterator[Visit]:
        """Visits without end. Another `pixels` gives the same kinds in the same order, but none of the same pixels."""
        ...
