from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from contrastive_cxr.data.manifest import Manifest
from contrastive_cxr.data.split import divide
from contrastive_cxr.errors import RequestError
from contrastive_cxr.recipe.schema import Split


def make(patients: list[str], split: list[str] | str = "", source: str = "s") -> Manifest:
    rows = pd.DataFrame({"path": [f"{number:05d}.png" for number in range(len(patients))], "patient": patients})
    return Manifest(rows.assign(root="", label="", split=split, source=source))


def some_labels(counts: list[int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))


@pytest.mark.parametrize("seed", range(8))
def test_fractions_are_within_one_image_of_each_class(seed: int) -> None:
    counts = np.random.default_rng(seed).integers(20, 200, 3)
    labels = some_labels(list(counts), seed)
    parts = divide(make([""] * len(labels)), labels, Split(kind="fractions", val=0.1, test=0.15, seed=seed))
    for label, count in enumerate(counts):
        for part, share in (("train", 0.75), ("val", 0.1), ("test", 0.15)):
            got = int((parts[labels == label] == part).sum())
            assert abs(got - share * count) <= 1, (
                f"class {label} of {count}: {got} in {part}, wanted {share * count:.1f}"
            )


def grouped(seed: int, images: int = 500) -> tuple[list[str], np.ndarray]:
    rng = np.random.default_rng(seed)
    sizes = rng.choice([1, 2, 3, 8, 16], images, p=[0.4, 0.3, 0.2, 0.08, 0.02])
    owner = np.repeat(np.arange(images), sizes)[:images]
    label = rng.integers(0, 3, images)[owner]
    return [f"p{number}" for number in owner], label


@pytest.mark.parametrize("seed", range(4))
def test_patients_stay_together_and_fractions_stay_near(seed: int) -> None:
    patients, labels = grouped(seed)
    parts = divide(make(patients), labels, Split(kind="fractions", val=0.1, test=0.2, seed=seed))
    of_patient = pd.DataFrame({"patient": patients, "part": parts}).groupby("patient")["part"].nunique()
    assert of_patient.max() == 1, "no patient is in two parts"
    for label in range(3):
        share = pd.Series(parts[labels == label]).value_counts(normalize=True)
        for part, wanted in (("train", 0.7), ("val", 0.1), ("test", 0.2)):
            assert abs(share[part] - wanted) < 0.03, f"class {label}: {share[part]:.3f} in {part}, wanted {wanted}"
    sizes = pd.Series(patients).map(pd.Series(patients).value_counts()).to_numpy()
    for part in ("train", "val", "test"):
        assert (sizes[parts == part] >= 8).any(), f"{part} has patients with many images, too"


def test_equal_images_stay_together_with_their_patients() -> None:
    # a-b share an image, b-c a patient: all three rows are one group, whatever the seed
    patients, digests = ["p", "q", "q", *[""] * 57], ["same", "same", "c", *[f"d{n}" for n in range(57)]]
    for seed in range(20):
        parts = divide(make(patients), np.zeros(60, dtype=int), Split(kind="fractions", seed=seed), digests=digests)
        assert len(set(parts[:3])) == 1, f"seed {seed} parts a group: {parts[:3]}"


def test_order_of_rows_means_nothing_and_the_seed_something() -> None:
    patients, labels = grouped(1, 200)
    rows = make(patients)
    for kind in ("fractions", "folds"):
        before = divide(rows, labels, Split.model_validate({"kind": kind}))
        order = np.random.default_rng(0).permutation(200)
        after = divide(rows.take(order), labels[order], Split.model_validate({"kind": kind}))
        assert (after == before[order]).all(), f"{kind}: another order, the same division"
        assert (divide(rows, labels, Split.model_validate({"kind": kind, "seed": 1})) != before).any(), (
            f"{kind}: the seed"
        )


