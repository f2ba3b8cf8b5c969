"""A gateway with two archives, answers about real files, and dciodvfy."""

import asyncio
import io
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from radserve_server.fake import FakeBackend
from radserve_server.pacs.archive import Archives
from radserve_server.pacs.memory import MemoryArchive


@dataclass
class ReadingRoom:
    """A gateway, its archives, and what one does there."""

    gateway: Any
    ward: MemoryArchive
    audit_file: Path

    def archive(self, *files: bytes) -> None:
        """Put images into the ward's archive."""
        asyncio.run(self.ward.store(files))

    def ask(self, *files: bytes, question: str = "Is there a bleed?", **more: Any) -> dict[str, Any]:
        """What is under `clinical` of an answer about images in the archive."""
        self.archive(*files)
        return self._ask(image_dicom=[reference(file) for file in files], question=question, **more)

    def ask_uploaded(self, *files: bytes, kind: str = "application/dicom") -> dict[str, Any]:
        """The same of uploads."""
        uploads = [
            self.gateway.http.post("/v1/images", content=file, headers={"content-type": kind})
            for file in files
        ]
        return self._ask(
            image_ids=[upload.json()["image_id"] for upload in uploads], question="Is there a bleed?"
        )

    def _ask(self, **request: Any) -> dict[str, Any]:
        answer = self.gateway.http.post("/v1/vqa", json=request)
        assert answer.status_code == 200, answer.text
        return answer.json()["clinical"]

    def report(self, clinical: dict[str, Any], **more: Any) -> Any:
        """POST /v1/reports."""
        return self.gateway.http.post("/v1/reports", json={"answer_id": clinical["answer_id"], **more})

    def sr(self, clinical: dict[str, Any], **more: Any) -> bytes:
        """The SR itself, stored nowhere."""
        request = {"answer_id": clinical["answer_id"], "store": False, **more}
        response = self.gateway.http.post(
            "/v1/reports", json=request, headers={"accept": "application/dicom"}
        )
        assert (response.status_code, response.headers["content-type"]) == (200, "application/dicom"), (
            response.text
        )
        return response.content


def reference(file: bytes) -> dict[str, Any]:
    header = pydicom.dcmread(io.BytesIO(file), stop_before_pixels=True)
    return {
        "study": header.StudyInstanceUID,
        "series": header.SeriesInstanceUID,
        "instances": [header.SOPInstanceUID],
        "pacs": "ward",
    }


@pytest.fixture(scope="session")
def shared_room(start, tmp_path_factory) -> Iterator[ReadingRoom]:
    audit_file = tmp_path_factory.mktemp("audit") / "audit.jsonl"
    ward, research = MemoryArchive("ward"), MemoryArchive("research")
    archives = Archives({"ward": ward, "research": research})
    with start(FakeBackend(), archives=archives, audit_file=audit_file) as gateway:
        yield ReadingRoom(gateway, ward, audit_file)


@pytest.fixture
def room(shared_room: ReadingRoom) -> ReadingRoom:
    shared_room.gateway.backend.confidence = dict(FakeBackend().confidence or {})
    shared_room.gateway.backend.words = FakeBackend().words
    return shared_room


@pytest.fixture(scope="session")
def own_file() -> Callable[..., bytes]:
    """A real file of pydicom's as another instance, with changed attributes."""

    def make(name: str = "CT_small.dcm", **changed: Any) -> bytes:
        dataset = pydicom.dcmread(str(get_testdata_file(name, download=False)))
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        for keyword, value in changed.items():
            setattr(dataset, keyword, value)
        out = io.BytesIO()
        dataset.save_as(out)
        return out.getvalue()

    return make


@pytest.fixture(scope="session")
def validate(tmp_path_factory) -> Callable[[bytes], Dataset]:
    """Reads an SR in which dciodvfy finds no error, nor dsrdump, which knows what each IOD lets hang below what."""
    for program, package in (("dciodvfy", "dicom3tools"), ("dsrdump", "dcmtk")):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed: apt-get install {package}")
    path = tmp_path_factory.mktemp("sr") / "report.dcm"

    def check(data: bytes) -> Dataset:
        path.write_bytes(data)
        told = run("dciodvfy", str(path))
        assert {"BasicTextSR", "Comprehensive3DSR"} & set(told), told
        assert not [line for line in told if line.startswith(("Error", "Abort", "Fatal"))]
        assert not [line for line in run("dsrdump", str(path)) if line.startswith(("E:", "F:"))]
        return pydicom.dcmread(io.BytesIO(data))

    return check


def run(*command: str) -> list[str]:
    done = subprocess.run(command, capture_output=True, timeout=20)
    return (done.stdout + done.stderr).decode(errors="replace").splitlines()
