import numpy as np
import pytest

from radserve_engines.evaluation.bootstrap import estimate_percent


def test_the_interval_covers_the_true_share_about_as_often_as_it_says():
    """Questions of one image share its luck, so an interval that took them for independent would cover far less."""
    rng = np.random.default_rng(5)
    true, covered, naive = 0.6, 0, 0
    images = [f"i{image}" for image in range(60) for _ in range(8)]
    for trial in range(200):
        values = np.repeat(rng.random(60) < true, 8).astype(float).tolist()
        by_image = estimate_percent(values, images, trial, 400)
        by_question = estimate_percent(values, [str(place) for place in range(len(values))], trial, 400)
        covered += by_image.low <= 100 * true <= by_image.high
        naive += by_question.low <= 100 * true <= by_question.high
    assert 0.90 <= covered / 200 <= 0.99
    assert naive / 200 < 0.7


def test_the_same_seed_gives_the_same_interval_and_another_seed_another():
    values, images = [1.0, 0.0, 1.0, 1.0, 0.0], list("aabcd")
    assert estimate_percent(values, images, 1) == estimate_percent(values, images, 1)
    many = np.random.default_rng(0).random(500).tolist()
    names = [str(i) for i in range(500)]
    assert estimate_percent(many, names, 1) != estimate_percent(many, names, 2)


def test_the_mean_is_over_questions_not_over_images():
    assert estimate_percent([1.0, 1.0, 1.0, 0.0], list("aaab"), 0).value == pytest.approx(75)


def test_one_image_has_no_interval_and_no_question_no_estimate():
    alone = estimate_percent([1.0, 0.0], ["a", "a"], 0)
    assert (alone.value, alone.low, alone.high) == (50, None, None)
    assert estimate_percent([], [], 0) is None
