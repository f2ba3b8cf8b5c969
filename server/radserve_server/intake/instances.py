"""What the intake must know of an instance, out of its header alone: nothing is decoded."""

import hashlib
from dataclasses import dataclass

from radserve_imaging import ImagingError, Limits, list_planes
from radserve_imaging.attributes import Attributes
from radserve_imaging.part10 import DicomFile, open_part10
from radserve_imaging.syntaxes import DECODED
from radserve_imaging.tags import MODALITY, SERIES_INSTANCE_UID, SOP_CLASS_UID, SOP_INSTANCE_UID
from radserve_server.errors import InstanceRefused
from radserve_server.pacs.archive import INTAKE, InstanceAddress, InstanceEntry, SeriesEntry
from radserve_server.uids import is_uid

OUT_OF_RESOURCES, MISMATCH, NOT_UNDERSTOOD, SYNTAX_NOT_SUPPORTED = (
    0xA700,
    0xA900,
    0xC000,
    0xC122,
)  # PS3.4 B.2.3

_SPECIFIC_CHARACTER_SET = 0x00080005
_STUDY_DESCRIPTION = 0x00081030
_SERIES_DESCRIPTION = 0x0008103E
_BODY_PART_EXAMINED = 0x00180015
_STUDY_INSTANCE_UID = 0x0020000D
_CODECS = {"ISO_IR 192": "utf-8", "GB18030": "gb18030", "GBK": "gbk"}
_MOST_ELEMENTS = 200_000


@dataclass(frozen=True, slots=True)
class Traits:
    """What routing rules look at; `sender` is the calling AE title, None for STOW-RS."""

    sender: str | None
    modality: str | None
    body_part: str | None
    study_description: str | None
    series_description: str | None


@dataclass(frozen=True, slots=True)
class Instance:
    """An instance's place, what the archive tells of it, its traits, and the digest of its bytes."""

    entry: InstanceEntry
    series: SeriesEntry
    traits: Traits
    digest: bytes

    @property
    def address(self) -> InstanceAddress:
        """Where it lies."""
        return self.entry.address


def read_instance(data: bytes, sender: str | None) -> Instance:
    """Read the header of a DICOM file; raises InstanceRefused."""
    limits = Limits(max_inflated_bytes=max(len(data), 2**20) * 16, max_elements=_MOST_ELEMENTS)
    if data[128:132] != b"DICM":
        raise _not_understood("it is not a DICOM file: the preamble is missing (PS3.10 7.1)")
    try:
        file = open_part10(data, limits)
        planes = tuple(plane for plane in list_planes(data, limits) if plane.rows and plane.columns)
    except ImagingError as error:
        raise _not_understood(f"its header cannot be read ({error.code})") from None
    if file.transfer_syntax not in DECODED:
        message = "its transfer syntax is not read here: send it uncompressed"
        raise InstanceRefused(message, SYNTAX_NOT_SUPPORTED, code="syntax_not_supported")
    return _describe(file, data, InstanceEntry(_address(file.attributes), _sop_class(file), planes), sender)


def _describe(file: DicomFile, data: bytes, entry: InstanceEntry, sender: str | None) -> Instance:
    attributes = file.attributes
    modality, description = _text(attributes, MODALITY), _text(attributes, _SERIES_DESCRIPTION)
    traits = Traits(
        sender,
        modality,
        _text(attributes, _BODY_PART_EXAMINED),
        _text(attributes, _STUDY_DESCRIPTION),
        description,
    )
    series = SeriesEntry(entry.address.series, modality, description, None)
    return Instance(entry, series, traits, hashlib.sha256(data).digest())


def _address(attributes: Attributes) -> InstanceAddress:
    return InstanceAddress(
        INTAKE,
        _uid(attributes, _STUDY_INSTANCE_UID, "Study Instance UID"),
        _uid(attributes, SERIES_INSTANCE_UID, "Series Instance UID"),
        _uid(attributes, SOP_INSTANCE_UID, "SOP Instance UID"),
    )


def _sop_class(file: DicomFile) -> str:
    return _uid(file.attributes, SOP_CLASS_UID, "SOP Class UID")


def _uid(attributes: Attributes, tag: int, name: str) -> str:
    uid = attributes.text(tag)
    if uid is None or not is_uid(uid):
        raise _not_understood(f"its {name} is missing or is none (PS3.5 9.1)")
    return uid


def _text(attributes: Attributes, tag: int) -> str | None:
    charset = attributes.text(_SPECIFIC_CHARACTER_SET) or ""
    told = attributes.value(tag).decode(_CODECS.get(charset, "latin-1"), "replace")
    return told.strip(" \0") or None


def _not_understood(why: str) -> InstanceRefused:
    return InstanceRefused(why, NOT_UNDERSTOOD, code="instance_not_understood")
