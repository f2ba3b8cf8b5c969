"""`radserve ohif`: what it refuses, and the whole reading room in a child process."""

import argparse
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from radserve_client.cli import main
from radserve_client.ohif_command import add_ohif_word
from radserve_client.orthanc import why_no_orthanc
from radserve_client.viewer_options import read_options

PACS = "http://127.0.0.1:8042/dicom-web"


@pytest.fixture
def folder(tmp_path: Path) -> str:
    (tmp_path / "index.html").write_text("<html></html>")
    return str(tmp_path)


@pytest.mark.parametrize(
    "arguments, said",
    [
        ([], "which archive"),
        (["--pacs", PACS, "--host", "0.0.0.0"], "--api-keys-file"),
        (["--pacs", "http://reader:secret@pacs/dicom-web"], "without password"),
        (["--pacs", "ftp://pacs/dicom-web"], "http or https"),
        (["--pacs", PACS, "--server", "127.0.0.1:8000"], "http or https"),
        (["--pacs", PACS, "--study", "."], "--study goes with --demo"),
    ],
)
def test_what_would_not_work_or_not_be_safe_is_refused_by_name(
    folder: str,
    arguments: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable in ("RADSERVE_PACS_URL", "RADSERVE_PACS_FILE", "RADSERVE_URL"):
        monkeypatch.delenv(variable, raising=False)
    assert main(["ohif", "--viewer", folder, *arguments]) == 1
    told = capsys.readouterr().err
    assert said in told and "secret" not in told


def test_a_folder_without_a_viewer_is_told_with_the_way_to_fetch_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ohif", "--pacs", PACS, "--viewer", str(tmp_path)]) == 1
    assert "radserve ohif --fetch" in capsys.readouterr().err


def test_the_archive_may_be_one_of_the_gateways_own_with_its_credentials(folder: str, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("wide open\n")
    file = tmp_path / "pacs.toml"
    file.write_text(
        f'[ward]\nurl = "https://pacs/rs"\nusername = "radserve"\npassword_file = "{tmp_path}/password"\n'
        f'[other]\nurl = "{PACS}"\n'
    )
    given = parse("--pacs", "ward", "--pacs-file", str(file))
    settings = read_options(given, Path(folder))
    assert settings.pacs_name == "ward" and settings.archive.url == "https://pacs/rs"
    assert (
        settings.archive.login()["authorization"].startswith("Basic ") and not settings.archive.passes_login
    )
    assert "wide open" not in repr(settings) and "Basic" not in repr(settings)
    other = read_options(parse("--pacs", "other", "--pacs-file", str(file)), Path(folder))
    assert other.archive.passes_login and not other.archive.login()


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_ohif_word(parser.add_subparsers())
    return parser.parse_args(["ohif", *arguments])


def test_the_reading_room_comes_up_answers_and_leaves_nothing_behind(folder: str, tmp_path: Path) -> None:
    """Orthanc, Triton with the demo engine, gateway and viewer; ended as by Ctrl-C, which goes to all of them."""
    if missing := why_no_orthanc():
        pytest.skip(missing)
    command = [sys.executable, "-m", "radserve_client", "ohif", "--demo", "--port", "0", "--viewer", folder]
    complaints = tmp_path / "complaints"
    with (
        complaints.open("w") as stderr,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=stderr, text=True, start_new_session=True
        ) as room,
    ):
        try:
            assert room.stdout is not None
            said = ""
            while "Open:" not in said:
                line = room.stdout.readline()
                assert line, said
                said += line
            children = psutil.Process(room.pid).children(recursive=True)
            names = {child.name() for child in children}
            check(said.split()[-1])
        finally:
            os.killpg(room.pid, signal.SIGINT)
        assert room.wait(30) == 0
    assert {"Orthanc", "tritonserver"} <= names
    assert not [child for child in children if child.is_running()]
    assert "Traceback" not in complaints.read_text()


def check(link: str) -> None:
    address, _, study = link.partition("/viewer?StudyInstanceUIDs=")
    with httpx.Client(base_url=address, timeout=30) as http:
        assert http.get(link).status_code == 200
        studies = http.get("/dicom-web/studies").json()
        assert len(studies) == 3 and study in json.dumps(studies)
        pacs = http.get("/radserve/config.json").json()["pacs"]
        asked = {"question": "Which organ is shown?", "image_dicom": [{"study": study, "pacs": pacs}]}
        answer = http.post("/v1/vqa", json=asked).json()
        judged = {"answer_id": answer["clinical"]["answer_id"], "verdict": "up"}
        assert http.post("/v1/feedback", json=judged).status_code == 201
    assert answer["answer"] and answer["clinical"]["seen"][0]["study"] == study
