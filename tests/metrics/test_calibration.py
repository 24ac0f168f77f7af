"""Calibration against slow loops, scikit-learn, and a temperature that is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax
from sklearn import metrics

from contrastive_cxr.metrics import calibration
from contrastive_cxr.metrics.fitting import Validation


def drawn(n: int = 300, heat: float = 1.0, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities, and labels drawn from them at `heat` times their temperature."""
    generator = np.random.default_rng(3)
    logits = 2 * generator.normal(size=(n, classes))
    labels = np.array([generator.choice(classes, p=row) for row in softmax(logits / heat, axis=1)])
    return softmax(logits, axis=1), labels


def test_bins_are_of_equal_mass_by_rising_confidence() -> None:
    confidence = np.random.default_rng(0).random(57)
    numbers = calibration.bins(confidence)
    assert np.bincount(numbers).tolist() == [12, 12, 11, 11, 11]
    for low, high in zip(range(4), range(1, 5), strict=True):
        assert confidence[numbers == low].max() <= confidence[numbers == high].min()
    assert set(calibration.bins(np.linspace(0, 1, 5000)).tolist()) == set(range(10))
    assert calibration.bins(np.array([0.5])).tolist() == [0]


def test_expected_error_is_a_slow_loop_over_repeated_rows() -> None:
    probabilities, labels = drawn(60)
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    numbers = calibration.bins(confidence)
    weights = np.random.default_rng(1).integers(0, 3, (4, 60)).astype(float)
    for row, found in zip(weights, calibration.expected_error(confidence, right, weights), strict=True):
        total = 0.0
        for number in set(numbers.tolist()):
            mine = np.repeat(np.arange(60), (row * (numbers == number)).astype(int))
            if len(mine):
                total += len(mine) / row.sum() * abs(confidence[mine].mean() - right[mine].mean())
        assert found == pytest.approx(total)


@pytest.mark.parametrize("heat", [0.5, 1.0, 3.0])
def test_the_temperature_that_the_labels_were_drawn_at_is_found(heat: float) -> None:
    probabilities, labels = drawn(6000, heat)
    assert calibration.temperature(probabilities, labels) == pytest.approx(heat, rel=0.08)


def test_scaling_is_softmax_of_the_logits_and_keeps_the_order() -> None:
    logits = np.random.default_rng(0).normal(size=(5, 4))
    scaled = calibration.scale(softmax(logits, axis=1), 2.5)
    np.testing.assert_allclose(scaled, softmax(logits / 2.5, axis=1))
    assert np.isfinite(calibration.scale(np.array([[1.0, 0.0]]), 0.5)).all()


def test_log_loss_and_brier_are_scikit_learns() -> None:
    probabilities, labels = drawn(80)
    found = calibration.judged(probabilities, labels, resamples=100)
    assert found["log_loss"]["value"] == pytest.approx(metrics.log_loss(labels, probabilities))
    assert found["brier"]["value"] == pytest.approx(
        metrics.brier_score_loss(labels, probabilities, scale_by_half=True, labels=[0, 1, 2])
    )
    for name in ("error", "brier", "log_loss"):
        assert found[name]["low"] < found[name]["value"] < found[name]["high"]


def test_a_perfect_model_is_not_at_zero_and_the_more_images_the_nearer() -> None:
    few, many = drawn(100), drawn(5000)
    expected = [calibration.perfect(each[0].max(1)) for each in (few, many)]
    assert 0.03 < expected[0]["mean"] < expected[0]["high"]
    assert expected[1]["mean"] < expected[0]["mean"] / 4
    error = calibration.judged(*many, resamples=100)["error"]["value"]
    assert error < expected[1]["high"], "these labels were drawn from the probabilities"


def test_report_fits_on_validation_and_mends_an_overconfident_model() -> None:
    probabilities, labels = drawn(1200, 3.0)
    kept = Validation(probabilities[600:], labels[600:])
    found = calibration.report(probabilities[:600], labels[:600], 1, validation=kept, resamples=100)
    assert found["temperature"] == pytest.approx(calibration.temperature(probabilities[600:], labels[600:]))
    assert found["after"]["error"]["value"] < found["before"]["error"]["value"] / 2
    assert found["after"]["log_loss"]["value"] < found["before"]["log_loss"]["value"]
    again = calibration.scale(probabilities[:600], found["temperature"])
    assert found["after"]["log_loss"]["value"] == pytest.approx(metrics.log_loss(labels[:600], again))


def test_without_validation_no_row_is_scaled_by_a_temperature_that_saw_it() -> None:
    probabilities, labels = drawn(100)
    found = calibration.report(probabilities, labels, 1, resamples=100)
    assert found["temperature"] == pytest.approx(calibration.temperature(probabilities, labels))
    whole = metrics.log_loss(labels, calibration.scale(probabilities, found["temperature"]))
    assert found["after"]["log_loss"]["value"] > whole, "the temperature of all rows fits them better"
    alone = calibration.report(probabilities, labels, 1, groups=np.zeros(100, dtype=np.int64), resamples=100)
    assert (alone["after"], alone["temperature"]) == (None, None)


def test_reliability_points_count_what_happened() -> None:
    probabilities, labels = drawn(90)
    points = calibration.reliability(probabilities[:, 1], labels == 1, np.arange(90))
    numbers = calibration.bins(probabilities[:, 1])
    assert len(points) == 9
    for number, point in enumerate(points):
        mine = numbers == number
        assert point["confidence"] == pytest.approx(probabilities[mine, 1].mean())
        assert (point["rate"]["successes"], point["rate"]["n"]) == ((labels[mine] == 1).sum(), 10)


def test_no_rows_at_all() -> None:
    found = calibration.report(np.empty((0, 2)), np.empty(0, dtype=np.int64), 1, resamples=100)
    assert found["before"]["error"]["value"] is None
    assert found["reliability"]["decided"] == []
