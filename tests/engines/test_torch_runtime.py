"""The PyTorch runtime judges what it is given: a quantized file as it is, broken ones as broken, each image once."""

import json
import queue
import shutil
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText

from radserve_engines.assets import demo_checkpoint
from radserve_engines.checkpoints.miniatures import IMAGE_SIDE, make_miniature
from radserve_engines.errors import CheckpointError, EngineError, EngineFailed, QuestionRefused
from radserve_engines.evaluation import load_sets
from radserve_engines.families import family_named
from radserve_engines.families.model_inputs import ModelInputs
from radserve_engines.generation import Delta, Generation, Sampling, joined
from radserve_engines.manifest import EngineManifest, read_manifest
from radserve_engines.openvino.graphs import load_traceable
from radserve_engines.prompt import PromptTemplate
from radserve_engines.runtime.torch import TorchRuntime, find_tower, load_model
from radserve_engines.runtime.vision_memory import remember
from radserve_imaging import ImagePolicy, render

SLAKE = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "slake" / "validate.jsonl"
QUESTIONS = 8
Change = Callable[[dict[str, torch.Tensor]], None]
Texts = Callable[..., list[str]]


@pytest.fixture(scope="module")
def demo() -> EngineManifest:
    return replace(read_manifest(demo_checkpoint()), files={})


