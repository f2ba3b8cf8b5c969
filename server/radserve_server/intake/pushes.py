"""One push, by an association or a request: its limits, and what became of each of its instances."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from radserve_server.errors import InstanceRefused
from radserve_server.intake.configuration import LimitsTable
from radserve_server.intake.instances import MISMATCH, OUT_OF_RESOURCES, Instance, read_instance
from radserve_server.intake.spool import Spool
from radserve_server.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Reception:
    """Takes pushes in. From any thread, `note_growth` is told the study of each instance that is new, and
    `note_release` the studies of a push that is over.
    """

    spool: Spool
    limits: LimitsTable
    metrics: Metrics
    note_growth: Callable[[str], None]
    note_release: Callable[[Iterable[str]], None]

    def note_end(self, push: "Push") -> None:
        """A push is over: nothing more comes by it."""
        self.note_release(push.studies)

    def begin(self, sender: str | None) -> "Push":
        """A push by the peer of that AE title, or by STOW-RS."""
        return Push(self, sender)


@dataclass(slots=True)
class Push:
    """Used by one thread at a time. `studies` are those that it has added to."""

    reception: Reception
    sender: str | None
    size: int = 0
    stored: int = 0
    refused: int = 0
    studies: set[str] = field(default_factory=set)

    def take(self, data: bytes, *, study: str | None = None, sop: tuple[str, str] | None = None) -> Instance:
        """Keep one DICOM file, of that study, and of that SOP class and instance; raises InstanceRefused."""
        instance: Instance | None = None
        try:
            self._check_size(len(data))
            instance = read_instance(data, self.sender)
            _check_names(instance, study, sop)
            outcome = self.reception.spool.put(instance, data)
        except InstanceRefused as error:
            if instance is not None:
                error.instance = instance.entry.sop_class or "", instance.address.instance
            self.refuse(error)
            raise
        self.stored += 1
        self.reception.metrics.intake_instances.labels(outcome).inc()
        if outcome != "known":
            self.studies.add(instance.address.study)
            self.reception.note_growth(instance.address.study)
        return instance

    def refuse(self, error: InstanceRefused) -> None:
        """Count an instance that is not taken."""
        self.refused += 1
        self.reception.metrics.intake_instances.labels(error.code).inc()

    def _check_size(self, size: int) -> None:
        limits = self.reception.limits
        if size > limits.instance_bytes:
            raise refuse_size(limits.instance_bytes)
        self.size += size
        if self.size > limits.push_bytes or self.stored + self.refused >= limits.push_instances:
            message = f"one push has {limits.push_instances:,} instances at most, {limits.push_bytes:,} bytes"
            raise InstanceRefused(message, OUT_OF_RESOURCES, code="push_too_large")


def _check_names(instance: Instance, study: str | None, sop: tuple[str, str] | None) -> None:
    address = instance.address
    if sop is not None and sop != (instance.entry.sop_class, address.instance):
        message = "its SOP UIDs are not those it was announced by"
        raise InstanceRefused(message, MISMATCH, code="instance_mismatch")
    if study is not None and study != address.study:
        raise InstanceRefused("it is of another study than the URL's", MISMATCH, code="wrong_study")


def refuse_size(limit: int) -> InstanceRefused:
    """The error for an instance over the limit."""
    return InstanceRefused(f"it is over {limit:,} bytes", OUT_OF_RESOURCES, code="instance_too_large")
