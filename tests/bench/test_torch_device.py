"""A checkpoint in PyTorch on whatever device is there: answers are compared, times are told, the device is named."""

import json
import sys
from pathlib import Path

import pytest
import torch

from radserve_bench import torch_device
from radserve_engines.assets import demo_checkpoint


@pytest.fixture(scope="module")
def one_question(tmp_path_factory) -> Path:
    """A set of one question, whose true answer is the demo model's own."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("set")
    Image.new("RGB", (64, 64), (90, 90, 90)).save(folder / "grey.png")
    item = {
        "id": "1",
        "image": "grey.png",
        "question": "Is this an X-ray?",
        "answer": "maybe",
        "answer_type": "closed",
    }
    (folder / "set.jsonl").write_text(json.dumps(item) + "\n")
    return folder / "set.jsonl"


def test_a_checkpoint_against_itself(one_question, tmp_path, monkeypatch, capsys):
    """Given as its own export it says the same; the true answer is one that it never gives."""
    monkeypatch.setattr(torch_device, "_REPEATS", 1)
    words = [
        "--checkpoint",
        str(demo_checkpoint()),
        "--set",
        str(one_question),
        "--tokens",
        "3",
        "--device",
        "cpu",
    ]
    monkeypatch.setattr(sys, "argv", ["torch_device", *words, "--dtype", "float32", "--out", str(tmp_path)])
    torch_device.main()
    document = json.loads(capsys.readouterr().out.splitlines()[-1])
    (row,) = document["rows"]
    assert row["name"] == "float32" and not row["simulated"] and row["questions"] == 1
    assert row["same"] == 1 and row["right"] == 0
    assert row["ttft_ms"] > 0 and row["tokens_per_s"] > 0
    (kept,) = tmp_path.iterdir()
    assert json.loads(kept.read_text()) == document and kept.name.startswith("torch-")
    assert document["device"] == torch_device.device_name(torch.device("cpu"))
