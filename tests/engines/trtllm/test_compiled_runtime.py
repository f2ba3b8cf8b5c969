"""The runtime of compiled engines, through the protocol, on miniature checkpoints of the families that have them.

The stand-in runner has what 1.2's MultimodalModelRunner and ModelRunnerCpp have (runtime/multimodal_model_runner.py,
runtime/model_runner_cpp.py): the parts by name, `generate` that streams ever longer `output_ids` behind the prompt,
padded, with the logits of the last token, and that trips over the word of a cancelled request, which has no logits.
What the engines compute is scripted.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from radserve_engines.checkpoints.miniatures import VOCABULARY, make_miniature
from radserve_engines.errors import EngineFailed, ManifestError, QuestionRefused
from radserve_engines.families import family_named
from radserve_engines.families.model_inputs import ModelInputs
from radserve_engines.manifest import digest_files, read_manifest, write_manifest
from radserve_engines.runtime.trtllm import open_trtllm
from radserve_engines.runtime.trtllm_compiled import CompiledRuntime
from radserve_engines.runtime.trtllm_vision import build_prompt, join_tiles
from radserve_engines.trtllm.signatures import find_faults, read_tables

WIDTH, MAX_SEQ_LEN, END = 8, 256, 2
_KINDS = {"qwen2_vl": "qwen2_vl", "llava": "llava", "blip-2/opt": "blip2-opt"}
Ask = Callable[..., Any]


class Executor:
    def __init__(self) -> None:
        self.requests: list[int] = []
        self.cancelled: list[int] = []
        self.down = False

    def enqueue_requests(self, requests: list[Any]) -> list[int]:
        self.requests.append(len(self.requests) + 1)
        return self.requests[-1:]

    def cancel_request(self, request: int) -> None:
        self.cancelled.append(request)

    def shutdown(self) -> None:
        self.down = True


class Model:
    """ModelRunnerCpp."""

    def __init__(self) -> None:
        self.session: Any = Executor()
        self.said: list[int] = []
        self.calls: list[dict[str, Any]] = []

    def generate(
        self, batch_input_ids: list[torch.Tensor], **given: Any
    ) -> Iterator[dict[str, torch.Tensor]]:
        call = {"batch_input_ids": batch_input_ids, **given}
        if faults := find_faults(call, read_tables("calls")["ModelRunnerCpp.generate"]):
            raise TypeError("; ".join(faults))
        self.calls.append(call)
        (request,) = self.session.enqueue_requests([object()])
        return self._stream(request, batch_input_ids[0].tolist(), given["max_new_tokens"], given["end_id"])

    def _stream(self, request: int, ids: list[int], most: int, end: int) -> Iterator[dict[str, torch.Tensor]]:
        for token in self.said[:most]:
            if request in self.session.cancelled:
                raise ValueError("max() arg is an empty sequence")
            ids = [*ids, token]
            padded = torch.tensor([[ids + [end] * (MAX_SEQ_LEN - len(ids))]])
            logits = torch.arange(VOCABULARY, dtype=torch.float32).mul(0.01).reshape(1, 1, 1, -1)
            yield {
                "output_ids": padded,
                "sequence_lengths": torch.tensor([[len(ids)]]),
                "generation_logits": logits,
            }


class Runner:
    """MultimodalModelRunner."""

    made: "list[Runner]" = []  # noqa: RUF012
    kind, count = "llava", 16

    def __init__(self, args: argparse.Namespace) -> None:
        if faults := find_faults(vars(args), read_tables("calls")["MultimodalModelRunner"]):
            raise TypeError("; ".join(faults))
        self.args, self.model_type, self.device = args, self.kind, "cpu"
        self.model, self.model_config = Model(), SimpleNamespace(vocab_size=VOCABULARY)
        self.seen: list[dict[str, Any]] = []
        Runner.made.append(self)

    def get_visual_features(self, image: torch.Tensor, others: dict[str, Any]) -> tuple[torch.Tensor, None]:
        self.seen.append({"image": image, **others})
        if self.model_type == "qwen2_vl":  # patches, merged two by two
            return torch.zeros(image.shape[0] // 4, WIDTH), None
        return torch.zeros(image.shape[0], self.count, WIDTH), None

    def ptuning_setup(self, table: torch.Tensor, ids: torch.Tensor, lengths: torch.Tensor) -> list[Any]:
        return [table.view(-1, table.shape[2]), None, torch.tensor([table.shape[1]])]

    def setup_fake_prompts_qwen2vl(
        self,
        features: torch.Tensor,
        ids: torch.Tensor,
        grid: torch.Tensor,
        mask: torch.Tensor,
        lengths: torch.Tensor,
    ) -> tuple[torch.Tensor, list[Any], list[torch.Tensor]]:
        places = ids == _config(Path(self.args.hf_model_dir))["image_token_id"]
        ids[places] = (VOCABULARY - 1 + places.cumsum(1)).to(ids.dtype)[places]
        tuned = self.ptuning_setup(features.unsqueeze(0), ids, lengths)
        return ids, tuned, [torch.zeros(1, 4), torch.tensor([[-3]])]


class MropeParams:
    def __init__(self, mrope_rotary_cos_sin: torch.Tensor, mrope_position_deltas: torch.Tensor) -> None:
        self.deltas = mrope_position_deltas


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> type[Runner]:
    """tensorrt_llm's, with the functions that the runtime takes from them."""
    monkeypatch.setattr(Runner, "made", [])
    contents = {
        "tensorrt_llm": {},
        "tensorrt_llm.runtime": {"MultimodalModelRunner": Runner},
        "tensorrt_llm.layers": {"MropeParams": MropeParams},
        "tensorrt_llm.tools.multimodal_builder": {
            "compute_rotary_pos_emb": lambda grid, config, kind: torch.zeros(int(grid.prod(-1).sum()), 4)
        },
    }
    for name, attributes in contents.items():
        module = ModuleType(name)
        module.__dict__.update(attributes)
        monkeypatch.setitem(sys.modules, name, module)
    return Runner


