"""Compiled TensorRT engines, by TensorRT-LLM 1.2.1's legacy `MultimodalModelRunner`: one question at a time.

Token by token from its C++ session. Log-probabilities are computed here from the logits: the session's own are of the
tokens that top-k left over, not of the model. Requests are noted, because the runner can neither cancel one nor
tell the answers of two apart.
"""

import argparse
import contextlib
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from radserve_engines.errors import EngineFailed, ManifestError
from radserve_engines.families.model_inputs import ModelInputs
from radserve_engines.generation import Generation
from radserve_engines.manifest import EngineManifest
from radserve_engines.runtime.answer import Answer
from radserve_engines.runtime.one_by_one import OneByOne, require_image
from radserve_engines.runtime.protocol import Sink
from radserve_engines.runtime.trtllm_vision import build_prompt
from radserve_engines.trtllm.commands import IMAGE
from radserve_engines.trtllm.launcher import prepare_environment
from radserve_engines.trtllm.signatures import check_call, read_tables


class _Session:
    """The runner's C++ executor, with a note of what was put into it."""

    def __init__(self, executor: Any) -> None:
        self._executor = executor
        self._requests: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._executor, name)

    def enqueue_requests(self, requests: list[Any]) -> list[int]:
        self._requests = list(self._executor.enqueue_requests(requests))
        return self._requests

    def cancel(self) -> None:
        """Give the slot of the last requests back; each still gives one final response."""
        for request in self._requests:
            self._executor.cancel_request(request)


class CompiledRuntime(OneByOne):
    """Raises ManifestError: no tensorrt_llm here; EngineFailed: the engines did not load."""

    def __init__(self, folder: Path, manifest: EngineManifest, **loop: Any) -> None:
        super().__init__(folder, manifest, **loop)
        self._folder = folder
        self._runner = _load(folder, manifest)
        self._session = self._runner.model.session = _Session(self._runner.model.session)
        self._inputs = ModelInputs(folder)
        family = self._inputs.family
        token = self._inputs.tokenizer.token_to_id(family.image_token or family.placeholder)
        self._image_token = int(token)
        self._ends = _read_ends(folder)
        self._thread.start()

    def submit(self, generation: Generation, sink: Sink) -> Answer:
        """See `Runtime.submit`; a question without an image is refused: the runner cannot ask it."""
        require_image(generation)
        return super().submit(generation, sink)

    def step(self, running: list[Answer]) -> list[Answer]:
        """One step from the first to the last token."""
        (answer,) = running
        inputs = self._inputs.encode(answer.prompt.text, answer.generation.images)
        prompt = build_prompt(self._runner, self._folder, inputs, self._image_token)
        answer.clock.encoded = time.perf_counter()
        last = self._generate(answer, prompt)
        if answer.cancelled:
            return []
        ended = last in self._ends and not answer.generation.sampling.ignore_eos
        full = answer.completion_tokens >= answer.max_tokens and not ended
        answer.finish(answer.cut or ("length" if full else "stop"))
        return running

    def _generate(self, answer: Answer, prompt: dict[str, Any]) -> int | None:
        """The last token, if there was one."""
        last = None
        outputs = self._runner.model.generate(**self._arguments(answer, prompt))
        ended = False
        try:
            for token_ids, logprobs in _read(outputs, len(prompt["batch_input_ids"][0])):
                answer.push(token_ids, logprobs)
                last = token_ids[-1]
                if answer.cancelled or answer.cut:
                    return last
            ended = True
            return last
        finally:
            if not ended:
                self._session.cancel()
            # What is left over would be taken for the next answer; a cancelled request's last word has no logits.
            with contextlib.suppress(ValueError):
                for _ in outputs:
                    pass

    def close(self) -> None:
        """See `Runtime.close`; the GPU is free once the engines are let go."""
        super().close()
        self._session.shutdown()
        del self._runner, self._session

    def _arguments(self, answer: Answer, prompt: dict[str, Any]) -> dict[str, Any]:
        sampling = answer.generation.sampling
        end, *others = self._ends
        arguments = {
            **prompt,
            "max_new_tokens": answer.max_tokens,
            "end_id": -1 if sampling.ignore_eos else end,
            "pad_id": end,
            "num_beams": 1,
            "streaming": True,
            "return_dict": True,
            "output_sequence_lengths": True,
            "output_generation_logits": True,
        }
        if others and not sampling.ignore_eos:
            arguments["stop_words_list"] = [[[token_id] for token_id in others]]
        if sampling.greedy:
            arguments["top_k"] = 1
        else:
            arguments |= {"temperature": sampling.temperature, "top_p": sampling.top_p}
            arguments["top_k"] = sampling.top_k or 0
            if sampling.seed is not None:
                arguments["random_seed"] = sampling.seed
        return dict(check_call("ModelRunnerCpp.generate", arguments))


def _read(outputs: Iterator[dict[str, Any]], seen: int) -> Iterator[tuple[list[int], list[float]]]:
    """New tokens and their log-probabilities: of one token at a time, else none, as the logits are the last one's."""
    for output in outputs:
        length = int(output["sequence_lengths"][0, 0])
        token_ids = [int(token) for token in output["output_ids"][0, 0, seen:length]]
        seen = length
        if not token_ids:
            continue
        logits = output.get("generation_logits")
        if logits is None or len(token_ids) != 1:
            yield token_ids, []
            continue
        value = torch.log_softmax(logits.reshape(-1, logits.shape[-1])[-1].float(), -1)[token_ids[0]].item()
        if not math.isfinite(value):
            raise EngineFailed("the engine gave logits that are not finite: it is broken; build it again")
        yield token_ids, [value]


def _read_ends(folder: Path) -> list[int]:
    """Ids that end an answer: of generation_config.json, else config.json. Raises ManifestError when there is none."""
    for name in ("generation_config.json", "config.json"):
        path = folder / name
        config = json.loads(path.read_text("utf-8")) if path.is_file() else {}
        ends = config.get("eos_token_id", (config.get("text_config") or {}).get("eos_token_id"))
        if ends is not None:
            return [int(end) for end in (ends if isinstance(ends, list) else [ends])]
    raise ManifestError(f"{folder}: neither generation_config.json nor config.json has an eos_token_id")


def _load(folder: Path, manifest: EngineManifest) -> Any:
    prepare_environment()
    try:
        from tensorrt_llm.runtime import MultimodalModelRunner
    except ImportError as error:
        raise ManifestError(f"this engine needs TensorRT-LLM 1.2.1 ({error}): serve it in {IMAGE}") from error
    given = {
        "engine_dir": str(folder),
        "hf_model_dir": str(folder),
        "session": "cpp_llm_only",
        "kv_cache_free_gpu_memory_fraction": manifest.runtime_options.get("gpu_memory_fraction", 0.6),
    }
    table = read_tables("calls")["MultimodalModelRunner"]
    defaults = {name: parameter.get("default") for name, parameter in table.items()}
    arguments = argparse.Namespace(**{**defaults, **check_call("MultimodalModelRunner", given)})
    try:
        return MultimodalModelRunner(arguments)
    except Exception as error:  # TensorRT's own and CUDA's: all mean that this engine cannot be served here
        raise EngineFailed(f"TensorRT-LLM could not load the engines: {error}") from error
