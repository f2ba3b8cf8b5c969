"""OpenVINO engines of a tiny random Qwen2.5-VL: rectangles, several windows and images, as PyTorch has them."""

import contextlib
import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from radserve_engines.assets import demo_checkpoint
from radserve_engines.errors import BuildRefused, CheckpointError
from radserve_engines.generation import Generation, Sampling
from radserve_engines.manifest import EngineManifest
from radserve_engines.openvino import graphs
from radserve_imaging import ImagePolicy

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
openvino = pytest.importorskip("openvino")
pytest.importorskip("nncf")

from radserve_engines.openvino.export import build_openvino, complete_preprocessor, runtime_options  # noqa: E402
from radserve_engines.openvino.inputs import DecoderInputs, VisionInputs  # noqa: E402

DEMO = Path(__file__).parents[2] / "models" / "radserve-demo"
SIZES = ((112, 168), (84, 140), (28, 280))  # in the second, windows at the edge are not whole
EXACT = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"}


def make_config(tied: bool) -> Any:
    """Windows of 56 px, 4 query heads on 2 key–value heads, 3 text layers."""
    text = {
        "vocab_size": 4096,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "rope_scaling": {"type": "mrope", "mrope_section": [2, 3, 3]},
        "tie_word_embeddings": tied,
        "initializer_range": 0.2,
    }
    vision = {
        "depth": 3,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_heads": 4,
        "out_hidden_size": 64,
        "window_size": 56,
        "fullatt_block_indexes": [1],
        "initializer_range": 0.2,
    }
    special = json.loads((demo_checkpoint() / "config.json").read_text())
    ids = {name: value for name, value in special.items() if name.endswith("_token_id")}
    return transformers.Qwen2_5_VLConfig(
        text_config=text, vision_config=vision, tie_word_embeddings=tied, initializer_range=0.2, **ids
    )


def save_checkpoint(folder: Path, tied: bool) -> Path:
    """In bfloat16, with the demo checkpoint's tokenizer and a preprocessing that resizes nothing."""
    torch.manual_seed(7)
    model = transformers.Qwen2_5_VLForConditionalGeneration(make_config(tied)).to(torch.bfloat16)
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja"):
        shutil.copy(demo_checkpoint() / name, folder / name)
    shutil.copy(demo_checkpoint() / "generation_config.json", folder / "generation_config.json")
    preprocessing = json.loads((demo_checkpoint() / "preprocessor_config.json").read_text())
    least, most = 784, 1_003_520
    preprocessing |= {
        "min_pixels": least,
        "max_pixels": most,
        "size": {"shortest_edge": least, "longest_edge": most},
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessing))
    return folder


def make_image(seed: int, size: tuple[int, int]) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def make_question(*images: Any, max_tokens: int = 6) -> Generation:
    content = [{"type": "image"}] * len(images) + [{"type": "text", "text": "Which organ is shown?"}]
    sampling = Sampling(max_tokens=max_tokens, ignore_eos=True, logprobs=True)
    return Generation(({"role": "user", "content": content},), images, sampling)


def describe(options: dict[str, Any], target: str) -> EngineManifest:
    return EngineManifest(
        name="tiny",
        target=target,
        precision="bf16",
        family="qwen2_5_vl",
        context_length=512,
        image_policy=ImagePolicy(width=168, height=112),
        decoding=Sampling(),
        intended_use="a test",
        checkpoint_sha256="",
        files={},
        runtime_options=options,
    )


Answers = list[tuple[list[int], list[float]]]


@pytest.fixture
def answers(follow: Callable[..., Any]) -> Callable[..., Answers]:
    """Greedy tokens of an engine folder's answers, and their log-probabilities."""

    def ask(runtime: Any, questions: list[Generation]) -> Answers:
        told = []
        for question in questions:
            deltas = follow(runtime, question).rest()
            told.append(([i for d in deltas for i in d.token_ids], [p for d in deltas for p in d.logprobs]))
        runtime.close()
        return told

    return ask


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(tmp_path_factory.mktemp("untied"), tied=False)


@pytest.fixture(scope="module")
def reference(checkpoint: Path) -> Any:
    return load_reference(checkpoint)


def load_reference(folder: Path) -> Any:
    return transformers.Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def traceable(checkpoint: Path) -> Any:
    return graphs.load_traceable(checkpoint)


