"""Miniatures, made once."""

import shutil
from pathlib import Path

import pytest

from radserve_engines.checkpoints.miniatures import make_miniature

TARGETS = {
    "blip-2/bloom": ["query_key_value", "dense_h_to_4h"],
    "qwen2_5_vl": r".*language_model.*\.(q_proj|down_proj)|.*visual.*\.(qkv|up_proj)",
}


@pytest.fixture(scope="module", autouse=True)
def calm(one_thread):
    """All tests here are about miniatures."""


@pytest.fixture(scope="session")
def miniature(tmp_path_factory):
    """`miniature(name)`: a folder that no test may change."""
    made: dict[str, Path] = {}

    def make(name):
        if name not in made:
            made[name] = make_miniature(name, tmp_path_factory.mktemp("miniature"))
        return made[name]

    return make


@pytest.fixture
def copied(miniature, tmp_path):
    """`copied(name)`: a folder that a test may damage."""
    return lambda name: Path(shutil.copytree(miniature(name), tmp_path / "copied"))


@pytest.fixture(scope="session")
def targets():
    """The modules that a LoRA of each family is usually put on."""
    return lambda name: TARGETS.get(name, ["q_proj", "v_proj"])
