import pytest

from radserve_engines.errors import EvaluationError
from radserve_engines.evaluation.comparison import compare
from radserve_engines.evaluation.confidences import RAW, STATED, judge_abstention, judge_confidences
from radserve_engines.evaluation.question_baseline import guess_from_questions
from radserve_engines.evaluation.scores import NOT_STATED, score, score_facets
from radserve_engines.evaluation.sensitivity import measure_sensitivity
from radserve_engines.vqa_data import Question


def test_closed_open_and_token_f1_are_scored_apart(judged):
    answers = [
        judged("yes", "yes", image="a"),
        judged("liver", "liver", image="a", closed=False),
        judged("left lung", "lung", image="b", closed=False),
        judged("", "mri", image="c", closed=False, error="HTTP 500"),
    ]
    found = score(answers, 0)
    assert (found.questions, found.images, found.errors) == (4, 3, 1)
    assert found.accuracy.value == 50
    assert found.closed.value == 100
    assert found.open.value == pytest.approx(100 / 3)
    assert found.open_f1.value == pytest.approx(100 * (1 + 2 / 3 + 0) / 3)
    assert score(answers[:1], 0).open is None


def test_facets_add_up_to_all_and_ignore_case(judged):
    answers = [
        judged(image="a", modality="CT", content_type="Organ"),
        judged(image="b", modality="ct", content_type="ORGAN"),
        judged(image="c", modality=None, closed=False),
    ]
    facets = score_facets(answers, 0)
    assert {value: one.questions for value, one in facets["modality"].items()} == {"CT": 2, NOT_STATED: 1}
    assert {value: one.questions for value, one in facets["answer_type"].items()} == {"closed": 2, "open": 1}
    assert all(sum(one.questions for one in values.values()) == 3 for values in facets.values())


def test_sensitivity_pairs_each_question_with_itself(judged):
    original = [
        judged("yes", id="1", image="a"),
        judged("no", "no", id="2", image="b"),
        judged("x", "y", id="3"),
    ]
    swapped = [
        judged("no", id="1", image="a", condition="swapped"),
        judged("No.", "no", id="2", image="b", condition="swapped"),
        judged("y", "y", id="3", condition="swapped", error="HTTP 500"),
    ]
    found = measure_sensitivity(original, swapped, 0)
    assert found.questions == 2  # the one that failed says nothing of the image
    assert (found.accuracy.value, found.fall.value, found.changed.value) == (50, 50, 50)


def test_flips_are_counted_by_their_direction(judged):
    answers = [judged("yes", id="1"), judged("no", id="2"), judged("perhaps", id="3"), judged("yes", id="4")]
    before = {one.ask.key: one.outcome for one in (judged("Yes", id="1"), judged("yes", id="2"))}
    before |= {judged(id="3").ask.key: judged("no").outcome, judged(id="4").ask.key: judged("no").outcome}
    found = compare(answers, before, {"name": "other"}, 0)
    assert (found.right_to_wrong, found.wrong_to_right) == (1, 1)
    assert found.flipped.value == 75  # wrong to another wrong is a flip as well
    assert found.difference.value == 0


def test_a_question_that_one_of_two_failed_at_is_not_compared(judged):
    """A busy server is no flip."""
    answers = [judged("yes", id=place, image=place) for place in "abc"]
    before = {one.ask.key: one.outcome for one in answers}
    answers[0] = judged("", id="a", image="a", error="HTTP 503")
    before[answers[1].ask.key] = judged("", error="HTTP 503").outcome
    found = compare(answers, before, {}, 0)
    assert (found.questions, found.flipped.value, found.difference.value) == (1, 0, 0)
    with pytest.raises(EvaluationError, match="no question in common"):
        compare(answers[:2], before, {}, 0)


def test_a_stated_confidence_comes_before_the_raw_one(judged):
    answers = [judged(logprob=-0.1), judged(logprob=-0.2, confidence=0.7, abstained=False)]
    assert [one.source for one in judge_confidences(answers)] == [STATED, RAW]
    assert [one.all.count for one in judge_confidences(answers)] == [1, 2]
    assert judge_confidences([judged()]) == []


def test_abstention_is_reported_where_it_is_said(judged):
    answers = [judged(abstained=False), judged("no", abstained=True), judged("no")]
    found = judge_abstention(answers)
    assert (found.count, found.abstained) == (2, 1)
    assert (found.accuracy_when_sure, found.accuracy_when_abstained) == (1, 0)
    assert judge_abstention(answers[2:]) is None


def test_guesses_use_the_question_alone_and_stay_within_their_source_where_it_was_trained_on():
    def ask(question, answer, closed=False, source="slake"):
        return Question("id", source, "image", question, answer, closed, None)

    training = [
        ask("Which organ?", "liver"),
        ask("which organ?", "liver"),
        ask("Which organ?", "lung"),
        ask("Which organ?", "brain", source="vqa-rad"),
        ask("Healthy?", "no", closed=True),
    ]
    asked = [
        ask("WHICH organ?", "lung"),
        ask("Which organ?", "lung", source="vqa-rad"),
        ask("Broken?", "yes", closed=True),
        ask("Broken?", "yes", closed=True, source="elsewhere"),
        ask("Broken?", "yes", closed=True, source="vqa-rad"),
    ]
    assert guess_from_questions(training, asked) == ["liver", "brain", "no", "no", ""]