@pytest.fixture(scope="module")
def plain(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bf16 engine."""
    folder = tmp_path_factory.mktemp("plain")
    build_openvino(checkpoint, folder, precision="bf16")
    return folder


def load_openvino(folder: Path, options: dict[str, Any]) -> Any:
    from radserve_engines.runtime.openvino import OpenVinoRuntime

    return OpenVinoRuntime(folder, describe(options, "openvino"))


def load_torch(folder: Path) -> Any:
    from radserve_engines.runtime.torch import TorchRuntime

    return TorchRuntime(folder, describe({}, "torch"))


def compile_graph(folder: Path, name: str) -> Any:
    path = graphs.graph_path(folder, name)
    return openvino.Core().compile_model(path, "CPU", EXACT)


def encode_in_pytorch(reference: Any, checkpoint: Path, images: list[Any]) -> Any:
    processor = transformers.Qwen2VLImageProcessor.from_pretrained(checkpoint)
    features = processor(images=images, return_tensors="pt")
    with torch.no_grad():
        return reference.model.visual(features["pixel_values"], features["image_grid_thw"]).numpy()


def test_answers_about_rectangles_and_several_images_are_pytorchs(checkpoint, plain, answers):
    """Through GenAI, which lays out windows and masks itself; log-probabilities to 0.002."""
    questions = [make_question(make_image(n, size)) for n, size in enumerate(SIZES)]
    questions.append(make_question(*(make_image(9 + n, size) for n, size in enumerate(SIZES))))
    expected = answers(load_torch(checkpoint), questions)
    given = answers(load_openvino(plain, EXACT), questions)
    assert [ids for ids, _ in given] == [ids for ids, _ in expected]
    for (_, ours), (_, theirs) in zip(given, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-3)
    assert len({tuple(p) for _, p in expected}) == len(questions)  # the images do matter


def test_calibration_feeds_the_vision_graphs_what_the_model_computes(plain, checkpoint, traceable, reference):
    inputs = VisionInputs(traceable, checkpoint, plain)
    images = [make_image(n, size) for n, size in enumerate(SIZES)]
    expected = encode_in_pytorch(reference, checkpoint, images)
    tokens = compile_graph(plain, graphs.VISION_MERGER)(inputs.encode(images))[0]
    np.testing.assert_allclose(tokens, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


def test_calibration_feeds_the_language_model_what_the_model_computes(
    plain, checkpoint, traceable, reference
):
    """And its cache remembers: all at once gives the logits that prefill and single steps give."""
    sample = make_question(*(make_image(n, size) for n, size in enumerate(SIZES[:2])))
    given = DecoderInputs(traceable, checkpoint, plain).encode(sample)
    with torch.no_grad():
        embeds, positions = torch.from_numpy(given["inputs_embeds"]), torch.from_numpy(given["position_ids"])
        text = reference.model.language_model(inputs_embeds=embeds, position_ids=positions)
        expected = reference.lm_head(text.last_hidden_state).numpy()
    length = given["attention_mask"].shape[1]
    request = compile_graph(plain, graphs.LANGUAGE_MODEL).create_infer_request()
    for start, end in ((0, length - 2), (length - 2, length - 1), (length - 1, length)):
        part = {
            **given,
            "inputs_embeds": given["inputs_embeds"][:, start:end],
            "position_ids": given["position_ids"][:, :, start:end],
            "attention_mask": given["attention_mask"][:, :end],
        }
        np.testing.assert_allclose(request.infer(part)["logits"], expected[:, start:end], atol=5e-3)


@pytest.fixture(scope="module")
def tied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With its chat template where older checkpoints have it."""
    folder = save_checkpoint(tmp_path_factory.mktemp("tied"), tied=True)
    template = (folder / "chat_template.jinja").read_text()
    (folder / "chat_template.jinja").unlink()
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": template}))
    return folder


@pytest.fixture(scope="module")
def calibrated(tied: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any], str]:
    """The INT4 engine, whose vision tower and head are INT8, and what was noted and printed meanwhile."""
    folder, noted, printed = tmp_path_factory.mktemp("int4"), [], io.StringIO()
    images = [make_image(n, SIZES[n % 3]) for n in range(6)]
    with contextlib.redirect_stdout(printed):
        build_openvino(
            tied,
            folder,
            precision="int4-awq",
            images=images,
            samples=[make_question(image) for image in images],
            note=lambda done, total: noted.append((done, total)),
        )
    return folder, noted, printed.getvalue()


def test_building_notes_every_step_once(calibrated):
    """And nothing else is drawn into it."""
    _, noted, printed = calibrated
    assert printed == ""
    assert noted == [(step, 4 + 1 + 6 + 6) for step in range(1, 4 + 1 + 6 + 6 + 1)]


def test_int4_engines_hold_what_they_say(calibrated, plain):
    """4-bit weights in the text layers, 8-bit in head, embeddings and vision tower; and files that much smaller."""
    folder = calibrated[0]

    def kinds(name: str) -> list[str]:
        graph = openvino.Core().read_model(graphs.graph_path(folder, name))
        constants = [node for node in graph.get_ops() if node.get_type_name() == "Constant"]
        large = [node for node in constants if np.prod(node.shape) >= 2048 and node.shape[-1] > 1]
        return [node.get_output_element_type(0).get_type_name() for node in large]

    text = kinds(graphs.LANGUAGE_MODEL)
    assert text.count("u4") + text.count("i4") == 3 * 7 and text.count("u8") + text.count("i8") == 1
    for name in (graphs.TEXT_EMBEDDINGS, graphs.VISION_MERGER):
        assert set(kinds(name)) <= {"u8", "i8"}


