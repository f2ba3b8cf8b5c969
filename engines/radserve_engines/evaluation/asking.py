"""What is asked, what comes back, and who answers: the vocabulary of an evaluation."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, get_args

from radserve_engines.evaluation.question_sets import QuestionSet, swap_images
from radserve_engines.vqa_data import Question

Condition = Literal["original", "swapped", "blank"]
Key = tuple[str, str, str]
CONDITIONS: tuple[Condition, ...] = get_args(Condition)


@dataclass(frozen=True, slots=True)
class Ask:
    """A question of a set under a condition; `image` is the one shown, or the one whose size a blank takes."""

    set: str
    condition: Condition
    item: Question
    image: str

    @property
    def key(self) -> Key:
        """Condition, set, question id."""
        return self.condition, self.set, self.item.id


@dataclass(frozen=True, slots=True)
class Outcome:
    """An answer, or an `error` in its place.

    `logprob` is the sum over `tokens` tokens, natural logarithm, None where none are given; `confidence` (0…1) and
    `abstained` are the server's own, None where it says nothing of them. `seconds` go from asking to the last token,
    the wait for a place included.
    """

    text: str = ""
    logprob: float | None = None
    tokens: int | None = None
    confidence: float | None = None
    abstained: bool | None = None
    finish_reason: str | None = None
    seconds: float = 0.0
    error: str | None = None

    @property
    def raw_confidence(self) -> float | None:
        """The probability of the whole answer, None where no log-probabilities, or NaN, were given."""
        if self.logprob is None or math.isnan(self.logprob):
            return None
        return math.exp(min(self.logprob, 0.0))


@dataclass(frozen=True, slots=True)
class Identity:
    """Who answers. `location` is as the user gave it; `digest` the engine's, where there is one.

    `served`: over HTTP, through everything that lies between.
    """

    location: str
    name: str
    digest: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    served: bool = False

    @property
    def fingerprint(self) -> str:
        """The same for the same model on every server; in this process it is another, so that both can be compared."""
        if self.digest is None:
            return f"{self.name} at {self.location}"
        return f"{self.digest} served" if self.served else self.digest

    def to_json(self) -> dict[str, Any]:
        """What a report says of it."""
        return {
            "location": self.location,
            "name": self.name,
            "digest": self.digest,
            **self.details,
        }


class Answerer(Protocol):
    """An engine, a server: whatever answers. All methods run on one event loop."""

    async def identify(self) -> Identity:
        """Called before the first question. Raises EngineError when nobody is there."""
        ...

    async def answer(self, ask: Ask) -> Outcome:
        """One question; may be called again before it is done. Raises EngineError when there is no going on."""
        ...

    async def close(self) -> None:
        """Let go of everything; nothing is asked after it."""
        ...


def plan_asks(sets: Iterable[QuestionSet], sensitivity: bool) -> list[Ask]:
    """All questions as they are, then, for `sensitivity`, with images swapped within the set, and blank.

    A set of one image has none to swap with, and is not asked so.
    """
    chosen = list(sets)
    asks = []
    for condition in CONDITIONS if sensitivity else CONDITIONS[:1]:
        for one in chosen:
            shown = swap_images(one.questions) if condition == "swapped" else one.questions
            asks += [
                Ask(one.name, condition, item, other.image)
                for item, other in zip(one.questions, shown, strict=True)
                if condition != "swapped" or other.image != item.image
            ]
    return asks
