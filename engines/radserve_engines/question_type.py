"""Whether a question is closed (yes or no, or a choice) or open, from its words alone.

Confidence is calibrated for each type apart: of two answers to a closed question one is right by chance. Nobody says
at serving time which type a question is, so the fit goes by this function as well, not by the sets' labels.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

QuestionType = Literal["closed", "open"]

# What may stand before the question itself: "So, could you tell me …", "In this image, …".
_LEAD_IN = re.compile(
    r"^(?:(?:and|so|then|now|but|also|please|well|ok|okay|hello|hi)\b[\s,:;]*)+"
    r"|^(?:can|could|would|will) you (?:please )?(?=name|describe|list|explain|identify)"
    r"|^(?:(?:can|could|would|will) you )?(?:please )?(?:tell|show|let)(?: (?:me|us))?(?: know)?\s+"
    r"|^(?:in|on|at|from|for|of|with|within|to|based|given|besides|if)\b[^,?]*,\s*"
)
# A closed question begins with its verb, or leaves the verb out: "any fracture?", "evidence of a bleed?".
_CLOSED = re.compile(
    r"(?:is|are|was|were|am|do|does|did|has|have|had|can|could|will|would|should|shall|may|might|must"
    r"|if|whether|any|anything|anyone|evidence|notice)(?:n't)?\b"
)
_ASKING = re.compile(
    r"\b(?:what|which|where|who|whom|whose|when|why|how|describe|name|list|explain|identify)\b"
)
# "which is bigger, liver or spleen?": two things are named, and one of them is the answer.
_LONGEST = 500  # characters of a sentence that are looked at: the search for a choice takes their square
_CHOICE = re.compile(r"^(?:what|which|where|who)\b.*(?:[,:;?]|\bis (?:it|this|that)\b).*\bor\b")


def question_type(question: str) -> QuestionType:
    """Closed if its last sentence that asks begins with a verb, or offers a choice; else open."""
    text = " ".join(question.lower().replace("\u2019", "'").split())
    sentences = re.split(r"(?<=[.!?])\s+", text)
    text = next((one for one in reversed(sentences) if one.endswith("?")), sentences[-1])[:_LONGEST]
    while lead := _LEAD_IN.match(text):
        text = text[lead.end() :]
    if _CLOSED.match(text) or _CHOICE.search(text) or "yes or no" in text:
        return "closed"
    return "open" if _ASKING.search(text) or " or " not in text else "closed"


def last_question(messages: Sequence[Mapping[str, Any]]) -> str:
    """The text of the user's last turn: the question that the answer answers."""
    for message in reversed(messages):
        if message.get("role") == "user":
            content = message.get("content") or ""
            if isinstance(content, str):
                return content
            return " ".join(str(part.get("text", "")) for part in content if part.get("type") == "text")
    return ""
