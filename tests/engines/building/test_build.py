"""From checkpoint to an engine that a server takes, or that it refuses with the reason."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from radserve_engines.acceptance import Acceptance
from radserve_engines.building import BuildRequest, build_engine
from radserve_engines.building.plan import plan_build
from radserve_engines.building.regating import GateRequest, gate_engine
from radserve_engines.building.stages import LOG_NAME
from radserve_engines.building.tables import engine_rows, markdown_table, tell_engine
from radserve_engines.checkpoints.miniatures import make_miniature
from radserve_engines.errors import BuildRefused, ManifestError, SignatureError
from radserve_engines.manifest import read_manifest
from radserve_engines.signing import public_path

Wish = Callable[..., BuildRequest]


@pytest.fixture
def acceptance(signing_key: Path) -> Acceptance:
    return Acceptance((public_path(signing_key),))


def log_of(request: BuildRequest) -> str:
    return (request.work / LOG_NAME).read_text()


def test_an_unquantized_engine_passes_is_signed_and_is_taken(wish: Wish, acceptance: Acceptance) -> None:
    request = wish(name="ward")
    built = build_engine(request)
    manifest = acceptance.accept(request.out)
    assert manifest.digest == built.digest
    assert (manifest.name, manifest.target, manifest.precision) == ("ward", "torch", "bf16")
    assert manifest.gate["overall"]["flipped"]["value"] == 0
    assert [one["stage"] for one in manifest.stages] == ["read", "merge", "quantize", "compile"]
    assert manifest.stages[0]["family"] == "qwen2_5_vl"
    assert manifest.decoding.max_tokens == 4  # as the checkpoint's own manifest says


def test_the_same_command_does_nothing_again_and_a_new_gate_only_judges(wish: Wish) -> None:
    request = wish()
    first = build_engine(request)
    before = log_of(request)
    assert build_engine(request) == first
    again = log_of(request)[len(before) :]
    assert again.count("done before") == 6 and "done in" not in again
    stricter = replace(request.gate_settings.thresholds, least_questions=1000)
    second = build_engine(replace(request, gate_settings=replace(request.gate_settings, thresholds=stricter)))
    last = log_of(request)[len(before) + len(again) :]
    assert last.count("done before") == 4
    assert second.gate["status"] == "failed"
    assert second.files == first.files


def test_a_quantized_engine_says_how_it_was_calibrated(wish: Wish, calibration_set: Path) -> None:
    request = wish(precision="int8", gate=())
    manifest = build_engine(request)
    record = next(one for one in manifest.stages if one["stage"] == "quantize")
    assert record["calibration"]["policy_sha256"] == manifest.image_policy.digest()
    assert record["calibration"]["sets"][0]["name"] == "calibration/questions"
    written = json.loads((request.out / "hf_quant_config.json").read_text())["quantization"]
    assert written["quant_algo"] == "W8A16"
    assert manifest.gate == {"status": "not run"}


def test_images_of_the_gate_are_not_calibrated_on(wish: Wish, gate_set: Path, tmp_path: Path) -> None:
    """Under whatever name: the file was copied."""
    copied = tmp_path / "copied"
    shutil.copytree(gate_set.parent, copied)
    with pytest.raises(BuildRefused, match="nothing is left to calibrate on"):
        build_engine(wish(precision="int8", calibration=(copied / gate_set.name,)))


def test_an_engine_without_gate_or_key_is_built_but_not_taken(wish: Wish, acceptance: Acceptance) -> None:
    request = wish(gate=())
    build_engine(request)
    with pytest.raises(ManifestError, match="has not been through its gate"):
        acceptance.accept(request.out)
    unsigned = wish(gate=(), key=None, out=request.out.with_name("unsigned"))
    build_engine(unsigned)
    with pytest.raises(SignatureError, match="not signed"):
        acceptance.accept(unsigned.out)
    assert "no --key" in log_of(unsigned) and "no --gate" in log_of(unsigned)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"precision": "int8", "calibration": ()}, "int8 is calibrated on images"),
        (
            {"target": "trtllm", "precision": "int8-sq"},
            "the nearest that works: --target trtllm --precision int8",
        ),
        (
            {"target": "trtllm", "tensor_parallel": 3},
            "does not divide the 4 attention heads; the nearest",
        ),
        ({"adapters": (Path("nowhere"),)}, "--adapter nowhere is no adapter of PEFT"),
        ({"context_length": 4096}, "longer than the checkpoint's own 512 positions"),
    ],
)
def test_what_cannot_work_is_refused_before_any_work(
    wish: Wish, change: dict[str, object], message: str
) -> None:
    request = wish(**change)
    with pytest.raises(BuildRefused, match=message):
        build_engine(request)
    assert not request.out.exists() and not request.work.exists()


def test_a_folder_with_files_of_another_kind_is_not_overwritten(wish: Wish) -> None:
    request = wish()
    request.out.mkdir()
    (request.out / "thesis.txt").write_text("years of work")
    with pytest.raises(BuildRefused, match="is not empty"):
        build_engine(request)
    assert (request.out / "thesis.txt").read_text() == "years of work"


def test_where_tensorrt_llm_is_not_at_hand_the_gate_is_simulated_and_no_server_takes_it(
    wish: Wish, acceptance: Acceptance
) -> None:
    request = wish(target="trtllm")
    manifest = build_engine(request)
    assert (manifest.gate["status"], manifest.gate["judged"]["simulated"]) == ("simulated", True)
    assert (request.out / "llm_args.yaml").is_file()
    with pytest.raises(ManifestError, match="in simulation only"):
        acceptance.accept(request.out)


def test_an_engine_is_judged_again_against_its_own_checkpoint_only(
    wish: Wish, acceptance: Acceptance, gate_set: Path, signing_key: Path, tmp_path: Path
) -> None:
    request = wish(gate=())
    build_engine(request)
    asked = GateRequest(
        request.out, request.work / "checkpoint", (gate_set,), request.gate_settings, signing_key
    )
    assert gate_engine(asked).gate["status"] == "passed"
    assert acceptance.accept(request.out)
    other = make_miniature("qwen2_5_vl", tmp_path / "other", seed=1)
    with pytest.raises(BuildRefused, match="is not what the engine was built from"):
        gate_engine(replace(asked, checkpoint=other))


def test_engines_are_told_side_by_side(wish: Wish) -> None:
    request = wish()
    build_engine(request)
    engine = (request.out, read_manifest(request.out))
    rows = engine_rows([engine, engine])
    assert [row[0] for row in rows] == ["unquantized checkpoint", "engine", "engine"]
    assert rows[1][-1] == "passed" and rows[1][6].startswith("0.0")
    assert markdown_table(rows).count("\n| ") == 4
    told = "\n".join(tell_engine(engine))
    assert read_manifest(request.out).digest in told and "by key" in told
    assert "least_questions 10 instead of 200" in told


@pytest.mark.parametrize(
    ("capability", "refused"),
    [((8, 0), "runs on Ada, Hopper or Blackwell, not on Ampere"), ((8, 9), ""), ((9, 0), ""), ((10, 0), "")],
)
def test_the_gpu_that_is_here_counts_where_none_is_named(
    wish: Wish, monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], refused: str
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    asked = wish(target="trtllm", precision="fp8")
    if refused:
        with pytest.raises(BuildRefused, match=refused):
            plan_build(asked)
        assert plan_build(replace(asked, gpu="hopper")).path == "llm-api"
    else:
        assert plan_build(asked).path == "llm-api"
