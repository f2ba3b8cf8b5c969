"""The DICOM instances that an answer is about, with as much of their headers as a report repeats."""

import asyncio
import io
import re
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import pydicom
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.multival import MultiValue

from radserve_server.answer_store import KeptAnswer, Seen
from radserve_server.errors import InvalidRequest, NotFound
from radserve_server.pacs.archive import InstanceAddress
from radserve_server.pictures import DICOM
from radserve_server.services import Services

# pydicom's warnings repeat the values that break a rule, and these are a patient's: none of that in a log.
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE

PATIENT_TAGS = (
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "TypeOfPatientID",
    "IssuerOfPatientIDQualifiersSequence",
    "PatientBirthDate",
    "PatientSex",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "DeidentificationMethodCodeSequence",
)
STUDY_TAGS = (
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "StudyDescription",
    "AccessionNumber",
    "IssuerOfAccessionNumberSequence",
    "ReferringPhysicianName",
)
_INSTANCE_TAGS = (
    "SpecificCharacterSet",
    "TimezoneOffsetFromUTC",
    "SeriesInstanceUID",
    "SOPInstanceUID",
    "SOPClassUID",
    "Modality",
    "InstanceNumber",
    "NumberOfFrames",
    "Rows",  # highdicom takes an instance for an image by this
)
_UNREADABLE = (
    *(InvalidDicomError, BytesLengthException, NotImplementedError, RecursionError, OSError),
    *(AttributeError, LookupError, TypeError, ValueError, struct.error, zlib.error),
)
"""What pydicom raises of bytes that do not keep to the rules."""

_SEVERAL = re.compile("0*([2-9]|[1-9][0-9]+)")
_SINGLE_FRAME = frozenset(
    {
        uid.ComputedRadiographyImageStorage,
        uid.DigitalXRayImageStorageForPresentation,
        uid.DigitalXRayImageStorageForProcessing,
        uid.DigitalMammographyXRayImageStorageForPresentation,
        uid.DigitalMammographyXRayImageStorageForProcessing,
        uid.CTImageStorage,
        uid.MRImageStorage,
        uid.UltrasoundImageStorage,
        uid.SecondaryCaptureImageStorage,
        uid.PositronEmissionTomographyImageStorage,
    }
)


@dataclass(frozen=True, slots=True)
class SourceImage:
    """An instance and the frames of it (from 1) that the model saw; `pacs` is None for an upload."""

    header: Dataset
    pacs: str | None
    frames: tuple[int, ...]

    @property
    def study(self) -> str:
        """Study Instance UID (0020,000D)."""
        return str(self.header.StudyInstanceUID)

    @property
    def patient(self) -> tuple[str, str]:
        """Patient ID (0010,0020) and its issuer, as they stand in the file."""
        return _read_text(self.header, "PatientID"), _read_text(self.header, "IssuerOfPatientID")

    @property
    def is_multiframe(self) -> bool:
        """Whether a reference to it names frames; objects of a class for one image may not, whatever they hold."""
        several = _SEVERAL.fullmatch(str(self.header.get("NumberOfFrames") or "").strip()) is not None
        return several and self.header.SOPClassUID not in _SINGLE_FRAME


async def gather_images(services: Services, caller: str, answer: KeptAnswer) -> tuple[SourceImage, ...]:
    """The DICOM images of an answer, those of the current study first.

    Raises InvalidRequest where there are none, or they are of several patients; NotFound; ArchiveError.
    """
    seen = [one for one in answer.seen if one.record["media_type"] == DICOM]
    if not seen:
        raise InvalidRequest(
            "the answer is about no DICOM image, so there is no patient or study to report on",
            code="no_dicom_image",
            param="answer_id",
        )
    frames: dict[InstanceAddress | str, list[int]] = {}
    for one in seen:
        frames.setdefault(one.image, []).append(one.frame)
    headers = await asyncio.gather(*(_read_header(services, caller, image) for image in frames))
    images = tuple(
        SourceImage(header, None if isinstance(image, str) else image.pacs, tuple(sorted(set(shown))))
        for header, (image, shown) in zip(headers, frames.items(), strict=True)
    )
    _check_patient(images)
    return images


def first_address(seen: Sequence[Seen]) -> InstanceAddress | None:
    """Where the first image that lies in an archive lies."""
    return next((one.image for one in seen if isinstance(one.image, InstanceAddress)), None)


async def _read_header(services: Services, caller: str, image: InstanceAddress | str) -> Dataset:
    if isinstance(image, InstanceAddress):
        data = await services.archives.get(image.pacs, "answer_id").fetch(image)
    else:
        data = _find_upload(services, caller, image)
    return await asyncio.to_thread(_parse_header, data)


def _find_upload(services: Services, caller: str, image_id: str) -> bytes:
    try:
        return services.store.get(caller, image_id, "answer_id").data
    except NotFound as error:
        raise NotFound(
            "an image of this answer is not kept here, so its patient and study are not known: upload it with "
            "POST /v1/images, and ask about it by its id",
            code=error.code,
            param="answer_id",
        ) from None


def _parse_header(data: bytes) -> Dataset:
    tags = [*PATIENT_TAGS, *STUDY_TAGS, *_INSTANCE_TAGS]
    try:
        header = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True, force=True, specific_tags=tags)
        for tag in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"):
            if not header.get(tag):
                raise InvalidRequest(f"an image has no {tag}, which a report on it needs", param="answer_id")
        header.decode()
    except _UNREADABLE:
        raise InvalidRequest("the header of an image cannot be read", param="answer_id") from None
    return header


def _check_patient(images: Sequence[SourceImage]) -> None:
    if len({image.patient for image in images}) > 1:
        raise InvalidRequest(
            "the images are of several patients (PatientID or IssuerOfPatientID differ), and a report is of one",
            code="several_patients",
            param="answer_id",
        )


def _read_text(header: Dataset, keyword: str) -> str:
    """A backslash makes several values of an LO, also where a hospital's identifiers have one."""
    value = header.get(keyword)
    return "\\".join(value) if isinstance(value, MultiValue) else str(value or "").strip()
