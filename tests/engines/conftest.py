"""Engines and questions that the tests here share."""

import queue
import shutil
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from radserve_engines.assets import demo_engine
from radserve_engines.errors import EngineError
from radserve_engines.generation import Delta, Generation, Sampling
from radserve_engines.manifest import EngineManifest, read_manifest, write_manifest
from radserve_engines.runtime.fake import FakeRuntime
from radserve_engines.runtime.protocol import Handle, Runtime


@pytest.fixture(scope="session")
def engine_folder() -> Path:
    return demo_engine()


@pytest.fixture
def copied_engine(engine_folder: Path, tmp_path: Path) -> Path:
    """An engine folder that a test may damage: tokenizer, template and a manifest of those two, not calibrated."""
    folder = tmp_path / "engine"
    folder.mkdir()
    manifest = read_manifest(engine_folder)
    kept = {name: manifest.files[name] for name in ("tokenizer.json", manifest.chat_template)}
    for name in kept:
        shutil.copy(engine_folder / name, folder / name)
    write_manifest(folder, replace(manifest, target="fake", files=kept, confidence=None))
    return folder


@pytest.fixture
def manifest(copied_engine: Path) -> EngineManifest:
    return read_manifest(copied_engine)


@pytest.fixture
def fake(copied_engine: Path, manifest: EngineManifest) -> Iterator[FakeRuntime]:
    runtime = FakeRuntime(copied_engine, manifest, max_running=2)
    yield runtime
    runtime.close()


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Miniatures are so small that threads only wait for each other."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def make_adapter(tmp_path: Path) -> Callable[..., Path]:
    """`make_adapter(base, targets, seed, **LoRA)`: a trained one, that is, with a B that is not zero."""

    def make(base: Path, targets: list[str] | str, seed: int = 1, **more: object) -> Path:
        import peft
        import torch

        from radserve_engines.checkpoints import read_checkpoint
        from radserve_engines.checkpoints.loading import load_model

        model = load_model(read_checkpoint(base), torch.float32)
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


class Asked:
    """A question under way and what has come of it so far."""

    def __init__(self, runtime: Runtime, generation: Generation) -> None:
        self.items: queue.Queue[Delta | EngineError] = queue.Queue()
        self.handle: Handle = runtime.submit(generation, self.items.put)

    def next(self) -> Delta:
        item = self.items.get(timeout=30)
        if isinstance(item, EngineError):
            raise item
        return item

    def rest(self) -> list[Delta]:
        """Every delta up to the last."""
        deltas = [self.next()]
        while not deltas[-1].finish_reason:
            deltas.append(self.next())
        return deltas


Ask = Callable[..., Asked]


@pytest.fixture
def ask() -> Ask:
    def ask_runtime(
        runtime: Runtime, text: str = "Is this a CT?", *, images: int = 1, **sampling: object
    ) -> Asked:
        return Asked(runtime, build_question(text, images=images, **sampling))

    return ask_runtime


@pytest.fixture
def follow() -> Callable[[Runtime, Generation], Asked]:
    """Submit a generation of one's own."""
    return Asked


@pytest.fixture
def question() -> Callable[..., Generation]:
    """Builds a generation: `question(text, images=…, **sampling)`."""
    return build_question


def build_question(text: str, *, images: int = 1, **sampling: object) -> Generation:
    parts = [{"type": "image"}] * images + [{"type": "text", "text": text}]
    pixels = tuple(np.full((224, 224, 3), 40 * i, np.uint8) for i in range(images))
    return Generation(({"role": "user", "content": parts},), pixels, Sampling().merged(sampling))
