"""Which organs an image shows, and which it does not: what SLAKE's questions and answers give away."""

import re
from collections.abc import Iterable, Sequence

from radserve_engines.vqa_data import Question, normalise

ORGANS = (
    "bladder",
    "brain",
    "brain stem",
    "colon",
    "duodenum",
    "esophagus",
    "eye",
    "femoral head",
    "gallbladder",
    "heart",
    "kidney",
    "larynx",
    "liver",
    "lung",
    "mandible",
    "pancreas",
    "parotid",
    "rectum",
    "small bowel",
    "spinal cord",
    "spleen",
    "stomach",
    "temporal lobe",
    "trachea",
)
_ASKED = re.compile(
    r"(?:does the picture contain|does the|is there an?|is there|are/is there|are there|is/are there) (?P<organ>.+?)"
    r"(?: appear| exist| in (?:the|this) (?:image|picture)| appear in the image| exist in this picture)?\?"
)
_PLACE_OR_NUMBER = re.compile(
    r"(?:where (?:is|are) the|how many(?: existing)?) (?P<organ>[a-z ]+?)(?: (?:in|are|have|has)\b.*)?\?"
)
_SHOWN = ("Organ", "Size")


def read_organs(group: Iterable[Question]) -> dict[str, bool]:
    """Organ to whether the image of `group` shows it, where its questions say; a clear "no" outweighs a hint."""
    said: dict[str, bool] = {}
    hinted: dict[str, bool] = {}
    for item in group:
        text = normalise(item.question)
        if (asked := _ASKED.fullmatch(text)) and item.answer in ("yes", "no"):
            said |= dict.fromkeys(_name([asked["organ"]]), item.answer == "yes")
        elif not item.closed and (asked := _PLACE_OR_NUMBER.match(text)):
            hinted |= dict.fromkeys(_name([asked["organ"]]), item.answer not in ("0", "none"))
        elif not item.closed and item.content_type in _SHOWN:
            hinted |= dict.fromkeys(_name(item.answer.split(",")), True)
    return hinted | said


def _name(words: Sequence[str]) -> list[str]:
    """The organs among `words`, in the singular, whichever side."""
    names = []
    for word in words:
        word = re.sub(r"^(?:the )?(?:left |right )?", "", word.strip())
        names += [name for name in (word, word.removesuffix("s")) if name in ORGANS][:1]
    return names
