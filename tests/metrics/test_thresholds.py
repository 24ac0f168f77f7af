"""Thresholds against trying every one, and what they reach counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from contrastive_cxr.metrics import thresholds
from contrastive_cxr.metrics.fitting import Validation
from contrastive_cxr.metrics.statistics import intervals


def drawn(n: int = 80, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    positive = generator.random(n) < 0.4
    return np.clip(generator.normal(0.35 + 0.3 * positive, 0.2), 0, 1).round(2), positive


def rates(scores: np.ndarray, positive: np.ndarray, threshold: float) -> dict[str, float]:
    said = scores >= threshold
    return {"sensitivity": said[positive].mean(), "specificity": (~said[~positive]).mean()}


@pytest.mark.parametrize("kind", ["sensitivity", "specificity"])
@pytest.mark.parametrize("wanted", [0.5, 0.8, 0.95])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_threshold_reaches_what_is_wanted_and_no_other_costs_less(kind: str, wanted: float, seed: int) -> None:
    scores, positive = drawn(seed=seed)
    threshold, why = thresholds.choose(scores, positive, kind, wanted)
    assert why == ""
    other = "specificity" if kind == "sensitivity" else "sensitivity"
    best = max(
        rates(scores, positive, each)[other] for each in set(scores) if rates(scores, positive, each)[kind] >= wanted
    )
    found = rates(scores, positive, threshold)
    assert found[kind] >= wanted
    assert found[other] == best


@pytest.mark.parametrize(
    ("scores", "positive", "kind", "words"),
    [
        ([0.1, 0.2], [False, False], "sensitivity", "no image of the positive class"),
        ([0.1, 0.2], [True, True], "specificity", "no image of the other classes"),
        ([0.1, 0.2, 0.3], [True, False, True], "sensitivity", "only by calling every image positive"),
        ([0.1, 0.2, 0.3], [True, True, False], "specificity", "only by calling no image positive"),
    ],
)
def test_what_cannot_be_reached_is_said(scores: list[float], positive: list[bool], kind: str, words: str) -> None:
    threshold, why = thresholds.choose(np.array(scores), np.array(positive), kind, 1.0)
    assert threshold is None
    assert words in why


def test_reached_rates_by_counting() -> None:
    decided = np.array([True, True, True, False, False, False, False])
    positive = np.array([True, True, False, True, False, False, False])
    found = thresholds.reached(decided, positive, np.arange(7))
    counts = {name: (entry["successes"], entry["n"]) for name, entry in found.items()}
    assert counts == {
        "sensitivity": (2, 3),
        "specificity": (3, 4),
        "precision": (2, 3),
        "negative_predictive_value": (3, 4),
    }
    assert (found["sensitivity"]["low"], found["sensitivity"]["high"]) == intervals.wilson(2, 3)
    none = thresholds.reached(np.zeros(3, dtype=bool), np.zeros(3, dtype=bool), np.arange(3))
    assert none["precision"]["reason"] == "no image was decided positive"
    assert none["sensitivity"]["reason"] == "no image of the positive class"


def test_a_threshold_of_the_validation_part_is_judged_on_the_scored_one() -> None:
    scores, positive = drawn()
    kept_scores, kept = drawn(seed=5)
    wide = np.column_stack([np.zeros(80), kept_scores, 1 - kept_scores])  # the positive class is column 1 of three
    validation = Validation(wide, np.where(kept, 1, 2))
    (line,) = thresholds.report(scores, positive, {"sensitivity": 0.9}, None, validation, number=1)
    assert line["threshold"] == thresholds.choose(kept_scores, kept, "sensitivity", 0.9)[0]
    for name, value in rates(scores, positive, line["threshold"]).items():
        assert line["reached"][name]["value"] == pytest.approx(value)
    chosen = line["chosen"]
    assert (chosen["positives"], chosen["others"]) == (kept.sum(), (~kept).sum())
    assert chosen["reached"]["value"] == rates(kept_scores, kept, line["threshold"])["sensitivity"]


def test_without_validation_each_fold_gets_the_threshold_of_the_others() -> None:
    scores, positive = drawn()
    patients = np.arange(80) // 4
    lines = thresholds.report(scores, positive, {"sensitivity": 0.9, "specificity": 0.8}, patients)
    assert [line["of"] for line in lines] == ["sensitivity", "specificity"]
    assert lines[0]["threshold"] == thresholds.choose(scores, positive, "sensitivity", 0.9)[0]
    assert lines[0]["chosen"] is None
    whole = rates(scores, positive, lines[0]["threshold"])
    assert lines[0]["reached"]["specificity"]["value"] != whole["specificity"], "folds have thresholds of their own"


def test_a_wanted_rate_that_validation_cannot_reach_gives_a_reason_and_no_rates() -> None:
    scores, positive = drawn()
    nobody = Validation(np.full((5, 2), 0.5), np.zeros(5, dtype=np.int64))
    (line,) = thresholds.report(scores, positive, {"sensitivity": 0.9}, None, nobody)
    assert line["threshold"] is line["reached"] is None
    assert "no image of the positive class" in line["reason"]
    (line,) = thresholds.report(scores, positive, {"sensitivity": 0.9}, np.zeros(80, dtype=np.int64))
    assert line["reason"] == "no images to choose it on"