@pytest.fixture(scope="module")
def questions(demo: EngineManifest) -> list[Generation]:
    """On different images of SLAKE, with open and closed answers."""
    if not SLAKE.is_file():
        pytest.skip("the shared medical question sets are not beside this checkout")
    (whole,) = load_sets([SLAKE])
    chosen = whole.questions[:: len(whole.questions) // QUESTIONS][:QUESTIONS]
    return [
        ask(render(Path(one.image).read_bytes(), demo.image_policy).pixels, one.question) for one in chosen
    ]


def ask(pixels: Any, text: str) -> Generation:
    parts = [{"type": "image"}, {"type": "text", "text": text}]
    sampling = Sampling(max_tokens=12, logprobs=True)
    return Generation(({"role": "user", "content": parts},), (pixels,), sampling)


@pytest.fixture(scope="module")
def quantized(tmp_path_factory: pytest.TempPathFactory, questions: list[Generation]) -> Path:
    """The demo checkpoint in FP8 by ModelOpt, calibrated on half of the questions."""
    folder = tmp_path_factory.mktemp("fp8")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what ModelOpt misses on a CPU
        export_fp8(folder, questions[::2])
    return folder


def export_fp8(folder: Path, questions: list[Generation]) -> None:
    import modelopt.torch.quantization as mtq
    from modelopt.torch.export import export_hf_checkpoint

    model = AutoModelForImageTextToText.from_pretrained(demo_checkpoint(), dtype=torch.bfloat16).eval()
    model.config.architectures = [type(model).__name__]
    template = PromptTemplate(demo_checkpoint(), read_manifest(demo_checkpoint()))
    encode = ModelInputs(demo_checkpoint()).encode
    inputs = [encode(template.render(one.messages, one.images).text, one.images) for one in questions]
    recipe = {**mtq.FP8_DEFAULT_CFG}
    recipe["quant_cfg"] = [*recipe["quant_cfg"], {"quantizer_name": "*visual*", "enable": False}]
    with torch.no_grad():
        model = mtq.quantize(model, recipe, lambda one: [one(**given) for given in inputs])
        export_hf_checkpoint(model, export_dir=folder)
    for path in demo_checkpoint().iterdir():
        if path.suffix != ".safetensors" and not (folder / path.name).exists():
            shutil.copy(path, folder / path.name)


@pytest.fixture(scope="module")
def texts(demo: EngineManifest, questions: list[Generation]) -> Texts:
    """The answers of the model in a folder, image i swapped for image i + `shift`; a folder is asked once."""
    known: dict[tuple[Path, int], list[str]] = {}

    def answer_all(folder: Path, shift: int = 0) -> list[str]:
        if (folder, shift) not in known:
            runtime = TorchRuntime(folder, demo)
            shown = questions[shift:] + questions[:shift]
            given = [replace(one, images=two.images) for one, two in zip(questions, shown, strict=True)]
            known[folder, shift] = [answer(runtime, one).text for one in given]
            runtime.close()
        return known[folder, shift]

    return answer_all


def answer(runtime: TorchRuntime, generation: Generation) -> Delta:
    items: queue.Queue[Delta | EngineError] = queue.Queue()
    runtime.submit(generation, items.put)
    deltas: list[Delta] = []
    while not (deltas and deltas[-1].finish_reason):
        item = items.get(timeout=60)
        if isinstance(item, EngineError):
            raise item
        deltas.append(item)
    return joined(deltas)


def damaged(source: Path, folder: Path, change: Change) -> Path:
    shutil.copytree(source, folder, dirs_exist_ok=True)
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def same(one: list[str], other: list[str]) -> int:
    return sum(a == b for a, b in zip(one, other, strict=True))


def test_fp8_answers_as_bf16_and_a_scale_off_by_100_does_not(
    quantized: Path, texts: Texts, tmp_path: Path
) -> None:
    def blow_up(tensors: dict[str, torch.Tensor]) -> None:
        tensors["model.layers.1.mlp.down_proj.weight_scale"] *= 100

    plain = texts(demo_checkpoint())
    assert len(set(plain)) > 4
    assert same(texts(quantized), plain) >= QUESTIONS - 1
    assert same(texts(damaged(quantized, tmp_path, blow_up)), plain) <= QUESTIONS / 2


def test_a_vision_tower_of_zeros_sees_nothing(quantized: Path, texts: Texts, tmp_path: Path) -> None:
    def blind(tensors: dict[str, torch.Tensor]) -> None:
        for name in tensors:
            if name.startswith("visual."):
                tensors[name] = torch.zeros_like(tensors[name])

    plain, folder = texts(quantized), damaged(quantized, tmp_path, blind)
    zeroed = texts(folder)
    assert same(zeroed, plain) < QUESTIONS
    assert zeroed == texts(folder, shift=1)
    assert plain != texts(quantized, shift=1)


def test_non_finite_logits_end_the_answer_and_not_the_engine(demo: EngineManifest) -> None:
    """One NaN among the weights of a middle layer."""
    grey = np.full((demo.image_policy.height, demo.image_policy.width, 3), 90, np.uint8)
    runtime = TorchRuntime(demo_checkpoint(), demo)
    hurt = runtime._model.get_submodule("model.language_model.layers.2.mlp.down_proj").weight
    kept = hurt.detach().clone()
    with torch.no_grad():
        hurt[0, 0] = torch.nan
    with pytest.raises(EngineFailed, match="non-finite") as failed:
        answer(runtime, ask(grey, "Is this a CT?"))
    assert failed.value.reason == "non_finite"
    with torch.no_grad():
        hurt.copy_(kept)
    assert answer(runtime, ask(grey, "Is this a CT?")).finish_reason == "stop"
    runtime.close()


@pytest.fixture
def remembering(demo: EngineManifest) -> Iterator[TorchRuntime]:
    runtime = TorchRuntime(demo_checkpoint(), demo, vision_memory=1 << 24)
    yield runtime
    runtime.close()


def test_an_image_asked_about_again_is_not_encoded_again_and_nothing_else_changes(
    demo: EngineManifest, remembering: TorchRuntime
) -> None:
    generator = np.random.default_rng(0)
    shape = (demo.image_policy.height, demo.image_policy.width, 3)
    images = [generator.integers(0, 255, shape, dtype=np.uint8) for _ in range(2)]
    blocks = find_tower(remembering._model, family_named("qwen2_5_vl")).blocks  # type: ignore[union-attr]
    passes: list[None] = []
    blocks[0].register_forward_hook(lambda *_: passes.append(None))
    plain = TorchRuntime(demo_checkpoint(), demo)
    for text in ("Is this a CT?", "What organ is shown?"):
        for image in images:
            one, other = (answer(runtime, ask(image, text)) for runtime in (plain, remembering))
            assert (one.text, one.logprobs) == (other.text, other.logprobs)
            assert other.timings.vision_ms > 0
    plain.close()
    assert len(passes) == len(images)


def test_what_was_used_longest_ago_is_forgotten_first() -> None:
    tower = torch.nn.Linear(4, 4, bias=False)
    computed: list[float] = []
    compute = tower.forward
    tower.forward = lambda x: (computed.append(float(x[0, 0])), compute(x))[1]  # type: ignore[method-assign]
    remember(tower, most_bytes=2 * 16)
    for value in (1.0, 2.0, 1.0, 3.0, 1.0, 2.0):
        given = torch.full((1, 4), value)
        assert torch.equal(tower(given), compute(given))
    assert computed == [1, 2, 3, 2]


def test_the_towers_and_models_of_families_are_found() -> None:
    model = load_model(demo_checkpoint(), torch.float32)
    assert find_tower(model, family_named("qwen2_5_vl")) is model.model.visual
    assert find_tower(torch.nn.Linear(2, 2), family_named("llava")) is None


@pytest.fixture
def miniature(demo: EngineManifest, tmp_path: Path) -> Callable[[str], tuple[Path, EngineManifest]]:
    """A folder that a test may change, and a manifest for it."""

    def make(name: str) -> tuple[Path, EngineManifest]:
        policy = ImagePolicy(width=IMAGE_SIDE, height=IMAGE_SIDE, fit="stretch", max_images=2)
        family = family_named(name.partition("/")[0]).name
        manifest = replace(demo, family=family, image_policy=policy, confidence=None)
        return make_miniature(name, tmp_path / "miniature"), manifest

    return make


Miniature = Callable[[str], tuple[Path, EngineManifest]]


def says(folder: Path, manifest: EngineManifest, generation: Generation) -> Delta:
    runtime = TorchRuntime(folder, manifest)
    try:
        return answer(runtime, generation)
    finally:
        runtime.close()


def test_how_tokens_are_chosen_is_the_questions_to_say_not_the_checkpoints(miniature: Miniature) -> None:
    """Engines know nothing of a generation_config.json's penalties; were the reference to obey, a gate would differ."""
    folder, manifest = miniature("qwen2_5_vl")
    asked = ask(
        np.random.default_rng(0).integers(0, 256, (IMAGE_SIDE, IMAGE_SIDE, 3), np.uint8), "Is this a CT?"
    )
    plain = says(folder, manifest, asked)
    assert len(set(plain.token_ids)) < len(plain.token_ids)  # it repeats itself: a penalty would show
    path = folder / "generation_config.json"
    suggested = {"repetition_penalty": 1.9, "no_repeat_ngram_size": 1, "num_beams": 2, "max_new_tokens": 3}
    path.write_text(json.dumps({**json.loads(path.read_text()), **suggested}))
    penalised = says(folder, manifest, asked)
    assert (penalised.token_ids, penalised.score) == (plain.token_ids, plain.score)


@pytest.mark.parametrize("drawn", [{"temperature": 1e-40}, {"top_p": 0.0}, {"top_k": 1}])
def test_a_draw_from_one_token_is_greedy(miniature: Miniature, drawn: dict[str, float]) -> None:
    folder, manifest = miniature("qwen2_5_vl")
    asked = ask(np.zeros((IMAGE_SIDE, IMAGE_SIDE, 3), np.uint8), "Is this a CT?")
    drawing = replace(asked, sampling=replace(asked.sampling, **{"temperature": 2.0, **drawn}))
    one, other = (says(folder, manifest, generation) for generation in (asked, drawing))
    assert (one.token_ids, one.logprobs) == (other.token_ids, other.logprobs)


def test_a_question_without_an_image_spends_no_time_on_vision(miniature: Miniature) -> None:
    folder, manifest = miniature("qwen2_5_vl")
    text = Generation(({"role": "user", "content": "Is this a CT?"},), (), Sampling(max_tokens=12))
    timings = says(folder, manifest, text).timings
    assert timings is not None
    assert 5 * timings.vision_ms < timings.prefill_ms


def test_blip_2_refuses_a_question_without_an_image(miniature: Miniature) -> None:
    text = Generation(({"role": "user", "content": "Is this a CT?"},), (), Sampling(max_tokens=12))
    with pytest.raises(QuestionRefused, match="send one"):
        says(*miniature("blip-2/opt"), text)


def test_a_checkpoint_that_lacks_a_tensor_is_not_filled_with_random_numbers(miniature: Miniature) -> None:
    """In one file, without an index, nothing but the class knows that it should be there."""
    folder, manifest = miniature("qwen2_5_vl")
    tensors: dict[str, torch.Tensor] = {}
    for path in folder.glob("*.safetensors"):
        tensors |= load_file(path)
        path.unlink()
    (folder / "model.safetensors.index.json").unlink()
    lost = next(name for name in tensors if name.endswith("layers.1.mlp.up_proj.weight"))
    del tensors[lost]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    for load in (lambda: TorchRuntime(folder, manifest), lambda: load_traceable(folder)):
        with pytest.raises(CheckpointError, match=r"lacks 1 tensors.*up_proj"):
            load()
