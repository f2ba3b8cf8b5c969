"""More questions made from what the sets already say of an image: modality, plane and region.

Only closed ones, in VQA-RAD's wording: its 186 training images ask too few of them to learn that a
yes or no depends on the image, and how a choice is answered with one of the words offered.
"""

from collections.abc import Sequence

import numpy as np

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

_YES_NO = {
    "modality": (
        "Is this a {}?",
        "Is this an {} image?",
        "Was this image taken with {}?",
        "Is this a {} scan?",
    ),
    "plane": (
        "Is this a {} image?",
        "Is this {} plane?",
        "Was this taken in the {} plane?",
        "Is this a {} view?",
    ),
    "region": ("Is this a study of the {}?", "Is the {} shown?", "Does this image show the {}?"),
}
_CHOICE = {
    "modality": ("Is this a {} or {}?", "Is this image a {} or {} image?", "Was this taken with {} or {}?"),
    "plane": ("Is this image {} or {}?", "Was this taken in the {} or {} plane?", "Is this a {} or {} view?"),
    "region": ("Is this image of the {} or the {}?", "Does this show the {} or the {}?"),
}


def read_facts(group: Sequence[Question]) -> dict[str, str]:
    """What the questions of one image and its labels say: kind of fact to class, where they say it."""
    told = [group[0].modality or "", group[0].body_part or ""]
    told += [item.answer for item in group if not item.closed and _asks_of_the_whole(item)]
    facts: dict[str, str] = {}
    for kind, classes in FACTS.items():
        for answer in told:
            found = _class_of(normalise(answer), classes)
            if found:
                facts.setdefault(kind, found)
    return facts


def make_question(group: Sequence[Question], facts: dict[str, str], chooser: np.random.Generator) -> Question:
    """A question about one of the `facts` of the image of `group`, as often yes as no, or a choice."""
    kind = list(facts)[chooser.integers(len(facts))]
    true = facts[kind]
    others = [name for name in FACTS[kind] if name != true]
    other = others[chooser.integers(len(others))]
    if chooser.random() < 0.25:
        template = _CHOICE[kind][chooser.integers(len(_CHOICE[kind]))]
        offered = (true, other) if chooser.random() < 0.5 else (other, true)
        text, answer = template.format(*offered), true
    else:
        template = _YES_NO[kind][chooser.integers(len(_YES_NO[kind]))]
        answer = "yes" if chooser.random() < 0.5 else "no"
        text = template.format(true if answer == "yes" else other)
    first = group[0]
    return Question(f"made:{first.image}", first.source, first.image, text, answer, True, first.modality)


def _asks_of_the_whole(item: Question) -> bool:
    return item.content_type in ("C1", "C2", "C3", "Modality", "Plane", "MODALITY", "PLANE")


def _class_of(answer: str, classes: dict[str, tuple[str, ...]]) -> str | None:
    word = answer.split(" ")[0]
    return next((name for name, words in classes.items() if answer in words or word in words), None)
