"""The type of a question from its words: confidence is calibrated, and served, by it."""

import time
from pathlib import Path

import pytest

from radserve_engines.question_type import last_question, question_type
from radserve_engines.vqa_data import load_questions

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.mark.parametrize(
    "question",
    [
        "Is there a fracture?",
        "Isn't this an MRI?",
        "Is/Are there kidneys in the picture?",
        "In this image, is the heart enlarged?",
        "Could you tell me whether there is a bleed?",
        "And does it show contrast?",
        "Any free air?",
        "Evidence of hemorrhage",
        "Which is bigger, liver or spleen?",
        "Is this axial or coronal?",
        "This patient fell. Are the ribs intact?",
        "Which side is it: left or right?",
        "Which is more likely? Cancer or hemorrhage?",
        "Is this a CT? Thank you.",
    ],
)
def test_closed_questions(question: str) -> None:
    assert question_type(question) == "closed"


@pytest.mark.parametrize(
    "question",
    [
        "Which organ is shown?",
        "What modality is used to take this image?",
        "In what plane is this image?",
        "Can you name the organ captured by this image?",
        "Could you tell me what you see?",
        "Describe the lungs or what is left of them.",
        "If this were a man, what else would you expect?",
        "Is this a CT? If so, what does it show?",
        "There is a mass. Where is it?",
        "",
    ],
)
def test_open_questions(question: str) -> None:
    assert question_type(question) == "open"


def test_the_question_is_the_user_s_last() -> None:
    image, text = {"type": "image"}, {"type": "text", "text": "Where?"}
    turns = [{"role": "user", "content": "Is it?"}, {"role": "assistant", "content": "Yes"}]
    assert last_question(turns) == "Is it?"
    assert last_question([*turns, {"role": "user", "content": [image, text]}]) == "Where?"


@pytest.mark.parametrize(("source", "floor"), [("slake", 99), ("vqa-rad", 98), ("vqa-med-2019", 95)])
def test_it_agrees_with_the_sets_own_labels(source: str, floor: float) -> None:
    """VQA-Med calls a choice ("contrast or noncontrast?") open; its readme, and we, call it closed."""
    if not DATA.is_dir():
        pytest.skip("the shared medical question sets are not beside this checkout")
    for split in ("train", "validate"):
        rows = load_questions(DATA, split, (source,))
        agreement = (
            100 * sum((question_type(row.question) == "closed") == row.closed for row in rows) / len(rows)
        )
        print(f"{source} {split}: {agreement:.2f} % of {len(rows)}")
        assert agreement >= floor


@pytest.mark.parametrize(
    "question", ["what " + ", " * 50_000, "in a, " * 50_000 + "what", "what or" + "?" * 99_999]
)
def test_a_question_of_any_length_is_quickly_known(question: str) -> None:
    """It is looked at on the thread that sends every answer."""
    began = time.perf_counter()
    assert question_type(question) == "open"
    assert time.perf_counter() - began < 1


def test_a_turn_without_content_is_no_question() -> None:
    assert last_question([{"role": "user", "content": None}]) == ""
