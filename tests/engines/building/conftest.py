"""A miniature checkpoint with its own manifest, and small question sets to calibrate and judge with."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from radserve_engines.building import BuildRequest
from radserve_engines.checkpoints.miniatures import IMAGE_SIDE, make_miniature
from radserve_engines.gating import GateSettings, Thresholds
from radserve_engines.generation import Sampling
from radserve_engines.manifest import EngineManifest, write_manifest
from radserve_imaging import ImagePolicy

LENIENT = GateSettings(Thresholds(least_questions=10, least_images=5))


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sharded, with an engine.json that says how it was tuned."""
    folder = make_miniature("qwen2_5_vl", tmp_path_factory.mktemp("miniature") / "checkpoint")
    policy = ImagePolicy(width=IMAGE_SIDE, height=IMAGE_SIDE, fit="stretch")
    manifest = EngineManifest(
        name="miniature",
        target="torch",
        precision="bf16",
        family="qwen2_5_vl",
        context_length=256,
        image_policy=policy,
        decoding=Sampling(max_tokens=4),
        intended_use="tests",
        checkpoint_sha256="",
        files={},
    )
    write_manifest(folder, manifest)
    return folder


def write_questions(folder: Path, seed: int) -> Path:
    """Two questions on each of 12 images of noise."""
    folder.mkdir()
    rows = []
    for place in range(12):
        pixels = np.random.default_rng([seed, place]).integers(0, 256, (64, 64, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{place}.png")
        for question in ("Is this a CT?", "Which organ is shown?"):
            row = {
                "id": f"{place} {question}",
                "image": f"{place}.png",
                "question": question,
                "answer": "yes",
            }
            rows.append(json.dumps({**row, "answer_type": "closed", "modality": "CT"}))
    path = folder / "questions.jsonl"
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.fixture(scope="session")
def gate_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_questions(tmp_path_factory.mktemp("sets") / "gate", 1)


@pytest.fixture(scope="session")
def calibration_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_questions(tmp_path_factory.mktemp("sets") / "calibration", 2)


Wish = Callable[..., BuildRequest]


@pytest.fixture
def wish(checkpoint: Path, gate_set: Path, calibration_set: Path, signing_key: Path, tmp_path: Path) -> Wish:
    """A request to build the miniature, gated and signed, in PyTorch unless said otherwise."""

    def build(**more: object) -> BuildRequest:
        usual = {
            "checkpoint": checkpoint,
            "out": tmp_path / "engine",
            "target": "torch",
            "calibration": (calibration_set,),
            "gate": (gate_set,),
            "gate_settings": LENIENT,
            "key": signing_key,
            "samples": 4,
        }
        return BuildRequest(**{**usual, **more})  # type: ignore[arg-type]

    return build
