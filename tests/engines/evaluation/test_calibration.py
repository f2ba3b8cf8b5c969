import numpy as np
import pytest

from radserve_engines.evaluation.calibration import (
    calibrate,
    equal_mass_bins,
    equal_width_bins,
    expected_error,
    risk_at,
    risk_by_coverage,
)


def test_answers_that_are_right_as_often_as_they_are_confident_have_no_error():
    confidence = np.repeat([0.25, 0.5, 0.75, 1.0], 100)
    correct = np.concatenate([np.arange(100) < share for share in (25, 50, 75, 100)]).astype(float)
    assert expected_error(equal_width_bins(confidence, correct)) == pytest.approx(0, abs=1e-9)


def test_overconfidence_is_its_error():
    """Every answer claims 0.9 and 6 of 10 are right: both ways of binning must say 0.3."""
    confidence, correct = np.full(100, 0.9), (np.arange(100) < 60).astype(float)
    found = calibrate(confidence, correct)
    assert found.ece == pytest.approx(0.3)
    assert expected_error(equal_mass_bins(confidence, np.tile([1.0, 1, 1, 0, 0], 20))) >= 0.3 - 1e-9


def test_errors_within_a_bin_do_not_cancel_across_bins():
    confidence, correct = np.array([0.1] * 10 + [0.9] * 10), np.array([1.0] * 10 + [0.0] * 10)
    assert expected_error(equal_width_bins(confidence, correct)) == pytest.approx(0.9)


def test_every_answer_is_in_one_bin_the_ends_included():
    confidence = np.array([0.0, 1 / 15, 2 / 15, 0.999, 1.0])
    bins = equal_width_bins(confidence, np.ones(5))
    assert [b.count for b in bins] == [2, 1, 2]
    assert sum(b.count for b in equal_mass_bins(np.linspace(0, 1, 101), np.ones(101))) == 101


def test_risk_coverage_of_known_answers():
    confidence, correct = np.array([0.6, 0.9, 0.8, 0.7]), np.array([0.0, 1.0, 0.0, 1.0])
    risk = risk_by_coverage(confidence, correct)
    assert risk == pytest.approx([0, 1 / 2, 1 / 3, 2 / 4])
    assert risk_at(risk, 0.25) == 0
    assert risk_at(risk, 0.6) == pytest.approx(1 / 3)
    found = calibrate(confidence, correct)
    assert found.aurc == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 2) / 4)
    told = found.to_json()
    assert told["risk_coverage"][9:11] == [{"coverage": 0.5, "risk": 0.5}, {"coverage": 0.55, "risk": 0.3333}]
    assert sum(one["count"] for one in told["bins"]) == 4


def test_equal_confidence_gains_nothing_by_the_order_of_the_file():
    confidence = np.full(10, 0.5)
    ordered = np.array([1.0] * 5 + [0.0] * 5)
    assert risk_by_coverage(confidence, ordered) == pytest.approx(np.full(10, 0.5))
    found = calibrate(confidence, ordered)
    assert found.accuracy_at_80 == pytest.approx(0.5)
    assert found.ece == found.ece_equal_mass == pytest.approx(0)


def test_a_confidence_that_knows_the_wrong_fifth_reaches_everything_at_80_percent():
    found = calibrate(np.linspace(1, 0.01, 100), (np.arange(100) < 80).astype(float))
    assert found.accuracy == pytest.approx(0.8)
    assert found.accuracy_at_80 == pytest.approx(1.0)
