"""What a reader would still call prompt."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from radserve_bench.record import Record


@dataclass(frozen=True, slots=True)
class Slo:
    """Bounds in milliseconds, None where there is none: to the first text, a token after it, the whole answer."""

    ttft_ms: float | None = None
    itl_ms: float | None = None
    total_ms: float | None = None

    @property
    def stated(self) -> bool:
        """Whether there is any bound."""
        return any(bound is not None for bound in (self.ttft_ms, self.itl_ms, self.total_ms))

    def met_by(self, record: Record) -> bool:
        """Whether the whole answer came within every bound; one token has no ITL, and so cannot exceed it."""
        if not record.answered:
            return False
        pairs = (
            (record.ttft_s, self.ttft_ms),
            (record.itl_s, self.itl_ms),
            (record.total_s, self.total_ms),
        )
        return all(bound is None or time is None or 1e3 * time <= bound for time, bound in pairs)

    def to_json(self) -> Mapping[str, float | None]:
        """As it stands in the document."""
        return asdict(self)

    def __str__(self) -> str:
        names = (("TTFT", self.ttft_ms), ("ITL", self.itl_ms), ("whole answer", self.total_ms))
        return ", ".join(f"{name} ≤ {bound:g} ms" for name, bound in names if bound is not None) or "none"
