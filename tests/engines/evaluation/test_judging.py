import math

import pytest

from radserve_engines.evaluation.judging import token_f1


@pytest.mark.parametrize(
    ("given", "true", "wanted"),
    [
        ("Left lung.", "left lung", 1.0),
        ("lung", "left lung", 2 / 3),
        ("the left upper lobe", "left lobe", 2 * (2 / 4) * 1 / (2 / 4 + 1)),
        ("liver", "left lung", 0.0),
        ("lung lung", "lung", 2 / 3),  # a bag: the second one is not matched
        ("t2-weighted", "t2 weighted", 1.0),
        ("", "lung", 0.0),
        ("", "", 1.0),
        ("+", "+", 1.0),
        ("+", "-", 0.0),
    ],
)
def test_token_f1_is_the_harmonic_mean_over_bags_of_words(given, true, wanted):
    assert token_f1(given, true) == pytest.approx(wanted)


def test_exact_match_forgives_case_blanks_and_a_full_stop_and_nothing_else(judged):
    assert judged("  Left  LUNG. ", "left lung").correct
    assert not judged("left lungs", "left lung").correct


def test_an_error_is_wrong_even_where_the_true_answer_is_empty(judged):
    one = judged("", "", error="HTTP 500")
    assert not one.correct
    assert one.f1 == 0


def test_raw_confidence_is_the_probability_of_the_whole_answer(judged):
    assert judged(logprob=math.log(0.25)).outcome.raw_confidence == pytest.approx(0.25)
    assert judged().outcome.raw_confidence is None
    assert judged(logprob=math.nan).outcome.raw_confidence is None
    assert judged(logprob=1000.0).outcome.raw_confidence == 1  # an endpoint that gives logits


def test_nothing_said_is_not_right_even_where_the_true_answer_is_empty(judged):
    silent = judged(" .", "")
    assert (silent.correct, silent.f1) == (False, 0)
