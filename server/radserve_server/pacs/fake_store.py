"""What the fake archive keeps, and what it says of it in DICOM JSON (PS3.18 annex F)."""

import io
from collections.abc import Iterable
from typing import Any

import pydicom
from pydicom.encaps import generate_frames
from pydicom.errors import InvalidDicomError

Json = dict[str, Any]
_STUDY, _SERIES, _INSTANCE = "0020000D", "0020000E", "00080018"
_NOT_UNDERSTOOD, _REFUSED = 0xC000, 0xA700  # PS3.18 table 10.5.3-2


class FakeStore:
    """DICOM files by their UIDs, in the order they came."""

    def __init__(self, files: Iterable[bytes]) -> None:
        self._files: dict[tuple[str, str, str], bytes] = {}
        self._headers: dict[tuple[str, str, str], Json] = {}
        for data in files:
            self._put(data)

    def __len__(self) -> int:
        return len(self._files)

    def list_studies(self) -> list[Json]:
        """One object a study."""
        found: dict[str, Json] = {}
        for key, header in self._headers.items():
            found.setdefault(key[0], _pick(header, _STUDY, "00100010", "00100020", "00080020", "00080050"))
        return list(found.values())

    def list_series(self, study: str) -> list[Json]:
        """One object a series, PS3.18 table 10.6.3-4."""
        found: dict[str, Json] = {}
        for key, header in self._headers.items():
            if key[0] == study:
                about = found.setdefault(
                    key[1], _pick(header, _STUDY, _SERIES, "00080060", "0008103E", "00200011")
                )
                count = about.setdefault("00201209", {"vr": "IS", "Value": [0]})
                count["Value"][0] += 1
        return list(found.values())

    def list_instances(
        self, study: str, series: str | None = None, instance: str | None = None
    ) -> list[Json]:
        """The whole headers of those that match."""
        wanted = (study, series, instance)
        return [
            header
            for key, header in self._headers.items()
            if all(want in (None, has) for want, has in zip(wanted, key, strict=True))
        ]

    def get(self, study: str, series: str, instance: str) -> bytes | None:
        """The file as it came."""
        return self._files.get((study, series, instance))

    def get_frame(self, study: str, series: str, instance: str, number: int) -> bytes | None:
        """A frame, from 1, in the transfer syntax it is kept in."""
        data = self.get(study, series, instance)
        if data is None:
            return None
        dataset = pydicom.dcmread(io.BytesIO(data))
        count = int(dataset.get("NumberOfFrames") or 1)
        if not 1 <= number <= count:
            return None
        if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
            return list(generate_frames(dataset.PixelData, number_of_frames=count))[number - 1]
        size = len(dataset.PixelData) // count
        return bytes(dataset.PixelData[size * (number - 1) : size * number])

    def another_than(self, data: bytes) -> bytes:
        """Another instance than this one; if there is none, this one under another UID."""
        for other in self._files.values():
            if other != data:
                return other
        dataset = pydicom.dcmread(io.BytesIO(data))
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
        out = io.BytesIO()
        dataset.save_as(out, enforce_file_format=True)
        return out.getvalue()

    def take(self, files: list[bytes], *, refuse: bool) -> tuple[Json, int]:
        """Keep what can be read; the Store Instances Response and its status, PS3.18 10.5.3."""
        stored, failed = [], []
        for data in files:
            if refuse:
                failed.append(_failure(data, _REFUSED))
                continue
            try:
                stored.append(_reference(self._put(data)))
            except (InvalidDicomError, AttributeError):
                failed.append(_failure(data, _NOT_UNDERSTOOD))
        told: Json = {}
        if stored:
            told["00081199"] = {"vr": "SQ", "Value": stored}
        if failed:
            told["00081198"] = {"vr": "SQ", "Value": failed}
        return told, 409 if not stored else 202 if failed else 200

    def _put(self, data: bytes) -> Json:
        dataset = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True)
        key = (str(dataset.StudyInstanceUID), str(dataset.SeriesInstanceUID), str(dataset.SOPInstanceUID))
        header: Json = dataset.to_json_dict(suppress_invalid_tags=True)
        self._files[key], self._headers[key] = data, header
        return header


def _pick(header: Json, *tags: str) -> Json:
    return {tag: header[tag] for tag in tags if tag in header}


def _reference(header: Json) -> Json:
    return {
        "00081150": {"vr": "UI", "Value": header["00080016"]["Value"]},
        "00081155": {"vr": "UI", "Value": header[_INSTANCE]["Value"]},
    }


def _failure(data: bytes, reason: int) -> Json:
    try:
        header = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True).to_json_dict()
        about = _reference(header)
    except (InvalidDicomError, KeyError):
        about = {}
    return {**about, "00081197": {"vr": "US", "Value": [reason]}}
