"""What runtimes share that answer one question at a time, from the first to the last token in one step."""

import time

from radserve_engines.errors import QuestionRefused
from radserve_engines.generation import Generation
from radserve_engines.runtime.answer import Answer
from radserve_engines.runtime.loop import EngineLoop


class OneByOne(EngineLoop):
    """One slot, and nothing held between steps."""

    def has_slot(self, running: int) -> bool:
        return running == 0

    def start(self, answer: Answer) -> None:
        answer.clock.admitted = time.perf_counter()

    def release(self, answer: Answer) -> None:
        """Nothing is held between steps."""


def require_image(generation: Generation) -> None:
    """Raises QuestionRefused for a question without one, where the model cannot be asked so."""
    if not generation.images:
        message = "this engine answers questions about images: send one with the question"
        raise QuestionRefused(message, param="messages", code="image_count")
