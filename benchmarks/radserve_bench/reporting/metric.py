"""What a figure's declaration holds."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from radserve_bench.record import Point
from radserve_bench.reporting.samples import quantile
from radserve_bench.reporting.slo import Slo


@dataclass(frozen=True, slots=True)
class Terms:
    """What answers are judged by: the bounds, and what an hour of what runs the target costs."""

    slo: Slo = field(default_factory=Slo)
    price_per_hour: float | None = None


@dataclass(frozen=True, slots=True)
class Quantile:
    """A quantile over the answers of a point."""

    sample: Callable[[Point], list[float]]
    share: float

    def __call__(self, point: Point, terms: Terms) -> float | None:
        return quantile(self.sample(point), self.share)

    @property
    def formula(self) -> str:
        return f"{100 * self.share:g} % of answers have no more: {self.sample.__doc__}"


@dataclass(frozen=True, slots=True)
class Mean:
    """The arithmetic mean over the answers of a point."""

    sample: Callable[[Point], list[float]]

    def __call__(self, point: Point, terms: Terms) -> float | None:
        values = self.sample(point)
        return sum(values) / len(values) if values else None

    @property
    def formula(self) -> str:
        return f"mean: {self.sample.__doc__}"


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure of a point; `compute` gives None where it cannot be told."""

    key: str
    title: str
    unit: str
    better: Literal["higher", "lower", "neither"]
    compute: Callable[[Point, Terms], float | None]

    @property
    def formula(self) -> str:
        """In words."""
        if isinstance(self.compute, Quantile | Mean):
            return self.compute.formula
        return " ".join((self.compute.__doc__ or "").split())

    @property
    def pooled(self) -> bool:
        """Whether the answers of all rounds together can tell it where those of one are too few."""
        return isinstance(self.compute, Quantile)

    def to_json(self) -> dict[str, str]:
        """As it stands in the document's legend."""
        return {"title": self.title, "unit": self.unit, "better": self.better, "formula": self.formula}