@pytest.fixture(scope="module")
def miniatures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("miniatures")
    return {name: make_miniature(name, root / name) for name in _KINDS}


@pytest.fixture
def opened(
    modules: type[Runner],
    miniatures: dict[str, Path],
    engine_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[[str], CompiledRuntime]]:
    """Opens the engine of a miniature; its runner says "yes it is" whatever it is asked."""
    runtimes = []

    def open_engine(name: str) -> CompiledRuntime:
        folder = tmp_path / "engine"
        folder.mkdir()
        for path in miniatures[name].iterdir():
            if path.suffix in (".json", ".jinja"):
                (folder / path.name).write_bytes(path.read_bytes())
        manifest = replace(
            read_manifest(engine_folder),
            target="trtllm",
            family=name.partition("/")[0],
            context_length=MAX_SEQ_LEN,
            files=digest_files(folder),
            runtime_options={"path": "compiled", "gpu_memory_fraction": 0.5},
            confidence=None,
        )
        write_manifest(folder, manifest)
        monkeypatch.setattr(Runner, "kind", _KINDS[name])
        monkeypatch.setattr(Runner, "count", _config(folder).get("num_query_tokens", 16))
        runtime = open_trtllm(folder, manifest)
        assert isinstance(runtime, CompiledRuntime)
        runtimes.append(runtime)
        Runner.made[-1].model.said = [*runtime.template.tokenizer.encode("yes it is").ids, END]
        return runtime

    yield open_engine
    for runtime in runtimes:
        runtime.close()


