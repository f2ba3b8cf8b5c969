"""The whole way: Orthanc, `radserve up` with Triton and the demo engine, `radserve ohif`, a reader with a question."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from radserve_client.orthanc import Orthanc

QUESTION = "What modality is used to take this image?"
BASIC_TEXT_SR = "1.2.840.10008.5.1.4.1.1.88.11"
START_S, STOP_S = 120, 30


@pytest.fixture(scope="module")
def viewer(loaded: Orthanc, bundle: Path, look: Callable[[str], Any]) -> Iterator[Any]:
    up = ("up", "--port", "0", "--pacs-url", loaded.dicom_web)
    with running(r"gateway\s+(http://\S+)", *up) as gateway:
        ohif = ("ohif", "--port", "0", "--pacs", loaded.dicom_web, "--server", gateway)
        with running(r"viewer\s+(http://\S+)", *ohif, "--viewer", str(bundle)) as address:
            viewer = look(address)
            yield viewer
            viewer.page.context.close()


@contextmanager
def running(pattern: str, *words: str) -> Iterator[str]:
    """What the command says in the pattern's place once it is ready; it is ended after the block."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RADSERVE_")}
    command = [sys.executable, "-m", "radserve_client", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            yield read_address(process, pattern)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                assert process.wait(STOP_S) in (0, -signal.SIGTERM)
            finally:
                process.kill()


def read_address(process: subprocess.Popen[str], pattern: str) -> str:
    said, deadline = "", time.monotonic() + START_S
    while time.monotonic() < deadline and process.stdout and (line := process.stdout.readline()):
        said += line
        if found := re.search(pattern, said):
            return found[1]
    raise AssertionError(f"it did not become ready; it said: {said!r}")


def test_a_question_is_asked_in_the_viewer_and_its_answer_filed_and_shown(viewer, head, loaded, tmp_path):
    viewer.open(head)
    viewer.take_picture("1-study-open")
    answer = viewer.ask(QUESTION)
    viewer.newest.get_by_text("These are the very pixels the model saw").wait_for()
    viewer.take_picture("2-answered")
    pieces = re.findall(r"event: delta\ndata: (.*)", viewer.page.evaluate("window.heard"))
    assert "".join(json.loads(piece)["delta"] for piece in pieces) == answer["answer"] != ""
    assert viewer.newest.locator(".rs-text").text_content() == answer["answer"]
    assert "not for clinical use" in viewer.panel.locator("footer").text_content().lower()

    viewer.newest.get_by_role("button", name="File to archive").click()
    report = viewer.newest.get_by_role("button", name="Show report")
    report.wait_for()
    viewer.take_picture("3-filed")
    (series,) = find_reports(loaded, head.uid)
    assert find_errors(loaded, head.uid, series, tmp_path / "report.dcm") == []

    report.click()
    shown = viewer.page.locator("[data-cy=viewport-grid]")
    shown.get_by_text(QUESTION).first.wait_for()
    shown.get_by_text(answer["answer"]).first.wait_for()
    viewer.take_picture("4-report-shown")

    stray = [one.url for one in viewer.asked if not one.url.startswith((viewer.url, "blob:", "data:"))]
    assert stray == [], "nothing leaves the machine"
    assert len(viewer.asked) > 50, "and what was asked is seen here"
    assert viewer.complaints == []


def find_reports(orthanc: Orthanc, study: str) -> list[str]:
    """Series Instance UIDs of the Basic Text SRs of a study, by QIDO-RS."""
    found = httpx.get(f"{orthanc.dicom_web}/studies/{study}/series", params={"Modality": "SR"}).json()
    series = [one["0020000E"]["Value"][0] for one in found]
    for uid in series:
        (instance,) = httpx.get(f"{orthanc.dicom_web}/studies/{study}/series/{uid}/instances").json()
        assert instance["00080016"]["Value"] == [BASIC_TEXT_SR]
    return series


def find_errors(orthanc: Orthanc, study: str, series: str, file: Path) -> list[str]:
    """What dciodvfy objects to in the report that the archive has."""
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy is not installed: apt-get install dicom3tools")
    (instance,) = httpx.post(f"{orthanc.url}/tools/lookup", content=series).json()
    (member,) = httpx.get(f"{orthanc.url}/series/{instance['ID']}/instances").json()
    file.write_bytes(httpx.get(f"{orthanc.url}/instances/{member['ID']}/file").content)
    told = subprocess.run(["dciodvfy", str(file)], capture_output=True, text=True, check=False)
    return [line for line in (told.stdout + told.stderr).splitlines() if line.startswith("Error")]
