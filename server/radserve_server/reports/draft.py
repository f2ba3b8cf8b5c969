"""An answer on its way into a report, and the words in which reports tell of it."""

import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from radserve_server.answer_store import KeptAnswer
from radserve_server.reports.report_schema import Kind
from radserve_server.reports.source_images import SourceImage

MANUFACTURER = "radserve"
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Draft:
    """All that a report is made of; `version` is radserve's. The same draft gives the same UIDs."""

    answer: KeptAnswer
    images: tuple[SourceImage, ...]
    kind: Kind
    comment: str | None
    version: str

    @property
    def sop_instance_uid(self) -> str:
        """Of the report's SR."""
        return _derive_uid(f"{self.answer.answer_id} {self.kind} {self.comment or ''}")

    @property
    def series_instance_uid(self) -> str:
        """Of the series that holds the reports of one answer, and nothing else."""
        return _derive_uid(self.answer.answer_id)

    @property
    def engine(self) -> Mapping[str, Any]:
        """As it stands under `clinical`."""
        engine: Mapping[str, Any] = self.answer.clinical["engine"]
        return engine

    @property
    def engine_digest(self) -> str:
        """SHA-256 in hex, so that it is no longer than the 64 characters of an LO."""
        return str(self.engine["digest"]).removeprefix("sha256:")[:64]

    @property
    def engine_uid(self) -> str:
        """The same for the same engine, wherever it runs."""
        return _derive_uid(f"engine {self.engine_digest}")

    @property
    def question(self) -> str:
        """Never empty."""
        return clean_text(self.answer.question)

    @property
    def text(self) -> str:
        """The model's own words; never empty."""
        return clean_text(self.answer.text)

    @property
    def statement(self) -> str:
        """What this is and is not."""
        use = self.engine.get("intended_use") or "none stated, so not for clinical use"
        return f"Draft answer of a machine, not verified by a person. Intended use of the engine: {use}."

    @property
    def gate(self) -> str:
        """Whether the engine was found as good as its checkpoint."""
        gate = self.engine["gate"]
        return "passed" if gate == "passed" else f"not passed (status: {gate})"

    @property
    def warnings(self) -> tuple[str, ...]:
        """The answer's own, and what the report leaves out."""
        told = [str(warning) for warning in self.answer.clinical["warnings"]]
        others = sum(one.record["media_type"] != "application/dicom" for one in self.answer.seen)
        if others:
            told.append(f"{others} of the images shown to the model is no DICOM; only its digest is told")
        return tuple(told)

    def describe_confidence(self) -> str:
        """In words, with what it rests on."""
        clinical = self.answer.clinical
        basis, confidence = clinical["confidence_basis"], clinical["confidence"]
        if confidence is None:
            return f"not known: {basis['reason']}"
        told = f"{percent(confidence)}, calibrated on {basis['question_type']} questions"
        if clinical["abstained"]:
            return f"{told}; below the engine's threshold: the model abstains"
        return told

    def describe_images(self) -> Iterator[str]:
        """A line on each image that the model saw, in the order it saw them."""
        for number, seen in enumerate(self.answer.seen, 1):
            yield f"Image {number}: {describe_record(seen.record)}"

    def to_text(self) -> str:
        """The whole report as plain text."""
        lines = [self.statement, "", f"Question: {self.question}", f"Answer: {self.text}"]
        lines += [f"Confidence: {self.describe_confidence()}"]
        lines += [f"Warning: {warning}" for warning in self.warnings]
        lines += [] if self.comment is None else ["", f"Reader's comment: {clean_text(self.comment)}"]
        lines += ["", "What the model saw:", *self.describe_images()]
        lines += ["", f"Engine: {self.answer.model}, sha256 {self.engine_digest}, gate {self.gate}"]
        return "\n".join([*lines, f"Written by radserve {self.version}", ""])


def describe_record(record: Mapping[str, Any]) -> str:
    """A rendering record in one line."""
    told = [str(record["modality"] or record["media_type"])]
    told.append(f"frame {record['frame']} of {record['number_of_frames']}")
    place = record["slice"]
    if place is not None:
        where = "" if place["position_mm"] is None else f" at {place['position_mm']:.2f} mm"
        told.append(f"slice {place['slice']} of {place['slices']}{where}")
    told.append(_describe_window(record["voi"]))
    width, height = record["size_out"]
    told += [f"shown as {width} × {height} px", f"file sha256 {record['source_sha256']}"]
    return "; ".join([*told, f"pixels shown sha256 {record['pixels_sha256']}"])


def _describe_window(voi: Mapping[str, Any] | None) -> str:
    if voi is None:
        return "no window"
    if voi["center"] is None:
        return f"window by {voi['source']} ({voi['reason']})"
    units = "" if voi["units"] is None else f" {voi['units']}"
    window = f"window center {voi['center']:g}, width {voi['width']:g}{units}, {voi['function']}"
    return f"{window}, by {voi['source']} ({voi['reason']})"


def clean_text(text: str) -> str:
    """What UT allows (PS3.5 6.2): no control characters but tabs and line ends, and not empty."""
    return _CONTROL.sub(" ", text).strip() or "(empty)"


def percent(share: float) -> str:
    """With three digits."""
    return f"{100 * share:.3g} %"


def _derive_uid(name: str) -> str:
    """From a UUID, PS3.5 B.2; of an answer's id nobody can guess it."""
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, f'radserve {name}').int}"
