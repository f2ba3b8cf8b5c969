"""What is asked of the engine: images of a size, text, an answer, and how many of them at once."""

from dataclasses import dataclass

from radserve_engines.errors import PlanError
from radserve_engines.planning.model_size import ModelSize
from radserve_engines.planning.vision import Seen

# Chat template and question; and what an answer of a few sentences takes.
TEXT_TOKENS, ANSWER_TOKENS = 76, 128
KV_BYTES = {"bf16": 2, "fp8": 1, "int8": 1}


@dataclass(frozen=True, slots=True)
class Question:
    """Counts are tokens, but for `height`, `width` (pixels), `images` and `batch`."""

    height: int
    width: int
    images: int
    seen: Seen | None
    text: int
    answer: int
    batch: int
    kv: str

    @property
    def image_tokens(self) -> int:
        """Places of the context that one image takes."""
        return self.seen.tokens if self.seen else 0

    @property
    def prompt(self) -> int:
        """Tokens that are prefilled."""
        return self.images * self.image_tokens + self.text

    @property
    def context(self) -> int:
        """Tokens in the KV cache when the answer ends."""
        return self.prompt + self.answer

    @property
    def decoding(self) -> float:
        """Tokens in the KV cache halfway through the answer."""
        return self.prompt + self.answer / 2

    @property
    def kv_bytes(self) -> int:
        """Bytes of one value in the KV cache."""
        return KV_BYTES[self.kv]


def question_for(
    size: ModelSize,
    *,
    image: tuple[int, int] = (896, 896),
    images: int = 1,
    answer: int = ANSWER_TOKENS,
    context: int | None = None,
    batch: int = 8,
    kv: str | None = None,
) -> Question:
    """`image` is (height, width); `context` leaves to the text what images and answer do not take.

    Raises PlanError that names the option for a number that makes no sense, or a context too short.
    """
    for name, value, least in (
        ("image", min(image), 1),
        ("images", images, 0),
        ("answer-tokens", answer, 1),
        ("batch", batch, 1),
    ):
        if value < least:
            raise PlanError(f"--{name}: {value} is less than {least}", param=name)
    if kv not in (None, *KV_BYTES):
        raise PlanError(f"--kv: {kv!r} is not known; known: {', '.join(KV_BYTES)}", param="kv")
    images = images if size.vision else 0
    seen = size.vision.see(*image, images) if size.vision and images else None
    each = seen.tokens if seen else 0
    text = TEXT_TOKENS if context is None else context - images * each - answer
    if text < 1:
        raise PlanError(
            f"--context: {context} tokens hold no question: {images} × {each} of images and {answer} of answer "
            f"need more than {images * each + answer}",
            param="context",
        )
    return Question(*image, images, seen, text, answer, batch, kv or "bf16")
