"""Nothing is asked before every line and image of every set was found good."""

import json
import shutil

import pytest

from radserve_engines.errors import EvaluationError
from radserve_engines.evaluation.question_sets import load_set, load_sets, swap_images
from radserve_engines.vqa_data import Question


def test_a_set_is_read_in_order_and_named_after_folder_and_file(write_set):
    path = write_set({"answer": "Left Lung."}, {"answer_type": "open"}, {"id": "z"})
    found = load_set(path)
    assert found.name == "made/validate"
    assert [one.id for one in found.questions] == ["q0", "q1", "z"]
    assert found.questions[0].answer == "left lung"
    assert [one.closed for one in found.questions] == [True, False, True]
    assert load_set(path, 2).questions == found.questions[:2]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "not JSON"),
        ("[]", "JSON object"),
        ({"answer": ...}, "'answer' is missing"),
        ({"question": 3}, "'question' must be a string"),
        ({"modality": 3}, "'modality' must be a string"),
        ({"answer_type": "yes/no"}, "'answer_type' must be closed or open"),
        ({"id": "q0"}, "'q0' is there twice"),
        ({"image": "gone.png"}, "gone.png"),
        ({"question": "what\ud800"}, "'question' has half of a surrogate pair"),
    ],
)
def test_an_ill_line_is_told_with_file_line_and_field(write_set, line, said):
    path = write_set({}, {})
    good, bad = path.read_text().splitlines()
    if isinstance(line, dict):
        row = {**json.loads(bad), **line}
        line = json.dumps({name: value for name, value in row.items() if value is not ...})
    path.write_text(f"{good}\n\n{line}\n")
    with pytest.raises(EvaluationError, match=said) as refused:
        load_set(path, 1)  # the limit does not spare the rest of the file
    assert str(refused.value).startswith(f"{path}:3: ")


def test_an_empty_set_and_two_sets_of_one_name_are_refused(write_set, tmp_path):
    path = write_set({})
    shutil.copytree(path.parent, tmp_path / "other" / "made")
    with pytest.raises(EvaluationError, match="two question sets are called made/validate"):
        load_sets([path, tmp_path / "other" / "made" / "validate.jsonl"])
    path.write_text("\n")
    with pytest.raises(EvaluationError, match="has no questions"):
        load_set(path)
    with pytest.raises(EvaluationError, match="cannot be read"):
        load_set(path.with_name("gone.jsonl"))


def test_every_swapped_question_gets_another_image_of_its_source():
    questions = [
        Question("id", source, f"{source}{i // 2}", f"q{i}", "a", False, None)
        for source in "xy"
        for i in range(9)
    ]
    swapped = swap_images(questions)
    for before, after in zip(questions, swapped, strict=True):
        assert after.image != before.image
        assert after.image[0] == before.source
        assert (after.question, after.answer) == (before.question, before.answer)
