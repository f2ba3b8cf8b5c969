"""What passes between Triton's process and the engine's. Both ends are ours, so pickle will do."""

from dataclasses import dataclass

from radserve_engines.errors import EngineError
from radserve_engines.generation import Delta, Generation
from radserve_engines.manifest import EngineManifest
from radserve_engines.runtime.protocol import Load

Item = Delta | EngineError


@dataclass(frozen=True, slots=True)
class Started:
    """The engine has answered its first question."""

    manifest: EngineManifest


@dataclass(frozen=True, slots=True)
class Refused:
    """The engine does not start, for this reason."""

    reason: str


@dataclass(frozen=True, slots=True)
class Ask:
    """A question; `number` is the asker's."""

    number: int
    generation: Generation


@dataclass(frozen=True, slots=True)
class Cancel:
    """The asker no longer wants the answer."""

    number: int


@dataclass(frozen=True, slots=True)
class Probe:
    """Turn once and send a batch, empty if need be."""


@dataclass(frozen=True, slots=True)
class Stop:
    """End."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one turn of the engine's loop brought, and what it is busy with."""

    items: tuple[tuple[int, Item], ...]
    load: Load
