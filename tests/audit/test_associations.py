"""What gives a label or a split away: shortcuts made by hand, beside columns that say nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from contrastive_cxr.audit import associations, folds
from tests.audit.test_groups import table

N = 120


@pytest.fixture
def rows() -> pd.DataFrame:
    """The format tells the label in about four of five images; width says nothing, nor does the aspect ratio."""
    rng = np.random.default_rng(0)
    label = rng.choice(["x", "y"], N)
    told = np.where(rng.random(N) < 0.9, label, np.where(label == "x", "y", "x"))
    found = table(*({"label": word} for word in label))
    return found.assign(
        format=np.where(told == "x", "PNG", "JPEG"), mode="L", bytes=1000, width=rng.integers(90, 110, N), height=100,
        split=np.where(np.arange(N) < 80, "train", "test"),
    )  # fmt: skip


def test_a_shortcut_is_seen_and_noise_is_not(rows: pd.DataFrame) -> None:
    found = {each["input"]: each for each in associations.with_label(rows, np.arange(N))}
    assert set(found) == {"format", "width", "aspect ratio", "all"}, "what never differs is left out"
    assert found["format"]["auc"] > 0.75
    assert found["format"]["p"] < 1e-6
    assert 0.3 < found["width"]["auc"] < 0.65
    assert found["all"]["auc"] > 0.7
    counts = [[((rows["format"] == f) & (rows["label"] == w)).sum() for w in "xy"] for f in ("JPEG", "PNG")]
    assert found["format"]["p"] == pytest.approx(stats.chi2_contingency(counts)[1])
    sides = [rows["width"][rows["label"] == word] for word in "xy"]
    assert found["width"]["p"] == pytest.approx(stats.kruskal(*sides)[1])
    assert found["width"]["n"] == N


def test_labels_with_few_owners_are_left_out(rows: pd.DataFrame) -> None:
    rows.loc[:3, "label"] = "rare"
    _, labels, kept = associations.labelled(rows, np.arange(N))
    assert (kept, len(labels)) == (["x", "y"], N - 4)
    one_patient = np.where(rows["label"] == "y", 0, np.arange(N) + 1)
    assert associations.with_label(rows, one_patient) == [], "one patient is no sample of a label"


def test_a_shift_between_splits(rows: pd.DataFrame) -> None:
    none = associations.shifts(rows, np.arange(N), None)
    assert [(each["first"], each["second"], each["input"], each["n"]) for each in none] == [
        ("train", "test", "metadata", N)
    ]
    assert none[0]["auc"] < 0.7
    rows["bytes"] = np.where(rows["split"] == "train", 1000, 1100)
    seen = np.where(rows["split"] == "train", 0, 9)[:, None] + np.zeros((N, 4))
    shifted = associations.shifts(rows, np.arange(N), seen.astype(np.float32))
    assert [each["auc"] for each in shifted] == [1.0, 1.0]
    assert [each["input"] for each in shifted] == ["metadata", "32x32 thumbnail"]


def test_out_of_fold_never_sees_an_owner() -> None:
    owners = np.repeat(np.arange(20), 3)
    labels = np.repeat(np.arange(20) % 2, 3)
    seen = np.zeros(60, dtype=int)

    def fit(train: np.ndarray, test: np.ndarray) -> np.ndarray:
        assert not set(owners[train]) & set(owners[test])
        seen[test] += 1
        return np.full((len(test), 2), 0.5)

    assert folds.out_of_fold(fit, labels, owners, 2) is not None
    assert (seen == 1).all()
    assert folds.out_of_fold(fit, labels, labels, 2) is None, "one owner a class"
    assert folds.out_of_fold(fit, np.zeros(60, dtype=int), owners, 1) is None


def test_area_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 50)
    probabilities = rng.dirichlet([1, 1, 1], 50)
    wanted = roc_auc_score(labels, probabilities, multi_class="ovr", average="macro")
    assert folds.area(probabilities, labels) == pytest.approx(wanted, abs=1e-4)
    two = (labels == 1).astype(int)
    assert folds.area(probabilities[:, :2], two) == pytest.approx(roc_auc_score(two, probabilities[:, 1]), abs=1e-4)
    assert folds.area(probabilities, np.zeros(50, dtype=int)) is None
    right = [row.argmax() == label for row, label in zip(probabilities, labels, strict=True)]
    assert folds.accuracy(probabilities, labels) == pytest.approx(np.mean(right), abs=1e-4)


def test_a_sample_is_no_larger_than_asked_and_the_same_again() -> None:
    assert folds.sample(5, 10).tolist() == [0, 1, 2, 3, 4]
    drawn = folds.sample(1000, 10)
    assert len(set(drawn.tolist())) == 10
    assert (drawn == folds.sample(1000, 10)).all()
    assert (np.diff(drawn) > 0).all()
