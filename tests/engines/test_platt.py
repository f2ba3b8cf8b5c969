"""Confidence that is fitted means what it says, on answers that the fit has not seen."""

import numpy as np
import pytest

from radserve_engines.calibration import TypeCalibration, answer_logit
from radserve_engines.evaluation.calibration import equal_width_bins, expected_error
from radserve_engines.platt import (
    choose_threshold,
    cross_validate,
    fit_platt,
    measure_clustering,
    wilson_bound,
)


def simulate(seed, count, slope=0.5, intercept=-0.4):
    """Answers of an overconfident model: its own logits, and whether each answer is right by the true line."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(1.5, 2.0, count)
    chance = 1 / (1 + np.exp(-(slope * logits + intercept)))
    return logits, (rng.random(count) < chance).astype(float)


def confidences(logits, line):
    return 1 / (1 + np.exp(-(line[0] * logits + line[1])))


def test_the_fit_finds_the_true_line():
    slope, intercept = fit_platt(*simulate(1, 40_000))
    assert slope == pytest.approx(0.5, abs=0.02)
    assert intercept == pytest.approx(-0.4, abs=0.04)


def test_an_overconfident_model_is_calibrated_on_answers_it_was_not_fitted_on():
    line = fit_platt(*simulate(2, 4000))
    logits, correct = simulate(3, 20_000)
    own = expected_error(equal_width_bins(confidences(logits, (1, 0)), correct))
    fitted = expected_error(equal_width_bins(confidences(logits, line), correct))
    assert own > 0.1
    assert fitted < 0.03


@pytest.mark.parametrize("right", [0.0, 1.0])
def test_answers_that_are_all_right_or_all_wrong_have_a_finite_fit(right):
    logits, _ = simulate(4, 200)
    slope, intercept = fit_platt(logits, np.full(200, right))
    assert slope >= 0 and np.isfinite([slope, intercept]).all()
    assert abs(confidences(logits, (slope, intercept)).mean() - right) < 0.1


def test_a_score_that_says_the_contrary_is_not_followed():
    logits, correct = simulate(5, 2000)
    slope, intercept = fit_platt(logits, 1 - correct)
    assert slope == 0
    assert confidences(0, (slope, intercept)) == pytest.approx(1 - correct.mean(), abs=0.01)


def test_held_out_confidence_is_not_flattered_by_an_image_s_other_questions():
    """Each image has one outcome, which a fit that saw the image's other questions would know."""
    rng = np.random.default_rng(6)
    images = [f"{number}" for number in range(40) for _ in range(25)]
    correct = np.repeat(rng.random(40) < 0.5, 25).astype(float)
    held_out = cross_validate(rng.normal(size=1000), correct, images)
    assert len({round(value, 6) for value in held_out}) > 1
    assert np.corrcoef(held_out, correct)[0, 1] < 0.1
    assert measure_clustering(held_out, correct, images) > 10
    assert measure_clustering(held_out, correct, list(map(str, range(1000)))) == pytest.approx(1)


def test_the_threshold_keeps_the_risk_on_fresh_answers():
    """Chosen 200 times over on 600 answers each, the true error rate exceeds the risk in hardly more than 5 %."""
    fresh, fresh_correct = simulate(7, 200_000)
    exceeded, coverages = 0, []
    for seed in range(200):
        logits, correct = simulate(100 + seed, 600)
        chosen = choose_threshold(confidences(logits, (0.5, -0.4)), correct, 0.25, 1.0)
        assert chosen.value is None or chosen.error_bound <= 0.25
        kept = confidences(fresh, (0.5, -0.4)) >= (2.0 if chosen.value is None else chosen.value)
        exceeded += kept.any() and 1 - fresh_correct[kept].mean() > 0.25
        coverages.append(kept.mean())
    print(f"risk exceeded {exceeded} times in 200; mean coverage {np.mean(coverages):.2f}")
    assert exceeded <= 20
    assert np.mean(coverages) > 0.25  # an oracle keeps 0.48


def test_a_risk_out_of_reach_leaves_no_threshold_and_one_always_kept_leaves_no_abstention():
    logits, correct = simulate(8, 600)
    confidence = confidences(logits, (0.5, -0.4))
    assert choose_threshold(confidence, correct, 0.01, 1.0).value is None
    lax = choose_threshold(confidence, correct, 0.9, 1.0)
    assert (lax.value, lax.coverage) == (0.0, 1.0)


def test_clustered_answers_count_for_less():
    logits, correct = simulate(9, 600)
    confidence = confidences(logits, (0.5, -0.4))
    assert (
        choose_threshold(confidence, correct, 0.25, 4.0).coverage
        < choose_threshold(confidence, correct, 0.25, 1.0).coverage
    )
    assert wilson_bound(0.1, 50) > wilson_bound(0.1, 100) > 0.1


def test_the_served_confidence_is_the_fitted_one_and_rises_with_the_probability():
    one = TypeCalibration(0.5, -0.4, 0.6, 0.3, 0.5, 0.2, 0.25, 100, 10, 0.2, 0.02)
    logprobs = [-40.0, -3.0, -0.7, -0.1, -1e-9, 0.0, 1e-7]
    values = [one.confidence(logprob) for logprob in logprobs]
    assert values == sorted(values)
    assert all(0 < value < 1 for value in values)
    assert answer_logit(np.log(0.8)) == pytest.approx(np.log(4))
    assert one.confidence(float(np.log(0.8))) == round(float(confidences(np.log(4), (0.5, -0.4))), 3)
