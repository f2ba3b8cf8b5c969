"""The same question in other words, and an open question as a choice: what to look for stays, the wording moves.

VQA-RAD's questions are nearly all worded once only, so that a model learns the sentence by heart.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from radserve_engines.vqa_data import Question

_PRESENCE = re.compile(
    r"(?:is|are) there (?:any )?(?:evidence of )?(?P<thing>[^?]+?)(?: (?:present|seen|visible|noted|identified))?"
    r"(?: (?:in|on) (?:this|the) (?:image|picture|scan|ct|mri|x-?ray|film))?\s*\??"
    r"|(?:do you see|can you see|can you appreciate|do you appreciate) (?P<seen>[^?]+?)\s*\??"
    r"|(?:is|are) (?P<found>[^?]+?) (?:present|seen|visible|noted|identified)(?: in (?:this|the) image)?\s*\??"
)
_PRESENT = (
    "Is there {}?",
    "Is there evidence of {}?",
    "Is there any {}?",
    "Do you see {}?",
    "Can you see {} in this image?",
    "Is {} present?",
    "Is {} seen in this image?",
    "Does this image show {}?",
)
_ARTICLE = re.compile(r"^(?:an?|any|the|some) ")
_MOST_WORDS = 4


def reword(item: Question, chooser: np.random.Generator) -> Question:
    """A yes-or-no question of presence in another wording; any other question as it is."""
    if item.answer not in ("yes", "no"):
        return item
    asked = _PRESENCE.fullmatch(" ".join(item.question.lower().split()))
    if asked is None:
        return item
    thing = next(filter(None, asked.groupdict().values()))
    return replace(item, question=_PRESENT[chooser.integers(len(_PRESENT))].format(_ARTICLE.sub("", thing)))


def offer_choice(item: Question, answers: Sequence[str], chooser: np.random.Generator) -> Question | None:
    """An open question that offers its own answer and another of `answers`; None where that makes no sense."""
    other = answers[chooser.integers(len(answers))]
    unfit = item.closed or other == item.answer or other in ("yes", "no") or " or " in item.question
    if unfit or max(len(other.split()), len(item.answer.split())) > _MOST_WORDS:
        return None
    offered = (item.answer, other) if chooser.random() < 0.5 else (other, item.answer)
    stem = item.question.rstrip("? ")
    form = ("{stem}, {} or {}?", "{stem}: {} or {}?", "Is it {} or {}?", "Is this {} or {}?")
    text = form[chooser.integers(len(form))].format(*offered, stem=stem)
    return replace(item, id=f"made:{item.id}", question=text, closed=True)
