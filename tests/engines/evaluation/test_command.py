"""`radserve engine eval` from the command line to the files it writes."""

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial

import pytest
from PIL import Image

from radserve_client.cli import main
from radserve_engines.manifest import read_manifest, write_manifest


def evaluate(*arguments: object) -> int:
    return main(["engine", "eval", *map(str, arguments)])


def test_a_whole_evaluation_writes_answers_report_and_curves(write_set, copied_engine, tmp_path, capsys):
    rows = [
        {"question": ("yes", "no")[place % 3 == 0], "modality": ("CT", "MRI")[place % 2]}
        for place in range(24)
    ]
    path, out = write_set(*rows), tmp_path / "out"
    assert evaluate(copied_engine, "--set", path, "--out", out, "--training", path, "--limit", 20) == 0
    said = capsys.readouterr()
    assert "question only" in said.out and "swapped" in said.out
    assert "60/60" in said.err
    report = json.loads((out / "report.json").read_text())
    assert report["target"]["digest"].startswith("sha256:")
    assert report["sets"][0]["questions"] == 20
    assert report["scores"]["all"]["questions"] == 20
    assert {"value", "low", "high"} == report["scores"]["modality"]["CT"]["accuracy"].keys()
    assert report["machine"]["cores"] and report["versions"]["python"]
    assert {"swapped", "blank"} == report["sensitivity"].keys()
    assert "mid-grey" in " ".join(report["notes"])
    tables = (out / "report.md").read_text()
    assert "### By content type" in tables and "## Confidence" in tables
    with Image.open(out / "curves.png") as picture:
        assert picture.width > 1000


def test_what_a_set_writes_in_its_fields_breaks_neither_table_nor_curves(write_set, copied_engine, tmp_path):
    rows = [{"modality": ("$x_{$ CT", "M\nR|I")[place % 2]} for place in range(24)]
    out = tmp_path / "out"
    assert evaluate(copied_engine, "--set", write_set(*rows), "--out", out, "--no-sensitivity") == 0
    assert (out / "curves.png").is_file()
    assert "\n| M R\\|I | 12 |" in (out / "report.md").read_text()


def test_what_cannot_be_compared_with_is_told_before_anything_is_asked(
    write_set, copied_engine, tmp_path, capsys
):
    plain = ("--set", write_set({}, {}), "--no-sensitivity", "--out", tmp_path / "out")
    assert evaluate(copied_engine, *plain, "--compare", tmp_path / "typo") == 1
    assert "typo is neither an earlier --out" in capsys.readouterr().err
    assert evaluate(copied_engine, *plain, "--compare", tmp_path / "made" / ".." / "out") == 1
    assert "would be compared with itself" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_report_is_there_though_the_other_target_fails(write_set, copied_engine, tmp_path, capsys):
    with socket.create_server(("127.0.0.1", 0)) as free:
        gone = f"http://127.0.0.1:{free.getsockname()[1]}"
    plain = ("--set", write_set({}, {}), "--no-sensitivity", "--out", tmp_path / "out")
    assert evaluate(copied_engine, *plain, "--compare", gone) == 1
    assert "does not answer" in capsys.readouterr().err
    assert json.loads((tmp_path / "out" / "report.json").read_text())["scores"]["all"]["questions"] == 2


def test_an_earlier_evaluation_can_be_compared_with_without_asking_it_again(
    write_set, copied_engine, tmp_path, capsys
):
    path = write_set(*[{}] * 6)
    earlier, out = tmp_path / "earlier", tmp_path / "out"
    plain = ("--set", path, "--no-sensitivity")
    assert evaluate(copied_engine, *plain, "--out", earlier) == 0
    rows = [json.loads(line) for line in (earlier / "answers.jsonl").read_text().splitlines()]
    rows[0]["answer"] = "no"
    (earlier / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert evaluate(copied_engine, *plain, "--out", out, "--compare", earlier) == 0
    comparison = json.loads((out / "report.json").read_text())["comparison"]
    assert comparison["questions"] == 6
    assert comparison["flipped"]["value"] == pytest.approx(100 / 6, abs=1e-3)
    assert (comparison["right_to_wrong"], comparison["wrong_to_right"]) == (0, 1)
    assert evaluate(copied_engine, *plain, "--out", tmp_path / "b", "--compare", copied_engine) == 0
    assert len(list((tmp_path / "b" / "compared").glob("*/answers.jsonl"))) == 1
    assert json.loads((tmp_path / "b" / "report.json").read_text())["comparison"]["flipped"]["value"] == 0
    second = tmp_path / "second"
    shutil.copytree(copied_engine, second, ignore=shutil.ignore_patterns("b", "out", "earlier", "second"))
    write_manifest(second, replace(read_manifest(second), precision="other"))
    assert evaluate(copied_engine, *plain, "--out", tmp_path / "b", "--compare", second) == 0
    path.write_text(path.read_text() + "\n")
    assert evaluate(copied_engine, *plain, "--out", tmp_path / "c", "--compare", earlier) == 1
    assert "not the same" in capsys.readouterr().err


def test_what_is_wrong_is_told_in_a_line_with_status_1(write_set, copied_engine, tmp_path, capsys):
    path, out = write_set({"image": "gone.png"}), tmp_path / "out"
    assert evaluate(copied_engine, "--set", path, "--out", out) == 1
    assert f"radserve: {path}:1: field 'image'" in capsys.readouterr().err
    assert not out.exists()
    assert evaluate(tmp_path / "nowhere", "--set", write_set({}), "--out", out) == 1
    assert "neither a folder nor an address" in capsys.readouterr().err


def test_ctrl_c_keeps_what_is_there_and_says_how_to_go_on(write_set, tmp_path, serve):
    path, out = write_set(*[{}] * 60), tmp_path / "out"
    with serve(seconds=0.1) as server:
        command = [sys.executable, "-m", "radserve_client", "engine", "eval", server.url]
        command += ["--set", str(path), "--out", str(out), "--concurrency", "2"]
        heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a job in the background ignores it
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=heed)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not (
            (out / "answers.jsonl").is_file() and (out / "answers.jsonl").stat().st_size
        ):
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    kept = len((out / "answers.jsonl").read_text().splitlines())
    assert 0 < kept < 180
    assert f"stopped at {kept} of 180 answers" in said and "the same command goes on" in said
