"""One question on its way through an engine, and what comes back: the vocabulary that all runtimes share."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radserve_engines.errors import QuestionRefused

_INTEGERS = {"max_tokens": (1, 1 << 20), "top_k": (1, 1 << 20), "seed": (0, (1 << 63) - 1)}
_NUMBERS = {"temperature": (0.0, 2.0), "top_p": (0.0, 1.0)}
_SWITCHES = ("logprobs", "ignore_eos")
_MAX_STOPS = 4
_COLDEST = 1e-4


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are chosen. temperature 0 is greedy; `ignore_eos` answers at full length, for benchmarks."""

    max_tokens: int = 64
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    logprobs: bool = False
    ignore_eos: bool = False

    @property
    def greedy(self) -> bool:
        """Whether the likeliest token is always taken; logits divided by a temperature near 0 are not finite."""
        return self.temperature < _COLDEST or self.top_p == 0 or self.top_k == 1

    def merged(self, given: Mapping[str, Any]) -> "Sampling":
        """These defaults with the given fields on top; raises QuestionRefused naming an unknown or ill one."""
        known = {field.name for field in fields(self)}
        for name in given:
            if name not in known:
                raise QuestionRefused(
                    f"sampling field {name!r} is not known", param=name, code="invalid_sampling"
                )
        return replace(
            self, **{name: _checked(name, value) for name, value in given.items() if value is not None}
        )

    def to_json(self) -> dict[str, Any]:
        """As JSON values, without the fields that are unset."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def _checked(name: str, value: Any) -> Any:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if name in _INTEGERS:
        low, high = _INTEGERS[name]
        if number and value == int(value) and low <= value <= high:
            return int(value)
        raise _ill(name, f"an integer from {low} to {high}", value)
    if name in _NUMBERS:
        least, most = _NUMBERS[name]
        if number and least <= value <= most:
            return float(value)
        raise _ill(name, f"a number from {least:g} to {most:g}", value)
    if name in _SWITCHES:
        if isinstance(value, bool):
            return value
        raise _ill(name, "true or false", value)
    stops = [value] if isinstance(value, str) else value
    if (
        isinstance(stops, list | tuple)
        and len(stops) <= _MAX_STOPS
        and all(isinstance(s, str) and s for s in stops)
    ):
        return tuple(stops)
    raise _ill(name, f"a string or up to {_MAX_STOPS} non-empty strings", value)


def _ill(name: str, wanted: str, value: Any) -> QuestionRefused:
    return QuestionRefused(f"{name} must be {wanted}, not {value!r}", param=name, code="invalid_sampling")


@dataclass(frozen=True, slots=True)
class Generation:
    """One question: chat messages, the images they refer to, (H, W, 3) uint8 each, and the sampling."""

    messages: tuple[Mapping[str, Any], ...]
    images: tuple[NDArray[np.uint8], ...]
    sampling: Sampling


@dataclass(frozen=True, slots=True)
class Timings:
    """Where the time of one question went, in ms, and how many tokens it took."""

    queue_ms: float
    vision_ms: float
    prefill_ms: float
    decode_ms: float
    prompt_tokens: int
    image_tokens: int
    completion_tokens: int

    def to_json(self) -> dict[str, float | int]:
        """As JSON values, times rounded to µs."""
        return {name: round(value, 3) for name, value in asdict(self).items()}


@dataclass(frozen=True, slots=True)
class Score:
    """How likely the model itself held its answer: what confidence is calibrated from. Counted for every answer.

    `logprob` is the natural logarithm of the probability of all `tokens` that it chose, the end-of-turn token
    included when it chose that: the sum of log-softmax values of the model's own logits, at temperature 1 and
    before top-p and top-k, whatever the sampling. `whole` says that the model ended the answer itself; a stop
    string, the length, a repetition or the client did not cut it. `logprob` is NaN where the runtime gave none.
    """

    logprob: float
    tokens: int
    whole: bool


@dataclass(frozen=True, slots=True)
class Delta:
    """What one engine step added; `finish_reason`, `timings` and `score` come with the last one only.

    `finish_reason` is stop, length, repetition or cancelled. `logprobs` are natural logarithms, one per token, and
    empty unless they were asked for.
    """

    text: str
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...] = ()
    finish_reason: str = ""
    timings: Timings | None = None
    score: Score | None = None


def joined(deltas: Sequence[Delta]) -> Delta:
    """Successive deltas of one answer as one."""
    last = deltas[-1]
    return Delta(
        "".join(d.text for d in deltas),
        tuple(i for d in deltas for i in d.token_ids),
        tuple(p for d in deltas for p in d.logprobs),
        last.finish_reason,
        last.timings,
        last.score,
    )
