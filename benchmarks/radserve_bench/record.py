"""What is kept of every request and of every point; all figures of a report are computed from these.

Times of a record are seconds since its point began, on one monotonic clock.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

STAGES = ("upload", "fetch", "wait", "image", "render", "admission", "queue", "vision", "prefill", "decode")
"""Where a request's time goes, in the order in which it passes: upload of its bytes; fetch from where they lie (data
URI, archive); wait for a decoding worker; image: decoding; render: window, resize; admission by the gateway; the
engine's queue; vision encoder; prefill; decode of the answer's tokens."""


@dataclass(slots=True)
class Record:
    """One request.

    `due` is when it should have been sent and `sent` when its first byte was about to be: under open load, latencies
    count from `due`, so that a late generator or a full server cannot hide its queue. `first` is the first text,
    `end` the end of the answer, `events` the arrival of each event with text. `error` is None for a whole answer,
    else the kind of its failure (`radserve_bench.errors`), and `message` what was said. Token counts are the
    server's usage. `split` has milliseconds for those of STAGES that the target tells. `asked` is the exact length that
    the answer was to have, in tokens; None for the model's own end.
    """

    kind: str
    stat: bool
    visit: int
    question: int
    due: float
    sent: float
    first: float | None = None
    end: float | None = None
    events: list[float] = field(default_factory=list)
    prompt_tokens: int = 0
    tokens: int = 0
    error: str | None = None
    message: str | None = None
    split: dict[str, float] = field(default_factory=dict)
    asked: int | None = None

    @property
    def answered(self) -> bool:
        """Whether the whole answer came."""
        return self.error is None and self.first is not None and self.end is not None

    @property
    def ttft_s(self) -> float | None:
        """From when it was due to its first text."""
        return None if not self.answered or self.first is None else self.first - self.due

    @property
    def total_s(self) -> float | None:
        """From when it was due to the end of its answer."""
        return None if not self.answered or self.end is None else self.end - self.due

    @property
    def itl_s(self) -> float | None:
        """What the answer took after its first text, for each further token.

        None for answers of one token, and for those that came all at once: they do not tell when tokens were made.
        """
        if not self.answered or self.first is None or self.end is None or self.tokens < 2:
            return None
        if len(self.events) == 1 or self.end <= self.first:
            return None
        return (self.end - self.first) / (self.tokens - 1)

    def to_json(self) -> dict[str, Any]:
        """As kept in requests.jsonl."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Load:
    """Closed: `amount` askers, each with one request in flight. Open: `amount` visits a second, come what may."""

    kind: Literal["closed", "open"]
    amount: float

    def __str__(self) -> str:
        return f"{self.amount:g} at once" if self.kind == "closed" else f"{self.amount:g}/s"


@dataclass(frozen=True, slots=True)
class Usage:
    """What the target's processes used during a point; None for what cannot be known here.

    CPU seconds of all its processes; its greatest memory, bytes (proportional set size); energy (J) and mean power
    (W) of the GPUs, all of the machine's together. `others_share`: of the machine's processor time, what went to
    programs other than the target and the load generator, 0 to 1.
    """

    cpu_s: float | None = None
    memory_bytes: int | None = None
    gpu_energy_j: float | None = None
    gpu_power_w: float | None = None
    gpu_memory_bytes: int | None = None
    others_share: float | None = None


@dataclass(slots=True)
class Point:
    """One target under one load for one round.

    `wall_s` runs from its first request's sending to its last end; of open load, over the load's time to the last end
    if that is later.

    `planned` is how many requests it was to have; `complete` is False where it was interrupted. `generator_cpu` is
    the load generator's own CPU seconds, `generator_lag_s` its event loop's longest delay: a generator that is late
    measures itself.
    """

    target: str
    workload: str
    load: Load
    round: int
    planned: int
    records: list[Record] = field(default_factory=list)
    wall_s: float = 0.0
    complete: bool = True
    usage: Usage = field(default_factory=Usage)
    generator_cpu_s: float = 0.0
    generator_lag_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Description:
    """What a target says of itself, as it stands in a report. `details` are JSON values: precision, gate, versions …"""

    name: str
    kind: str
    model: str
    digest: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
