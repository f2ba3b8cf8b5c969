"""`radserve engine plan` from the command line to its table, JSON and picture."""

import argparse
import json

import pytest

from radserve_client.errors import RadserveError
from radserve_client.plan_command import add_plan_word


def plan(*words: object) -> None:
    parser = argparse.ArgumentParser()
    add_plan_word(parser.add_subparsers())
    given = parser.parse_args(["plan", *map(str, words)])
    given.run(given)


def rows(capsys: pytest.CaptureFixture[str], *words: object) -> dict[tuple[str, str], dict]:
    plan(*words, "--json")
    report = json.loads(capsys.readouterr().out)
    return {(row["gpu"], row["precision"]): row for row in report["rows"]}


def test_by_default_all_gpus_and_four_precisions_are_shown(capsys):
    plan("qwen2.5-vl-7b")
    out = capsys.readouterr().out
    for name in ("A100-40", "A100-80", "H100", "H200", "L4", "L40S", "B200", "int4-awq"):
        assert name in out
    assert "8.29 B parameters" in out and "57,344 bytes a token" in out
    assert "ZeRO-3" in out and "16 bytes a parameter" in out
    assert max(map(len, out.splitlines()[4:])) <= 120


def test_a_precision_without_arithmetic_on_the_gpu_is_said_with_the_nearest(capsys):
    found = rows(capsys, "qwen2.5-vl-3b", "--precision", "fp8", "--precision", "nvfp4")
    assert found["A100-80", "fp8"]["reason"] == (
        "not on this GPU: FP8 (e4m3) needs Ada, Hopper or Blackwell; nearest here: int8"
    )
    assert "nearest here: fp8" in found["H100", "nvfp4"]["reason"]
    assert found["B200", "nvfp4"]["fits"] and found["L4", "fp8"]["fits"]
    assert found["A100-80", "fp8"]["memory"] is None


def test_a_precision_without_a_path_for_the_family_is_said(capsys):
    found = rows(capsys, "qwen2.5-vl-3b", "--gpu", "H100", "--precision", "int8-sq")
    assert (
        "not for Qwen2.5-VL: INT8 SmoothQuant runs in compiled engines only"
        in found["H100", "int8-sq"]["reason"]
    )
    assert rows(capsys, "qwen2-vl-7b", "--gpu", "H100", "--precision", "int8-sq")["H100", "int8-sq"]["fits"]


def test_an_fp8_cache_needs_fp8(capsys):
    found = rows(
        capsys, "qwen2.5-vl-3b", "--kv", "fp8", "--precision", "int8", "--gpu", "A100-80", "--gpu", "H100"
    )
    assert "an FP8 KV cache needs Ada" in found["A100-80", "int8"]["reason"]
    assert found["H100", "int8"]["fits"]


def test_the_fewest_gpus_that_hold_it_are_taken(capsys):
    found = rows(capsys, "dense-120b")
    assert found["H100", "bf16"]["tensor_parallel"] == 4
    assert found["H100", "fp8"]["tensor_parallel"] == 2
    assert found["H200", "fp8"]["tensor_parallel"] == 1
    assert found["A100-40", "bf16"]["tensor_parallel"] == 8
    short = found["L4", "bf16"]
    assert not short["fits"] and "GiB too much on each of 8 GPUs" in short["reason"]
    assert short["memory"]["spare"] < 0


def test_a_batch_that_is_too_large_says_what_would_fit(capsys):
    row = rows(
        capsys, "qwen2.5-vl-7b", "--gpu", "L4", "--precision", "bf16", "--batch", 64, "--tensor-parallel", 1
    )
    reason = row["L4", "bf16"]["reason"]
    most = row["L4", "bf16"]["largest_batch"]
    assert 0 < most < 64 and reason.endswith(f"at most {most} at once")


def test_a_wanted_number_of_gpus_is_kept_or_refused(capsys):
    options = ("--gpu", "H100", "--precision", "bf16", "--tensor-parallel")
    assert rows(capsys, "qwen2.5-vl-7b", *options, 2)["H100", "bf16"]["tensor_parallel"] == 2
    refused = rows(capsys, "qwen2.5-vl-7b", *options, 8)["H100", "bf16"]
    assert refused["reason"] == "cannot be divided: 28 attention heads are not divisible by 8"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nothing-7b",), "no such checkpoint folder"),
        (("qwen2.5-vl-3b", "--gpu", "H1000"), "'H1000' is not known here; known: A100-40"),
        (("qwen2.5-vl-3b", "--precision", "fp9"), "precision 'fp9' is not known here"),
        (("qwen2.5-vl-3b", "--tensor-parallel", 16), "16 is not between 1 and 8"),
        (("qwen2.5-vl-3b", "--context", 100), "--context: 100 tokens hold no question"),
        (("qwen2.5-vl-3b", "--plot", "/nowhere/at/all.png"), "--plot /nowhere/at/all.png"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(words, said):
    with pytest.raises(RadserveError, match=said):
        plan(*words)


@pytest.mark.parametrize(
    "words", [("--image", "896"), ("--image", "0x896"), ("--batch", "0"), ("--batch", "many")]
)
def test_malformed_options_are_usage_errors(words, capsys):
    with pytest.raises(SystemExit):
        plan("qwen2.5-vl-3b", *words)
    assert words[0] in capsys.readouterr().err


def test_wide_images_are_width_by_height(capsys):
    plan("qwen2.5-vl-3b", "--gpu", "H100", "--image", "1120x280", "--json")
    question = json.loads(capsys.readouterr().out)["question"]
    assert (question["height"], question["width"], question["seen"]["tokens"]) == (280, 1120, 400)


def test_the_picture_is_drawn_whatever_fits(tmp_path, capsys):
    from PIL import Image

    for name, model in (("some", "dense-120b"), ("none", "qwen2.5-vl-72b")):
        path = tmp_path / f"{name}.png"
        plan(model, "--gpu", "L4", "--precision", "bf16", "--precision", "fp8", "--plot", path)
        with Image.open(path) as picture:
            assert picture.width > 1500
            assert len(picture.convert("RGB").getcolors(1 << 20)) > 30  # not an empty sheet
    assert "drawn" in capsys.readouterr().err
