"""Labels for the vision tower's warm-up: what the question sets say of an image, one question at a time.

A label is a question that many images were asked, with the answers it can have: VQA-Med's modality,
plane and organ; SLAKE's modality, body part and whatever it asks in the same words of many images.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import torch

from radserve_engines.vqa_data import Question, by_image, normalise

UNKNOWN = -1
_ABNORMALITY = "C4"
Facts = list[tuple[str, str]]


class Labels:
    """`targets` [images, labels] hold the index of each image's class among all classes, or `UNKNOWN`.

    `label_of` [classes] says which label each class belongs to.
    """

    def __init__(self, questions: Sequence[Question], least: int = 15) -> None:
        facts = {image: _facts(group) for image, group in by_image(questions).items()}
        names, classes = _choose_classes(facts.values(), least)
        self.images = list(facts)
        self.targets = torch.full((len(facts), len(names)), UNKNOWN)
        for row, told in enumerate(facts.values()):
            for name, answer in told:
                if (name, answer) in classes:
                    self.targets[row, names[name]] = classes[name, answer]
        self.label_of = torch.tensor([names[name] for name, _ in classes])


def label_loss(logits: torch.Tensor, targets: torch.Tensor, label_of: torch.Tensor) -> torch.Tensor:
    """Cross-entropy within each label's classes, mean over an image's known labels, then over images."""
    logits = logits.float()
    peak = logits.detach().amax(dim=1, keepdim=True)
    sums = torch.zeros(logits.shape[0], targets.shape[1], device=logits.device)
    sums = sums.index_add(1, label_of, (logits - peak).exp())
    normaliser = sums.clamp_min(1e-30).log() + peak
    known = targets != UNKNOWN
    chosen = logits.gather(1, targets.clamp_min(0))
    losses = torch.where(known, normaliser - chosen, 0.0)
    return (losses.sum(1) / known.sum(1).clamp_min(1)).mean()


def _facts(group: Iterable[Question]) -> Facts:
    told = []
    for item in group:
        name = normalise(item.question)
        if item.source == "vqa-med-2019" and not item.closed:
            if item.content_type == _ABNORMALITY:
                continue  # some 1,500 names for 3,000 images: nothing a classifier could learn
            name = str(item.content_type)
        told.append((f"{item.source}: {name}", item.answer))
    first = next(iter(group))
    told += [
        (f"{first.source} {kind}", value)
        for kind, value in (("modality", first.modality), ("body part", first.body_part))
        if value
    ]
    return told


def _choose_classes(facts: Iterable[Facts], least: int) -> tuple[dict[str, int], dict[tuple[str, str], int]]:
    """Labels with at least `least` images and two classes; classes with at least three images."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for told in facts:
        for name, answer in dict.fromkeys(told):
            counts[name][answer] += 1
    kept = {
        name: [answer for answer, number in answers.most_common() if number >= 3]
        for name, answers in counts.items()
        if answers.total() >= least
    }
    kept = {name: answers for name, answers in kept.items() if len(answers) >= 2}
    names = {name: place for place, name in enumerate(kept)}
    pairs = [(name, answer) for name, answers in kept.items() for answer in answers]
    return names, {pair: place for place, pair in enumerate(pairs)}
