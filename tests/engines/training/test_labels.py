# ruff: noqa: E402 - the modules under test import torch, which not every environment has
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from torch.nn import functional

from radserve_engines.training.labels import UNKNOWN, Labels, label_loss
from radserve_engines.vqa_data import Question


def ask(image, question, answer, content_type="Organ", source="slake"):
    return Question("id", source, image, question, answer, False, None, content_type, None)


def test_a_question_asked_of_many_images_is_a_label_and_a_rare_one_is_not():
    common = [ask(f"{i}.png", "Which plane?", "axial" if i % 2 else "coronal") for i in range(20)]
    rare = [ask(f"{i}.png", "Who?", "me" if i % 2 else "you") for i in range(4)]
    labels = Labels(common + rare)
    assert labels.targets.shape == (20, 1) and len(labels.label_of) == 2
    assert labels.targets[0, 0] != labels.targets[1, 0] and labels.targets[0, 0] == labels.targets[2, 0]


def test_a_question_with_one_answer_only_teaches_nothing_and_is_left_out():
    assert Labels([ask(f"{i}.png", "Which plane?", "axial") for i in range(20)]).targets.shape == (20, 0)


def test_vqa_med_s_wordings_of_one_kind_are_one_label():
    items = [
        ask(f"{i}.png", f"wording {i}?", "axial" if i % 2 else "coronal", "C2", "vqa-med-2019")
        for i in range(20)
    ]
    assert Labels(items).targets.shape == (20, 1)


def test_an_answer_too_rare_to_be_a_class_is_unknown():
    items = [ask(f"{i}.png", "Which plane?", "axial" if i % 2 else "coronal") for i in range(20)]
    labels = Labels([*items, ask("20.png", "Which plane?", "oblique")])
    assert labels.targets[20, 0] == UNKNOWN


def test_loss_is_each_label_s_own_cross_entropy_over_what_is_known():
    logits = torch.randn(3, 5, generator=torch.Generator().manual_seed(0)) * 4
    label_of = torch.tensor([0, 0, 1, 1, 1])
    targets = torch.tensor([[1, 4], [0, UNKNOWN], [UNKNOWN, UNKNOWN]])
    first = functional.cross_entropy(logits[0, :2][None], torch.tensor([1]))
    second = functional.cross_entropy(logits[0, 2:][None], torch.tensor([2]))
    third = functional.cross_entropy(logits[1, :2][None], torch.tensor([0]))
    expected = ((first + second) / 2 + third + 0) / 3
    torch.testing.assert_close(label_loss(logits, targets, label_of), expected)
