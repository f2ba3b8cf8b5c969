"""Miniatures, made once, and LoRA adapters for them."""

import shutil
import warnings
from pathlib import Path

import pytest
import torch

from radserve_engines.checkpoints import read_checkpoint
from radserve_engines.checkpoints.loading import load_model
from radserve_engines.checkpoints.miniatures import make_miniature

TARGETS = {
    "blip-2/bloom": ["query_key_value", "dense_h_to_4h"],
    "qwen2_5_vl": r".*language_model.*\.(q_proj|down_proj)|.*visual.*\.(qkv|up_proj)",
}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Miniatures are so small that threads only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


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


@pytest.fixture
def make_adapter(tmp_path):
    """`make_adapter(base, targets, seed, **LoRA)`: a trained one, that is, with a B that is not zero."""

    def make(base, targets, seed=1, **more):
        import peft

        checkpoint = read_checkpoint(base)
        model = load_model(checkpoint, torch.float32)
        config = peft.LoraConfig(r=4, lora_alpha=8, target_modules=targets, **more)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of tied embeddings, which some tests are about
            adapted = peft.get_peft_model(model, config)
            generator = torch.Generator().manual_seed(seed)
            for name, value in adapted.named_parameters():
                if "lora_B" in name or "modules_to_save" in name:
                    value.data = value.data + 0.3 * torch.randn(value.shape, generator=generator)
            folder = tmp_path / f"adapter-{seed}"
            adapted.save_pretrained(folder)
        return folder

    return make


@pytest.fixture(scope="session")
def targets():
    """The modules that a LoRA of each family is usually put on."""
    return lambda name: TARGETS.get(name, ["q_proj", "v_proj"])
