"""An archive that fails: what the reader is told, and that the next question works."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from radserve_client.orthanc import Orthanc
from radserve_server.fake import WORDS
from radserve_server.pacs.fake import FakeArchive, running_fake_archive

# Of each fault, the error's code, its status, and words that the reader has to find in the panel.
FAULTS = {
    "slow": ("archive_timeout", 504, "did not answer within"),
    "404": ("dicom_not_found", 404, "pacs has no such instance"),
    "401": ("archive_refused", 502, "pacs does not take the gateway's credentials"),
    "reset": ("archive_cut_off", 502, "pacs broke off before its answer was complete"),
    "wrong_type": ("archive_wrong_type", 502, "pacs answered text/html"),
    "wrong_instance": ("archive_wrong_instance", 502, "pacs sent another instance"),
}


@pytest.fixture(scope="module")
def archive(head: Any) -> Iterator[FakeArchive]:
    """The gateway's archive: it has what the viewer's has, and fails as it is told to."""
    archive = FakeArchive(head.files)
    with running_fake_archive(archive):
        yield archive


@pytest.fixture(scope="module")
def viewer(
    loaded: Orthanc,
    archive: FakeArchive,
    head: Any,
    look: Callable[[str], Any],
    furnish: Callable[..., AbstractContextManager[Any]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Any]:
    file: Path = tmp_path_factory.mktemp("pacs") / "pacs.toml"
    file.write_text(f'[pacs]\nurl = "{archive.url}"\nwhole_s = 0.7\n')
    with furnish(loaded.dicom_web, pacs_file=file) as room:
        viewer = look(room.url)
        viewer.open(head)
        yield viewer


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_archive_is_told_and_the_next_question_works(viewer, archive, fault):
    code, status, words = FAULTS[fault]
    viewer.scroll()  # to a slice that the gateway does not have yet
    archive.fail(fault)
    viewer.ask("Is there a bleed?")
    error = viewer.newest.get_by_role("alert")
    told = error.text_content()
    viewer.take_picture(f"fault-{fault}")
    assert words.lower() in told.lower()
    assert f"{code}, {status}" in told
    archive.fail("none")
    assert viewer.ask("Is there a mass?")["answer"] == "".join(WORDS)
    assert viewer.newest.get_by_role("alert").count() == 0


def test_a_question_that_failed_is_asked_again_by_a_click(viewer, archive):
    viewer.scroll()
    archive.fail("404")
    viewer.ask("Is there a fracture?")
    asked = viewer.sent()
    archive.fail("none")
    viewer.scroll()  # the reader has gone on; it is the slice of the question that counts
    viewer.newest.get_by_role("button", name="Retry").click()
    viewer.read("".join(WORDS))
    assert viewer.sent() == asked
