"""A question in the LLM API's words, and its answers back: TensorRT-LLM 1.2.1, its PyTorch backend.

The prompt is the engine's own template, which its checkpoint was tuned on, with one placeholder an image: the family's
input processor widens it. NVIDIA's helpers (add_multimodal_placeholders, apply_chat_template) would put placeholders
and a line break before the text, another prompt than the one that was tuned, calibrated and gated.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image

from radserve_engines.errors import QuestionRefused
from radserve_engines.generation import Sampling
from radserve_engines.runtime.answer import Answer
from radserve_engines.trtllm.signatures import check_call


def refuse_unsupported(sampling: Sampling) -> None:
    """Raises QuestionRefused for a seed that would change nothing: the PyTorch backend has one generator for all."""
    if sampling.seed is not None and not sampling.greedy:
        raise QuestionRefused(
            "this engine draws the tokens of all questions from one generator: leave seed out, or set temperature to 0",
            param="seed",
            code="unsupported_sampling",
        )


def build_sampling(answer: Answer) -> Mapping[str, Any]:
    """Arguments of `SamplingParams`. Text and stop strings are ours to find, as for every runtime."""
    sampling = answer.generation.sampling
    arguments: dict[str, Any] = {
        "max_tokens": answer.max_tokens,
        "ignore_eos": sampling.ignore_eos,
        "logprobs": 1,  # the best token's, and the chosen one's where that is another
        "return_perf_metrics": True,
        "detokenize": False,
        "include_stop_str_in_output": True,  # the end-of-turn token counts in the score
    }
    if sampling.greedy:
        arguments["top_k"] = 1
    else:
        arguments |= {"temperature": sampling.temperature, "top_p": sampling.top_p}
        if sampling.top_k is not None:
            arguments["top_k"] = sampling.top_k
    return check_call("SamplingParams", arguments)


def build_inputs(answer: Answer) -> Mapping[str, Any]:
    """A TextPrompt: the rendered prompt and its images as PIL, which were rendered by the engine's image policy."""
    inputs: dict[str, Any] = {"prompt": answer.prompt.text}
    if answer.generation.images:
        inputs["multi_modal_data"] = {"image": [Image.fromarray(image) for image in answer.generation.images]}
    return check_call("TextPrompt", inputs)


def read_logprobs(token_ids: Sequence[int], entries: Sequence[Any]) -> list[float]:
    """One natural logarithm a token, or none at all where an entry is missing.

    An entry is the token's own value, or those of several tokens by id (`Logprob.logprob`).
    """
    values = []
    for token_id, entry in zip(token_ids, entries, strict=False):
        found = entry.get(token_id) if isinstance(entry, Mapping) else entry
        value = getattr(found, "logprob", found)
        if value is None:
            return []
        values.append(float(value))
    return values if len(values) == len(token_ids) else []


def read_wait(completion: Any) -> float:
    """Seconds that a question waited in TensorRT-LLM's own queue; 0 where it does not say."""
    metrics = getattr(completion, "request_perf_metrics", None)
    timing = getattr(metrics, "timing_metrics", None)
    if timing is None:
        return 0.0
    return max(0.0, float((timing.first_scheduled_time - timing.arrival_time).total_seconds()))