def test_folds_score_each_row_once() -> None:
    patients, labels = grouped(2, 300)
    folds = [divide(make(patients), labels, Split(kind="folds", folds=4, fold=fold, val=0.15)) for fold in range(4)]
    assert (np.sum([parts == "test" for parts in folds], axis=0) == 1).all(), "each row is scored in one fold"
    for parts in folds:
        shares = pd.Series(parts).value_counts(normalize=True)
        assert abs(shares["val"] - 0.15) < 0.03, f"val is a share of all images: {shares['val']}"
        assert pd.DataFrame({"patient": patients, "part": parts}).groupby("patient")["part"].nunique().max() == 1, (
            "patients"
        )


def test_within_train_leaves_the_other_parts_unused() -> None:
    own = ["train"] * 100 + ["val"] * 10 + ["test"] * 10
    parts = divide(make([""] * 120, own), some_labels([60, 60]), Split(kind="within-train", val=0.1, test=0.2))
    assert set(parts[100:]) == {"unused"}, "the source's other parts"
    assert pd.Series(parts[:100]).value_counts().to_dict() == {"train": 70, "test": 20, "val": 10}, "of the train part"
    parts = divide(make([""] * 120), some_labels([60, 60]), Split(kind="within-train", val=0.1, test=0.2))
    assert (parts == "unused").sum() == 0, "without a split of its own, all rows are the train part"


def test_official_is_taken_as_it_is_or_refused() -> None:
    labels = np.zeros(3, dtype=int)
    assert divide(make([""] * 3, ["train", "val", "test"]), labels, Split()).tolist() == ["train", "val", "test"], (
        "as is"
    )
    with pytest.raises(RequestError, match=r"no val part \(it has test 1, train 2\).*within-train"):
        divide(make([""] * 3, ["train", "train", "test"]), labels, Split())
    with pytest.raises(RequestError, match="no split at all"):
        divide(make([""] * 3), labels, Split())
    parts = divide(make([""] * 3, "test"), labels, Split(), need=("test",))
    assert parts.tolist() == ["test"] * 3, "scoring needs no train part"


def test_small_classes_reach_every_part_or_are_refused() -> None:
    parts = divide(make([""] * 12), some_labels([4, 4, 4]), Split(kind="fractions", val=0.1, test=0.15))
    assert {str(p): int((parts == p).sum()) for p in np.unique(parts)} == {"train": 6, "val": 3, "test": 3}, (
        "one of each"
    )
    with pytest.raises(RequestError, match="class '1' has 4 images of 2 patients, too few"):
        divide(make(["", "", "", "p", "p", "q", "q"]), np.array([0, 0, 0, 1, 1, 1, 1]), Split(kind="fractions"))


@pytest.mark.parametrize(
    ("split", "word"),
    [
        (Split(kind="fractions", val=0.5, test=0.5), "leave nothing to train"),
        (Split(kind="folds", folds=3, fold=3), "it is 0 to 2"),
        (Split(kind="folds", folds=2, val=0.5), "leave nothing to train"),
        (Split(kind="fractions", val=0.0), "gives no val part"),
    ],
)
def test_impossible_rules_are_refused(split: Split, word: str) -> None:
    with pytest.raises(RequestError, match=word):
        divide(make([""] * 20), some_labels([10, 10]), split)


def test_val_within_train_keeps_the_sources_test_part() -> None:
    own = ["train"] * 100 + ["unused"] * 10 + ["test"] * 20
    patients = [f"p{n // 2}" for n in range(100)] + [""] * 30
    parts = divide(make(patients, own), some_labels([65, 65]), Split(kind="val-within-train", val=0.2, test=0.3))
    assert pd.Series(parts[:100]).value_counts().to_dict() == {"train": 80, "val": 20}
    assert pd.DataFrame({"p": patients[:100], "part": parts[:100]}).groupby("p")["part"].nunique().max() == 1
    assert parts[100:].tolist() == ["unused"] * 10 + ["test"] * 20
    with pytest.raises(RequestError, match=r"official, but .*test 20, train 100.*val-within-train to take one out"):
        divide(make(patients, own), some_labels([65, 65]), Split())
    for kind in ("val-within-train", "within-train"):
        with pytest.raises(RequestError, match="divides the source's own train part, and the data has none"):
            divide(make([""] * 4, ["test"] * 4), some_labels([2, 2]), Split.model_validate({"kind": kind}))
