"""What is exported for aiperf, and aiperf itself on a gateway of known schedule and on the demo server."""

import asyncio
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from radserve_bench.aiperf import Asked, Call, export, find_aiperf, read_export, run_aiperf
from radserve_bench.aiperf.__main__ import main
from radserve_bench.aiperf.exporting import name_and_policy, question_on_slices
from radserve_bench.errors import BenchError
from radserve_client.running import running_server
from radserve_engines.assets import demo_engine
from radserve_imaging import ImagePolicy, render

pytestmark = pytest.mark.timed

POLICY = ImagePolicy(width=224, height=224)
VQA_RAD = Path(__file__).parents[3] / "shared" / "data" / "vqa-rad" / "validate.jsonl"

needs_aiperf = pytest.mark.skipif(
    find_aiperf() is None, reason="aiperf is not installed: `make .venv-aiperf/ready` brings it"
)
needs_vqa_rad = pytest.mark.skipif(not VQA_RAD.exists(), reason=f"{VQA_RAD} is not there")


def lines_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "in.jsonl").read_text().splitlines()]


def pixels(line: dict[str, Any]) -> bytes:
    """What a gateway makes of the exported image."""
    return render(Path(line["images"][0]).read_bytes(), POLICY).pixels.tobytes()


def test_an_exported_image_is_what_the_model_sees_of_the_dicom_file(tmp_path: Path) -> None:
    slices = list(question_on_slices(3, "Well?"))
    assert export(slices, POLICY, tmp_path) == 3
    assert [pixels(line) for line in lines_of(tmp_path)] == [
        render(one.data, POLICY).pixels.tobytes() for one in slices
    ]


def test_the_same_pixels_never_follow_one_another(tmp_path: Path) -> None:
    first, second, third = (one.data for one in question_on_slices(3, ""))
    asked = [Asked("a", first, f"Question {number}?") for number in range(5)]
    asked += [Asked("b", second, "And here?"), Asked("c", third, "Here?"), Asked("c", third, "Sure?")]
    assert export(asked, POLICY, tmp_path) == 5
    shown = [line["images"] for line in lines_of(tmp_path)]
    assert all(one != other for one, other in pairwise([*shown, shown[0]]))
    assert len({(*line["texts"], *line["images"]) for line in lines_of(tmp_path)}) == 5


def test_images_that_cannot_be_asked_about_are_named(tmp_path: Path) -> None:
    (one,) = question_on_slices(1, "Well?")
    with pytest.raises(BenchError, match="two images of different pixels"):
        export([one, one], POLICY, tmp_path)
    with pytest.raises(BenchError, match=r"notes\.txt"):
        export([Asked("notes.txt", b"no image", "Well?")], POLICY, tmp_path)


@needs_vqa_rad
def test_a_question_set_is_exported_and_the_command_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RADSERVE_API_KEY", "not-to-be-printed")
    words = ["export", "--out", str(tmp_path), "--set", str(VQA_RAD), "--limit", "12", "--concurrency", "3"]
    assert main([*words, "--url", "http://127.0.0.1:8123"]) == 0
    told = capsys.readouterr().out
    assert f"{len(lines_of(tmp_path))} questions" in told
    for part in ("aiperf profile", "--concurrency 3", "--url http://127.0.0.1:8123", '"$RADSERVE_API_KEY"'):
        assert part in told
    assert "not-to-be-printed" not in told


def test_running_without_an_export_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "--out", str(tmp_path)]) == 1
    assert "`export` writes it" in capsys.readouterr().err


def write_export(folder: Path, rows: list[dict[str, Any]]) -> None:
    """Rows of aiperf 0.13, as far as they are read."""
    folder.mkdir(exist_ok=True)
    (folder / "profile_export.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    phases = [{"kind": "warmup", "concurrency": 9}, {"kind": "profiling", "concurrency": 2}]
    (folder / "profile_export_aiperf.json").write_text(json.dumps({"input_config": {"phases": phases}}))


def row(start_s: float, phase: str = "profiling", error: Any = None, **metrics: float) -> dict[str, Any]:
    at = {"benchmark_phase": phase, "request_start_ns": int(1e9 * start_s)}
    at["request_end_ns"] = int(1e9 * start_s + 1e6 * metrics.get("request_latency", 0))
    return {
        "metadata": at,
        "metrics": {name: {"value": value} for name, value in metrics.items()},
        "error": error,
    }


def test_an_export_is_read_in_our_own_terms(tmp_path: Path) -> None:
    whole = {"time_to_first_token": 80.0, "request_latency": 230.0, "output_sequence_length": 16}
    cut = {"time_to_first_token": 80.0, "request_latency": 110.0}
    busy = {"code": 503, "message": "busy"}
    write_export(tmp_path, [row(1, "warmup", **whole), row(5, **whole), row(6, **cut), row(7, error=busy)])
    point = read_export(tmp_path)
    answered, broken, refused = point.records
    assert answered.ttft_s == pytest.approx(0.08) and answered.itl_s == pytest.approx(0.01)
    assert (broken.error, refused.error, refused.message) == ("broken", "refused", "busy")
    assert point.wall_s == pytest.approx(2.0) and point.load.amount == 2


def test_what_is_no_export_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="no export"):
        read_export(tmp_path)
    write_export(tmp_path, [{"metadata": {}}])
    with pytest.raises(BenchError, match="not of an aiperf known here"):
        read_export(tmp_path)


@needs_aiperf
async def test_the_demo_server_answers_all_that_aiperf_asks(tmp_path: Path) -> None:
    """The whole chain: gateway, Triton, OpenVINO."""
    name, policy = name_and_policy(demo_engine())
    export(question_on_slices(12, "What abnormality is seen in the image?"), policy, tmp_path)
    async with running_server() as server:
        call = Call(
            server.url, name, tmp_path / "in.jsonl", tmp_path / "out", demo_engine(), 2, 12, 2, tokens=8
        )
        await asyncio.to_thread(run_aiperf, call, 120)
    point = read_export(call.out)
    assert [record.message for record in point.records if record.error] == []
    assert [record.tokens for record in point.records] == [8] * 12
    assert all(record.prompt_tokens > 50 for record in point.records)