def _config(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return config


@pytest.mark.parametrize("name", sorted(_KINDS))
def test_an_answer_streams_and_the_images_stand_in_their_places(
    opened: Callable[[str], CompiledRuntime], ask: Ask, question: Any, name: str
) -> None:
    runtime = opened(name)
    deltas = ask(runtime, "Is it a CT?").rest()
    assert "".join(d.text for d in deltas) == "yes it is"
    assert deltas[-1].finish_reason == "stop" and deltas[-1].timings.vision_ms > 0
    runner = Runner.made[-1]
    (call,) = runner.model.calls
    sent = call["batch_input_ids"][0]
    asked = question("Is it a CT?")
    plain = ModelInputs(runtime._folder).encode(
        runtime.template.render(asked.messages, asked.images).text, asked.images
    )["input_ids"][0]
    pointing = sent >= VOCABULARY
    assert sent[pointing].tolist() == list(range(VOCABULARY, VOCABULARY + int(pointing.sum())))
    assert torch.equal(sent[~pointing], plain[~pointing].to(sent.dtype))
    assert len(set(plain[pointing].tolist())) == 1
    assert call["prompt_table"].shape == (1, int(pointing.sum()), WIDTH)
    assert ("mrope_params" in call) == (name == "qwen2_vl")


def test_two_images_are_kept_apart_in_qwen2s_tower(
    opened: Callable[[str], CompiledRuntime], ask: Ask
) -> None:
    runtime = opened("qwen2_vl")
    ask(runtime, images=2).rest()
    (seen,) = Runner.made[-1].seen
    mask = seen["attention_mask"][0]
    half = mask.shape[0] // 2
    assert mask.shape == (seen["image"].shape[0],) * 2
    assert not mask[:half, :half].any() and not mask[half:, half:].any()
    others = torch.stack((mask[:half, half:], mask[half:, :half]))
    assert (others == torch.finfo(torch.float16).min).all()


@pytest.mark.parametrize("name", ["llava_next", "llava_onevision"])
@pytest.mark.parametrize(("height", "width"), [(56, 56), (40, 100), (100, 40), (112, 112), (20, 300)])
def test_tiles_are_joined_as_transformers_joins_them(
    tmp_path_factory: pytest.TempPathFactory, name: str, height: int, width: int
) -> None:
    """Every number in its place, also where the image is not square and where tiles could be laid either way."""
    from transformers import AutoModelForImageTextToText

    folder = make_miniature(name, tmp_path_factory.mktemp(name))
    model = AutoModelForImageTextToText.from_pretrained(folder).eval().model
    image = np.zeros((height, width, 3), np.uint8)
    inputs = ModelInputs(folder).encode(family_named(name).placeholder, [image])
    tower = model.config.vision_config
    shape = (inputs["pixel_values"].shape[1], (tower.image_size // tower.patch_size) ** 2, WIDTH)
    features, newline = torch.randn(shape), torch.randn(WIDTH)
    ours = join_tiles(features, inputs["image_sizes"][0].tolist(), newline, model.config)
    more = {"vision_feature_select_strategy": "default"} if name == "llava_next" else {}
    theirs = model.pack_image_features([features], inputs["image_sizes"], image_newline=newline, **more)[0]
    assert torch.allclose(ours, theirs[0] if isinstance(theirs, list | tuple) else theirs)


def test_logprobs_are_of_the_models_own_logits(opened: Callable[[str], CompiledRuntime], ask: Ask) -> None:
    deltas = ask(opened("llava"), logprobs=True).rest()
    table = torch.log_softmax(torch.arange(VOCABULARY).float().mul(0.01), -1)
    tokens = [token for d in deltas for token in d.token_ids]
    assert [p for d in deltas for p in d.logprobs] == pytest.approx([table[t].item() for t in tokens])
    assert deltas[-1].score.logprob == pytest.approx(sum(table[t].item() for t in tokens))


def test_a_cut_answer_is_cancelled_and_nothing_of_it_reaches_the_next(
    opened: Callable[[str], CompiledRuntime], ask: Ask
) -> None:
    runtime = opened("llava")
    session = Runner.made[-1].model.session
    cut, whole = ask(runtime, stop=["it"]), ask(runtime)
    assert "".join(d.text for d in cut.rest()) == "yes "
    assert "".join(d.text for d in whole.rest()) == "yes it is"
    assert session._executor.cancelled == [1] and session._executor.requests == [1, 2]


def test_a_cancelled_answer_gives_its_slot_back(opened: Callable[[str], CompiledRuntime], ask: Ask) -> None:
    runtime = opened("llava")
    Runner.made[-1].model.said = [5, 6, 7] * 60
    asked = ask(runtime, max_tokens=180, ignore_eos=True)
    asked.next()
    asked.handle.cancel()
    assert asked.rest()[-1].finish_reason in ("cancelled", "length")
    Runner.made[-1].model.said = [9, END]
    assert ask(runtime).rest()[-1].finish_reason == "stop"


def test_sampling_goes_through_and_a_seed_is_kept(opened: Callable[[str], CompiledRuntime], ask: Ask) -> None:
    runtime = opened("llava")
    ask(runtime, temperature=0.7, top_p=0.9, seed=4, ignore_eos=True).rest()
    ask(runtime).rest()
    drawn, greedy = Runner.made[-1].model.calls
    assert (drawn["temperature"], drawn["top_p"], drawn["random_seed"], drawn["end_id"]) == (0.7, 0.9, 4, -1)
    assert greedy["top_k"] == 1 and greedy["end_id"] == END and "random_seed" not in greedy


def test_an_answer_stops_at_its_length(opened: Callable[[str], CompiledRuntime], ask: Ask) -> None:
    last = ask(opened("llava"), max_tokens=2).rest()[-1]
    assert last.finish_reason == "length" and last.timings.completion_tokens == 2


def test_an_answer_that_ends_with_its_last_token_was_not_cut(
    opened: Callable[[str], CompiledRuntime], ask: Ask
) -> None:
    runtime = opened("llava")
    Runner.made[-1].model.said = [9, END]
    last = ask(runtime, max_tokens=2).rest()[-1]
    assert last.finish_reason == "stop" and last.score.whole
    assert ask(runtime, max_tokens=2, ignore_eos=True).rest()[-1].finish_reason == "length"


def test_a_question_without_an_image_is_refused(opened: Callable[[str], CompiledRuntime], ask: Ask) -> None:
    with pytest.raises(QuestionRefused, match="images"):
        ask(opened("llava"), images=0)


def test_a_vision_engine_of_another_size_is_found_out(
    opened: Callable[[str], CompiledRuntime], question: Any
) -> None:
    runtime = opened("llava")
    asked = question("Is it a CT?")
    inputs = runtime._inputs.encode(runtime.template.render(asked.messages, asked.images).text, asked.images)
    Runner.made[-1].count = 15
    with pytest.raises(EngineFailed, match="15 embeddings for 16 places"):
        build_prompt(Runner.made[-1], runtime._folder, inputs, runtime._image_token)


def test_the_runner_gets_the_arguments_of_its_own_example(opened: Callable[[str], CompiledRuntime]) -> None:
    opened("llava")
    arguments = vars(Runner.made[-1].args)
    assert arguments.keys() == read_tables("calls")["MultimodalModelRunner"].keys()
    assert arguments["kv_cache_free_gpu_memory_fraction"] == 0.5 and arguments["session"] == "cpp_llm_only"


def test_without_tensorrt_llm_the_message_names_the_container(
    opened: Callable[[str], CompiledRuntime], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt_llm.runtime", None)
    with pytest.raises(ManifestError, match="trtllm-python-py3"):
        opened("llava")
