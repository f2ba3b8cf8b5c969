"""From an answer to a report in an archive."""

import asyncio
from dataclasses import dataclass
from typing import Any

from radserve_server.answer_store import KeptAnswer
from radserve_server.errors import InvalidRequest
from radserve_server.pacs.archive import INTAKE, Archive
from radserve_server.release import own_version
from radserve_server.reports.draft import Draft
from radserve_server.reports.fhir import describe_report
from radserve_server.reports.report_schema import ReportRequest
from radserve_server.reports.source_images import first_address, gather_images
from radserve_server.services import Services

_SOP_CLASSES = {
    "basic_text": ("1.2.840.10008.5.1.4.1.1.88.11", "Basic Text SR Storage"),
    "tid1500": ("1.2.840.10008.5.1.4.1.1.88.34", "Comprehensive 3D SR Storage"),
}
_NOT_SHOWN = (
    "OHIF 3.13.2 shows nothing of a measurement report without a region in an image, such as this one; it shows kind "
    "basic_text"
)


@dataclass(frozen=True, slots=True)
class Report:
    """A report as made: its SR as a file, where it was stored (None: nowhere), whether that was done before."""

    draft: Draft
    data: bytes
    stored_to: str | None
    already_filed: bool

    def to_json(self) -> dict[str, Any]:
        """The answer of POST /v1/reports."""
        draft = self.draft
        uid, name = _SOP_CLASSES[draft.kind]
        return {
            "object": "report",
            "answer_id": draft.answer.answer_id,
            "kind": draft.kind,
            "sop_class": {"uid": uid, "name": name},
            "sop_instance_uid": draft.sop_instance_uid,
            "series": draft.series_instance_uid,
            "study": draft.images[0].study,
            "stored_to": self.stored_to,
            "already_filed": self.already_filed,
            "bytes": len(self.data),
            "fhir": describe_report(draft),
            "warnings": self._warnings(),
        }

    def _warnings(self) -> list[str]:
        told = list(self.draft.warnings)
        return [*told, _NOT_SHOWN] if self.draft.kind == "tid1500" else told


async def file_report(services: Services, caller: str, wanted: ReportRequest) -> Report:
    """Make the report of an answer that was given to `caller`, and store it if wanted.

    The same answer is stored once: again, and nothing happens. Raises GatewayError.
    """
    answer = services.answers.get(caller, wanted.answer_id, "answer_id")
    archive = _find_archive(services, answer, wanted) if wanted.store else None
    key = (answer.answer_id, wanted.kind)
    async with services.reports.turn(key):
        images = await gather_images(services, caller, answer)
        draft = Draft(answer, images, wanted.kind, wanted.comment, own_version())
        data = await asyncio.to_thread(_write, draft)
        if archive is None:
            return Report(draft, data, None, False)
        if services.reports.is_filed(key, draft.sop_instance_uid, archive.name):
            return Report(draft, data, archive.name, True)
        await archive.store([data])
        services.reports.note(key, draft.sop_instance_uid, archive.name)
    _note_filing(services, caller, draft, archive.name)
    return Report(draft, data, archive.name, False)


def _find_archive(services: Services, answer: KeptAnswer, wanted: ReportRequest) -> Archive:
    """Before any work is done; what was pushed here is kept too shortly to hold a report."""
    if wanted.pacs == INTAKE:
        raise InvalidRequest(f"{INTAKE} keeps nothing for good: name another PACS", param="pacs")
    address = first_address(answer.seen)
    if wanted.pacs is None and (address is None or address.pacs == INTAKE):
        raise InvalidRequest(
            f"the images were {'pushed' if address else 'uploaded'} here, so there is no PACS they came from: name "
            "the one to store to, or set store to false",
            code="missing_field",
            param="pacs",
        )
    origin = None if address is None else address.pacs
    return services.archives.get(wanted.pacs or origin, "pacs")


def _write(draft: Draft) -> bytes:
    """highdicom takes a while to import, and only reports need it."""
    if draft.kind == "tid1500":
        from radserve_server.reports.measurement_report import write_measurement_report

        return write_measurement_report(draft)
    from radserve_server.reports.basic_text import write_basic_text

    return write_basic_text(draft)


def _note_filing(services: Services, caller: str, draft: Draft, archive: str) -> None:
    services.audit.note(
        "report_filed",
        caller,
        answer_id=draft.answer.answer_id,
        engine_digest=draft.engine["digest"],
        kind=draft.kind,
        pacs=archive,
        study=draft.images[0].study,
        sop_instance_uid=draft.sop_instance_uid,
        commented=draft.comment is not None,
    )
