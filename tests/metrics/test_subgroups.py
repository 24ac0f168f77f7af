"""Groups of a column, their scores and their differences, worked out again by hand, by loops and by scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from contrastive_cxr.metrics import subgroups
from contrastive_cxr.metrics.subgroups import Classified, by_column, is_measured, measured, named

CLASSES = ("normal", "covid")


def drawn(n: int = 80, seed: int = 0) -> Classified:
    """Binary scores that know the class a little; patients of four images."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    score = np.clip(0.5 + 0.15 * (2 * labels - 1) + rng.normal(0, 0.2, n), 0.01, 0.99)
    return Classified(np.stack([1 - score, score], axis=1), labels, np.arange(n) // 4, CLASSES, 1)


def masks(groups: list[tuple[str, np.ndarray]]) -> dict[str, list[int]]:
    return {name: np.flatnonzero(inside).tolist() for name, inside in groups}


def test_words_are_groups_the_largest_first_and_empty_ones_not_stated() -> None:
    found = masks(named(["b", "a", "b", "", "c"]))
    assert list(found.items()) == [("b", [0, 2]), ("a", [1]), ("c", [4]), ("not stated", [3])]


def test_more_than_twenty_words_keep_the_largest() -> None:
    column = [f"w{i:02}" for i in range(30)] + ["w29"]
    found = named(column)
    assert [name for name, _ in found][:2] == ["w29", "w00"]
    assert [name for name, _ in found][-1] == "11 other values"
    assert len(found) == 20
    assert sum(inside.sum() for _, inside in found) == 31  # every image is in one group
    assert np.sum([inside for _, inside in found], axis=0).max() == 1


def test_numbers_are_quartiles_named_by_what_is_in_them() -> None:
    column = [str(number) for number in (10, 20, 30, 40, 50, 60, 70, 80)] + [""]
    assert is_measured(column)
    assert masks(measured(column)) == {
        "10 to 20": [0, 1], "30 to 40": [2, 3], "50 to 60": [4, 5], "70 to 80": [6, 7], "not stated": [8],
    }  # fmt: skip


def test_a_number_that_is_a_quartile_belongs_below_it() -> None:
    groups = measured([str(number) for number in range(1, 10)])
    assert [name for name, _ in groups] == ["1 to 3", "4 to 5", "6 to 7", "8 to 9"]


def test_equal_numbers_stay_in_one_quartile() -> None:
    column = ["5"] * 20 + [str(number) for number in range(6, 13)]
    groups = measured(column)
    assert groups[0][0] == "5 to 5"
    assert groups[0][1].tolist() == [True] * 20 + [False] * 7
    assert sum(inside.sum() for _, inside in groups) == len(column)


@pytest.mark.parametrize(
    ("column", "answer"),
    [
        ([str(i) for i in range(7)], True),
        ([str(i) for i in range(6)], False),  # grades
        ([*(str(i) for i in range(9)), "nan"], False),
        ([*(str(i) for i in range(9)), "unknown"], False),
        ([*(str(i) for i in range(9)), ""], True),
        ([""] * 9, False),
    ],
)
def test_what_counts_as_numbers(column: list[str], answer: bool) -> None:
    assert is_measured(column) is answer


def test_scores_of_a_group_are_those_of_its_images_alone() -> None:
    said = drawn()
    column = ["f" if i % 8 < 4 else "m" for i in range(80)]  # whole patients
    found = by_column(said, column, resamples=200)
    assert found["quartiles"] is False
    for group in found["groups"]:
        rows = [i for i, word in enumerate(column) if word == group["name"]]
        labels, score = said.labels[rows], said.probabilities[rows, 1]
        assert (group["n"], group["patients"]) == (40, 10)
        assert group["counts"] == {"normal": int((labels == 0).sum()), "covid": int((labels == 1).sum())}
        assert group["scores"]["auc"]["value"] == pytest.approx(roc_auc_score(labels, score))
        assert group["scores"]["balanced_accuracy"]["value"] == pytest.approx(
            balanced_accuracy_score(labels, score > 0.5)
        )


def test_the_difference_is_group_minus_rest_and_its_interval_a_slow_loop_s() -> None:
    said = drawn(120, seed=3)
    column = ["f" if i < 40 else "m" for i in range(120)]
    group = next(each for each in by_column(said, column, 400)["groups"] if each["name"] == "f")
    score = said.probabilities[:, 1]
    inside = np.array([word == "f" for word in column])
    auc = [roc_auc_score(said.labels[side], score[side]) for side in (inside, ~inside)]
    found = group["difference"]["auc"]
    assert found["difference"] == pytest.approx(auc[0] - auc[1])
    assert found["n"] == 120
    rng, looped = np.random.default_rng(9), []
    for _ in range(250):  # patients drawn one by one, both sides scored by scikit-learn
        rows = np.concatenate([np.flatnonzero(said.patients == patient) for patient in rng.integers(0, 30, 30)])
        sides = [rows[inside[rows]], rows[~inside[rows]]]
        if all(len(np.unique(said.labels[side])) == 2 for side in sides):
            looped.append(np.subtract(*(roc_auc_score(said.labels[side], score[side]) for side in sides)))
    half = 2.045 * np.std(looped, ddof=1) * np.sqrt(30 / 29)  # Student's t of 29 degrees of freedom
    assert found["high"] - found["difference"] == pytest.approx(half, rel=0.15)
    assert found["difference"] - found["low"] == pytest.approx(half, rel=0.15)


def test_a_difference_that_is_there_is_seen() -> None:
    said = drawn(200, seed=1)
    column = ["good" if i < 100 else "bad" for i in range(200)]
    probabilities = said.probabilities.copy()
    probabilities[:100] = np.where(said.labels[:100, None] == [0, 1], 0.9, 0.1)
    probabilities[100:] = probabilities[100:][::-1]  # of other images: chance
    found = by_column(Classified(probabilities, said.labels, said.patients, CLASSES, 1), column, 300)
    good = next(group for group in found["groups"] if group["name"] == "good")
    assert good["difference"]["accuracy"]["low"] > 0


def test_small_groups_and_groups_of_one_class_are_counted_alone() -> None:
    said = drawn()
    labels = said.labels.copy()
    labels[20:40] = 1
    said = Classified(said.probabilities, labels, said.patients, CLASSES, 1)
    column = ["few"] * 9 + ["rest"] * 11 + ["one class"] * 20 + ["rest"] * 40
    found = {group["name"]: group for group in by_column(said, column, 100)["groups"]}
    assert found["few"]["scores"] is None
    assert found["few"]["n"] == 9
    assert "fewer than 10" in found["few"]["reason"]
    assert found["one class"]["scores"] is None
    assert found["one class"]["reason"] == "one class alone"
    assert found["rest"]["scores"] is not None


def test_a_group_with_other_classes_than_the_rest_has_no_difference() -> None:
    rng = np.random.default_rng(0)
    labels = np.array([0, 1] * 10 + [0, 1, 2] * 10)
    raw = rng.random((50, 3))
    said = Classified(raw / raw.sum(1, keepdims=True), labels, np.full(50, -1), ("a", "b", "c"), 0)
    found = {group["name"]: group for group in by_column(said, ["two"] * 20 + ["three"] * 30, 100)["groups"]}
    assert found["two"]["scores"] is not None
    assert found["two"]["difference"] is None
    assert found["two"]["patients"] is None


def test_ten_images_are_enough() -> None:
    assert subgroups.FEWEST == 10
    said = drawn(40)
    labels = said.labels.copy()
    labels[:2] = 0, 1
    said = Classified(said.probabilities, labels, said.patients, CLASSES, 1)
    found = by_column(said, ["ten"] * 10 + ["rest"] * 30, 100)["groups"]
    assert found[1]["scores"] is not None