def test_quantized_vision_towers_keep_to_the_model_on_windows(calibrated, tied):
    folder = calibrated[0]
    reference = load_reference(tied)
    inputs = VisionInputs(reference, tied, folder)
    images = [make_image(50, SIZES[0]), make_image(51, SIZES[1])]
    expected = encode_in_pytorch(reference, tied, images)
    tokens = compile_graph(folder, graphs.VISION_MERGER)(inputs.encode(images))[0]
    assert np.linalg.norm(tokens - expected) < 0.1 * np.linalg.norm(expected)


def test_an_int8_cache_is_what_the_pipeline_computes_with(plain, answers):
    """It changes the probabilities a little, and the manifest's option is what does it."""
    questions = [make_question(make_image(3, SIZES[0]))]
    ((_, exact),) = answers(load_openvino(plain, EXACT), questions)
    told = {kv: answers(load_openvino(plain, EXACT | kv_only(kv)), questions)[0][1] for kv in (None, "int8")}
    halved, eighth = (np.abs(np.subtract(told[kv], exact)).max() for kv in (None, "int8"))
    assert halved < 5e-3
    assert eighth > 4 * halved


def kv_only(kv: str | None) -> dict[str, Any]:
    return {"KV_CACHE_PRECISION": runtime_options(kv)["KV_CACHE_PRECISION"]}


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"precision": "fp8"}, "bf16, int8, int4-awq"),
        ({"precision": "bf16", "kv": "fp8"}, "--kv int8"),
        ({"precision": "int8"}, "--calibration"),
        ({"precision": "int4-awq", "images": [make_image(0, SIZES[0])]}, "questions to calibrate"),
    ],
)
def test_what_cannot_be_built_is_refused_before_any_work(wanted, message, checkpoint, tmp_path):
    with pytest.raises(BuildRefused, match=message):
        build_openvino(checkpoint, tmp_path / "out", **wanted)
    assert not (tmp_path / "out").exists()


def test_what_a_preprocessor_leaves_to_transformers_is_written_out(tmp_path):
    """GenAI would not normalise pixels where the file has no mean; what the file says itself stays."""
    path = tmp_path / "preprocessor_config.json"
    path.write_text(
        json.dumps({"image_processor_type": "Qwen2VLImageProcessor", "image_std": [0.5, 0.5, 0.5]})
    )
    complete_preprocessor(tmp_path)
    written = json.loads(path.read_text())
    assert written["image_mean"] == transformers.image_utils.OPENAI_CLIP_MEAN
    assert written["image_std"] == [0.5, 0.5, 0.5]
    assert {"patch_size", "temporal_patch_size", "merge_size"} <= written.keys()
    path.write_text(json.dumps({"size": {"shortest_edge": 784, "longest_edge": 6272}}))
    complete_preprocessor(tmp_path)
    written = json.loads(path.read_text())
    assert (written["min_pixels"], written["max_pixels"]) == (784, 6272)


def test_a_template_that_genai_finds_no_image_in_is_refused(checkpoint, tmp_path):
    folder = Path(shutil.copytree(checkpoint, tmp_path / "checkpoint"))
    template = (folder / "chat_template.jinja").read_text().replace("<|vision_start|>", "")
    (folder / "chat_template.jinja").write_text(template)
    with pytest.raises(BuildRefused, match="chat template does not write an image"):
        build_openvino(folder, tmp_path / "out", precision="bf16")


def test_checkpoints_that_this_layout_does_not_fit_are_refused(checkpoint, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(checkpoint, copy)
    config = json.loads((copy / "config.json").read_text())
    for change, message in (
        ({"model_type": "qwen2_vl"}, "qwen2_vl"),
        ({"text_config": {**config["text_config"], "layer_types": ["sliding_attention"] * 3}}, "sliding"),
    ):
        (copy / "config.json").write_text(json.dumps({**config, **change}))
        with pytest.raises(BuildRefused, match=message):
            build_openvino(copy, tmp_path / "out", precision="bf16")
    (copy / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match=r"tokenizer\.json"):
        build_openvino(copy, tmp_path / "out", precision="bf16")


@pytest.mark.skipif(not DEMO.is_dir(), reason="the demo model is not in this checkout")
def test_shipped_files_name_no_place_on_the_machine_that_made_them():
    files = [path for path in DEMO.rglob("*") if path.suffix in (".json", ".xml", ".md", ".jinja")]
    assert len(files) > 10
    rooted = re.compile(r"""["'\s=](/(?:home|root|tmp|usr|mnt|opt|work|data|var)/|[A-Z]:\\\\)""")
    assert [str(path) for path in files if rooted.search(path.read_text())] == []
    config = json.loads((DEMO / "checkpoint" / "config.json").read_text())
    assert "_name_or_path" not in config
    assert config["architectures"] == ["Qwen2_5_VLForConditionalGeneration"]
