"""Decisions by cost, against every decision tried in turn."""

from __future__ import annotations

import numpy as np
import pytest

from contrastive_cxr.metrics import decisions
from contrastive_cxr.metrics.statistics import intervals

CLASSES = ("normal", "covid", "other")
COSTS = {"covid": {"normal": 10.0, "other": 2.0}, "normal": {"covid": 0.5}}


def drawn(n: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    raw = rng.random((n, 3)) + 0.4 * np.eye(3)[(labels := rng.integers(0, 3, n))]
    return raw / raw.sum(1, keepdims=True), labels, rng.integers(-1, 15, n)


def test_pairs_left_out_cost_one_where_wrong() -> None:
    assert decisions.matrix(CLASSES, COSTS).tolist() == [[0, 0.5, 1], [10, 0, 2], [1, 1, 0]]
    assert decisions.matrix(CLASSES, {}).tolist() == (1 - np.eye(3)).tolist()


def test_the_decision_is_the_cheapest_of_all() -> None:
    probabilities, _, _ = drawn()
    table = decisions.matrix(CLASSES, COSTS)
    for row, said in zip(probabilities, decisions.decide(probabilities, table), strict=True):
        expected = [sum(row[true] * table[true][guess] for true in range(3)) for guess in range(3)]
        assert expected[said] == pytest.approx(min(expected))


def test_equal_costs_decide_the_most_probable_class() -> None:
    probabilities, _, _ = drawn()
    said = decisions.decide(probabilities, decisions.matrix(CLASSES, {}))
    assert (said == probabilities.argmax(1)).all()
    assert said.dtype == np.int64


def test_the_dear_mistake_is_made_less_often() -> None:
    probabilities, labels, _ = drawn(400)
    found = decisions.judged(probabilities, labels, decisions.matrix(CLASSES, COSTS), resamples=100)
    missed = [found[name]["confusion"][1][0] for name in ("by_cost", "most_probable")]
    assert missed[0] < missed[1]
    assert found["paired"]["difference"] < 0


def test_mean_costs_are_the_slow_loops_with_intervals_over_patients() -> None:
    probabilities, labels, patients = drawn()
    table = decisions.matrix(CLASSES, COSTS)
    found = decisions.judged(probabilities, labels, table, patients, 300, 3)
    spent = {}
    for name, said in (("by_cost", (probabilities @ table).argmin(1)), ("most_probable", probabilities.argmax(1))):
        spent[name] = np.array([table[true][guess] for true, guess in zip(labels, said, strict=True)])
        entry = found[name]["mean_cost"]
        assert entry["value"] == pytest.approx(spent[name].mean())
        assert entry["n"] == 60
        value, half = intervals.spread(lambda w, of=spent[name]: (w @ of) / w.sum(1), 60, patients, 300, 3)
        assert (entry["low"], entry["high"]) == pytest.approx((max(0.0, float(value - half)), float(value + half)))
        counted = [[int(((labels == true) & (said == guess)).sum()) for guess in range(3)] for true in range(3)]
        assert found[name]["confusion"] == counted
    difference = spent["by_cost"] - spent["most_probable"]
    assert found["paired"]["difference"] == pytest.approx(difference.mean())
    changed = (probabilities @ table).argmin(1) != probabilities.argmax(1)
    assert found["changed"] == changed.sum() > 0


def test_a_mean_cost_above_one_has_an_interval() -> None:
    probabilities, labels, patients = drawn()
    found = decisions.judged(probabilities, labels, 10 * (1 - np.eye(3)), patients, 300)["most_probable"]["mean_cost"]
    assert 1 < found["low"] < found["value"] < found["high"]


def test_no_rows_have_no_mean() -> None:
    found = decisions.judged(np.zeros((0, 3)), np.zeros(0, dtype=np.int64), decisions.matrix(CLASSES, COSTS))
    assert found["by_cost"]["mean_cost"]["value"] is None
