"""The GPU script: true sizes, the planner's arithmetic, the same tokens in every way, and a run that loses nothing."""

import importlib.util
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from radserve_engines.planning.gpus import GPUS
from radserve_engines.planning.model_size import size_of
from radserve_engines.planning.question import question_for
from radserve_engines.planning.roofline import Roofline
from radserve_engines.precision import PRECISIONS

torch = pytest.importorskip("torch", reason="the PyTorch baseline is not installed")
pytest.importorskip("transformers", reason="the PyTorch baseline is not installed")


SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu.py"
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def gpu() -> Any:
    spec = importlib.util.spec_from_file_location("gpu_script", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["gpu_script"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["gpu_script"]


@pytest.fixture(scope="module")
def tiny(gpu) -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(1)
    model = gpu.make_model(gpu.make_config("tiny"), CPU, torch.float32)
    with torch.no_grad():  # so large that attention, not the last token alone, says what comes next
        for name, value in model.named_parameters():
            value.mul_(1 if "norm" in name or "embed" in name else 10)
    yield model
    torch.set_num_threads(threads)


@pytest.fixture(scope="module", params=["3b", "7b"])
def full_size(gpu, request) -> tuple[str, Any, Any]:
    """Name, model without memory, and its size."""
    model = gpu.make_model(gpu.make_config(request.param), torch.device("meta"), torch.bfloat16)
    return request.param, model, gpu.Size.of(model)


def settings(gpu, tokens: int = 5) -> Any:
    return gpu.Settings(CPU, torch.float32, tokens, 0.0)


def test_the_models_have_their_published_size(full_size):
    """3B: 2.775 B in the layers, 0.311 B in the tied head, 0.668 B in the vision tower, 36,864 bytes of KV a token."""
    name, model, size = full_size
    vision = sum(one.numel() for one in model.model.visual.parameters())
    if name == "3b":
        assert size.body == pytest.approx(2.775e9, rel=1e-3) and size.head == pytest.approx(0.311e9, rel=1e-3)
        assert vision == pytest.approx(0.668e9, rel=2e-3) and size.kv_bytes == 36_864
    known = size_of(f"qwen2.5-vl-{name}")
    assert sum(one.numel() for one in model.parameters()) == known.parameters
    assert (size.body, size.head, vision) == (
        known.language.body,
        known.language.head,
        known.vision.parameters,
    )
    assert next(model.parameters()).dtype == torch.bfloat16


@pytest.mark.parametrize("side", [448, 896])
@pytest.mark.parametrize("batch", [1, 64])
def test_limits_are_the_planners(full_size, side, batch):
    name, _, size = full_size
    known = size_of(f"qwen2.5-vl-{name}")
    question = question_for(known, image=(side, side), answer=64)
    best = Roofline(known, GPUS["H100"], PRECISIONS["bf16"], question)
    bandwidth, arithmetic = GPUS["H100"].bandwidth, GPUS["H100"].bf16
    patches = (side // 14) ** 2
    flop = size.first_flop(patches, question.prompt)
    assert flop / arithmetic == pytest.approx(best.ttft(), rel=0.01)
    step = max(
        size.step_bytes(batch, question.decoding) / bandwidth,
        batch * size.step_flop(question.decoding) / arithmetic,
    )
    assert step == pytest.approx(best.step(batch), rel=0.01)


def test_data_sheets_are_the_planners(gpu):
    names = {"H100": "H100 80GB HBM3", "A100-80": "A100-SXM4-80GB", "A100-40": "A100-SXM4-40GB"}
    for name, card in GPUS.items():
        assert gpu._CARDS[names.get(name, name)] == (card.bandwidth, card.bf16)


def test_positions_are_those_that_the_model_counts_itself(gpu, tiny):
    asked = gpu.make_question(tiny.config, 112, 2, CPU, torch.float32)
    positions, deltas = tiny.model.get_rope_index(asked.ids, image_grid_thw=asked.grid)
    assert torch.equal(positions, asked.positions)
    assert asked.prompt + int(deltas[0]) == asked.next_position


@pytest.mark.parametrize("way", ["eager", "sdpa", "graph"])
@pytest.mark.parametrize("side", [56, 140])
def test_every_way_answers_as_generate_does(gpu, tiny, way, side):
    """Rows differ in text and pixels, so that one in another's place would show; and so does a second answer."""
    asked = gpu.make_question(tiny.config, side, 3, CPU, torch.float32)
    tiny.set_attn_implementation("sdpa")
    with torch.inference_mode():
        expected = tiny.generate(
            input_ids=asked.ids,
            attention_mask=torch.ones_like(asked.ids),
            pixel_values=asked.pixels,
            image_grid_thw=asked.grid,
            max_new_tokens=9,
            min_new_tokens=9,
            do_sample=False,
            pad_token_id=0,
        )[:, asked.prompt :]
    assert len(set(expected.flatten().tolist())) > 20  # of 27: no row repeats itself, or another
    subject = gpu.WAYS[way](tiny, asked, 9)
    assert tiny.config.vision_config._attn_implementation == ("eager" if way == "eager" else "sdpa")
    for _ in range(2):
        answered = subject.answer()
        assert torch.equal(torch.cat(answered.tokens, 1), expected)
        assert 0 < answered.vision < answered.times[0] and answered.times == sorted(answered.times)


def test_figures_are_what_their_formulas_say(gpu, tiny):
    """Two answers of three tokens to a batch of four: first after 2 and 4 s, then one every 0.5 s."""
    asked = gpu.make_question(tiny.config, 56, 4, CPU, torch.float32)
    runs = [gpu.Answered(vision=first / 2, times=[first, first + 0.5, first + 1.0]) for first in (2.0, 4.0)]
    size = gpu.Size.of(tiny)
    found = gpu.figures(size, asked, runs, (1e9, 1e12))
    assert found["ttft_ms"] == {"median": 3000, "least": 2000, "most": 4000}
    assert found["vision_ms"]["median"] == found["prefill_ms"]["median"] == 1500
    assert found["itl_ms"]["median"] == 500 and found["decode_tokens_per_s"] == 8
    assert found["tokens_per_s"] == 12 / 4
    least = size.step_bytes(4, asked.prompt + 1.5) / 1e9
    assert found["decode_share"] == pytest.approx(least / 0.5, abs=1e-4)


def test_a_batch_that_does_not_fit_is_told_and_the_run_goes_on(gpu, monkeypatch):
    """Larger ones of its kind are not tried; other ways are; what breaks otherwise is told with its words."""
    tried = []

    def scarce(model: Any, asked: Any, tokens: int) -> Any:
        tried.append(asked.ids.shape[0])
        if asked.ids.shape[0] > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return gpu.Static(model, asked, tokens)

    def broken(model: Any, asked: Any, tokens: int) -> Any:
        raise RuntimeError("no kernel")

    monkeypatch.setattr(gpu, "WAYS", {**gpu.WAYS, "graph": scarce, "compiled": broken})
    points = [("tiny", 56, batch, way) for batch in (1, 2, 3) for way in ("graph", "sdpa", "compiled")]
    kept: list[int] = []
    document = gpu.run(points, settings(gpu), math.inf, lambda one: kept.append(len(one["points"])))
    assert kept == list(range(1, 10)) and document["complete"]
    errors = [one.get("error") for one in document["points"]]
    assert errors[0::3] == [None, "out of memory", "not tried: a smaller batch was out of memory"]
    assert errors[1::3] == [None] * 3 and errors[2::3] == ["RuntimeError: no kernel"] * 3
    assert tried == [1, 2]
    assert "out of memory" in gpu.markdown(document)


def test_an_interruption_and_an_end_of_time_keep_what_was_measured(gpu, monkeypatch):
    def interrupted(model: Any, asked: Any, tokens: int) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(gpu, "WAYS", {**gpu.WAYS, "graph": interrupted})
    points = [("tiny", 56, 1, way) for way in ("eager", "sdpa", "graph", "eager")]
    document = gpu.run(points, settings(gpu), math.inf, lambda one: None)
    assert [one["way"] for one in document["points"]] == ["eager", "sdpa"] and not document["complete"]
    assert document["planned"] == 4
    nothing = gpu.run(points, settings(gpu), -1.0, lambda one: None)
    assert not nothing["points"] and not nothing["complete"]


def test_the_script_runs_by_itself_and_ends_with_its_document(tmp_path):
    """Without this package: `-I` leaves out the folder it lies in, and everything but what is installed."""
    words = [
        sys.executable,
        "-I",
        str(SCRIPT),
        "--tiny",
        "--device",
        "cpu",
        "--tokens",
        "3",
        "--out",
        str(tmp_path),
    ]
    done = subprocess.run(
        words,
        capture_output=True,
        text=True,
        timeout=200,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    document = json.loads(done.stdout.splitlines()[-1])
    assert document["complete"] and len(document["points"]) == document["planned"] == 12
    assert all("error" not in one and one["repeats"] == 2 for one in document["points"])
    assert json.loads((tmp_path / "gpu-cpu-tiny.json").read_text()) == document
    assert (tmp_path / "gpu-cpu-tiny.md").read_text() in done.stdout
    assert "radserve" not in SCRIPT.read_text()


@pytest.mark.parametrize(("status", "joules"), [(0, 12.5), (3, None)])
def test_energy_is_nvmls_counter_of_the_card_in_use(gpu, monkeypatch, status, joules):
    """3 is NVML_ERROR_NOT_SUPPORTED; without a GPU, or without the library, nothing is counted."""

    class Nvml:
        def nvmlInit_v2(self) -> int:
            return 0

        def nvmlDeviceGetHandleByUUID(self, uuid: bytes, card: Any) -> int:
            assert uuid == b"GPU-1-2-3"
            return 0

        def nvmlDeviceGetTotalEnergyConsumption(self, card: Any, millijoules: Any) -> int:
            millijoules._obj.value = 12_500
            return status

    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="1-2-3"))
    assert gpu.EnergyCounter(CPU).joules() is None
    monkeypatch.setattr(gpu.ctypes, "CDLL", lambda name: Nvml())
    assert gpu.EnergyCounter(torch.device("cuda")).joules() == joules


def test_without_nvmls_library_no_energy_is_told(gpu, monkeypatch):
    def missing(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="1-2-3"))
    monkeypatch.setattr(gpu.ctypes, "CDLL", missing)
    assert gpu.EnergyCounter(torch.device("cuda")).joules() is None
