"""More questions made from what the sets already say of an image: modality, plane, region and organs.

Only closed ones, worded as VQA-RAD and SLAKE do: few images are asked the same, so that a yes or no is easily
learnt by heart, and so is a choice where the answer should be one of the words offered.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from radserve_engines.training.organs import read_organs
from radserve_engines.vqa_data import Question, normalise

# For each kind of fact: the classes, with the answers (whole, or up to a blank or dash) that mean them.
_MODALITIES = {
    "ct": ("ct", "cta"),
    "mri": ("mri", "mr", "mra", "t1", "t2", "flair", "dwi"),
    "x-ray": ("x-ray", "xr", "xray"),
    "ultrasound": ("us", "us-d"),
}
_PLANES = {
    "axial": ("axial", "transverse"),
    "sagittal": ("sagittal",),
    "coronal": ("coronal",),
    "frontal": ("frontal", "ap", "pa"),
    "lateral": ("lateral",),
}
_REGIONS = {
    "head": ("brain_tissue", "brain", "brain_face", "head", "skull"),
    "chest": ("lung", "lung,", "chest_lung", "chest_heart", "chest_mediastinal", "chest"),
    "abdomen": ("abdomen", "abd", "gastrointestinal"),
    "spine": ("spine",),
    "pelvis": ("pelvic",),
    "neck": ("neck",),
}
FACTS = {"modality": _MODALITIES, "plane": _PLANES, "region": _REGIONS}

# What a class may be called; the class itself where nothing else is said.
_NAMES = {"axial": ("axial", "transverse"), "pelvis": ("pelvis", "pelvic cavity")}
_YES_NO = {
    "modality": (
        "Is this a {}?",
        "Is this an {} image?",
        "Was this image taken with {}?",
        "Is this a {} scan?",
        "Is this image taken via {}?",
    ),
    "plane": (
        "Is this a {} image?",
        "Is this {} plane?",
        "Was this taken in the {} plane?",
        "Is this a {} view?",
        "Is this a {} section?",
    ),
    "region": (
        "Is this a study of the {}?",
        "Is the {} shown?",
        "Does this image show the {}?",
        "Do the organs in the image exist in the {}?",
    ),
}
_CHOICE = {
    "modality": ("Is this a {} or {}?", "Is this image a {} or {} image?", "Was this taken with {} or {}?"),
    "plane": ("Is this image {} or {}?", "Was this taken in the {} or {} plane?", "Is this a {} or {} view?"),
    "region": ("Is this image of the {} or the {}?", "Does this show the {} or the {}?"),
}
_ORGAN = (
    "Does the picture contain {}?",
    "Does the picture contain {}?",
    "Does the {} appear in the image?",
    "Does the {} exist in this picture?",
    "Is there a {} in the image?",
)
_ORGANS_SHARE, _CHOICE_SHARE = 0.5, 0.25


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one image: kind to class, and organ to whether it is shown."""

    classes: dict[str, str]
    organs: dict[str, bool]

    def __bool__(self) -> bool:
        return bool(self.classes or self.organs)


def read_facts(group: Sequence[Question]) -> Facts:
    """What the questions of one image and its labels say, where they say it."""
    told = [group[0].modality or "", group[0].body_part or ""]
    told += [item.answer for item in group if not item.closed and _asks_of_the_whole(item)]
    classes: dict[str, str] = {}
    for kind, meanings in FACTS.items():
        for answer in told:
            found = _class_of(normalise(answer), meanings)
            if found:
                classes.setdefault(kind, found)
    return Facts(classes, read_organs(group))


def make_question(group: Sequence[Question], facts: Facts, chooser: np.random.Generator) -> Question:
    """A question about one of the `facts` of the image of `group`, as often yes as no, or a choice."""
    if facts.organs and (not facts.classes or chooser.random() < _ORGANS_SHARE):
        text, answer = _ask_of_organ(facts.organs, chooser)
    else:
        text, answer = _ask_of_class(facts.classes, chooser)
    first = group[0]
    return Question(f"made:{first.image}", first.source, first.image, text, answer, True, first.modality)


def _ask_of_organ(organs: dict[str, bool], chooser: np.random.Generator) -> tuple[str, str]:
    answers = sorted(set(organs.values()))
    shown = answers[chooser.integers(len(answers))]
    names = [name for name, there in organs.items() if there == shown]
    return _pick(_ORGAN, chooser).format(_pick(names, chooser)), "yes" if shown else "no"


def _ask_of_class(classes: dict[str, str], chooser: np.random.Generator) -> tuple[str, str]:
    kind = _pick(list(classes), chooser)
    true = classes[kind]
    other = _pick([name for name in FACTS[kind] if name != true], chooser)
    true, other = (_pick(_NAMES.get(name, (name,)), chooser) for name in (true, other))
    if chooser.random() < _CHOICE_SHARE:
        offered = (true, other) if chooser.random() < 0.5 else (other, true)
        return _pick(_CHOICE[kind], chooser).format(*offered), true
    holds = chooser.random() < 0.5
    return _pick(_YES_NO[kind], chooser).format(true if holds else other), "yes" if holds else "no"


def _pick(choices: Sequence[str], chooser: np.random.Generator) -> str:
    return choices[chooser.integers(len(choices))]


def _asks_of_the_whole(item: Question) -> bool:
    return item.content_type in ("C1", "C2", "C3", "Modality", "Plane", "MODALITY", "PLANE")


def _class_of(answer: str, classes: dict[str, tuple[str, ...]]) -> str | None:
    word = answer.split(" ")[0]
    return next((name for name, words in classes.items() if answer in words or word in words), None)
