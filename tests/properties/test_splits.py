"""Any images, patients, copies and shares: what a division keeps together, how near it comes, and what it refuses."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from hypothesis import assume, given
from hypothesis import strategies as st

from contrastive_cxr.data.manifest import Manifest
from contrastive_cxr.data.split import divide
from contrastive_cxr.errors import RequestError
from contrastive_cxr.recipe.schema import Split


class Images(NamedTuple):
    """Rows, their classes, and the digests of their content."""

    manifest: Manifest
    labels: np.ndarray
    digests: np.ndarray


@st.composite
def images(draw: st.DrawFn, most_classes: int = 3) -> Images:
    """4 to 80 images; patients of one or several, some unknown; a few copies."""
    count = draw(st.integers(4, 80))
    whole = st.lists(st.integers(-1, draw(st.integers(0, 30))), min_size=count, max_size=count)
    patients = [f"p{number}" if number >= 0 else "" for number in draw(whole)]
    few = st.lists(st.integers(0, most_classes - 1), min_size=count, max_size=count)
    copies = draw(st.lists(st.integers(0, 3 * count), min_size=count, max_size=count))
    rows = pd.DataFrame({"path": [f"{number:03}.png" for number in range(count)], "patient": patients})
    manifest = Manifest(rows.assign(root="", label="", split="", source="s"))
    return Images(manifest, np.array(draw(few)), np.array([f"d{number}" for number in copies]))


@st.composite
def rules(draw: st.DrawFn) -> Split:
    """Fractions or folds of any size."""
    share = st.sampled_from([0.0, 0.05, 0.1, 0.2, 0.3, 0.45])
    folds = draw(st.integers(2, 5))
    return Split(
        kind=draw(st.sampled_from(["fractions", "folds", "within-train"])),
        val=draw(share),
        test=draw(share),
        folds=folds,
        fold=draw(st.integers(0, folds - 1)),
        seed=draw(st.integers(0, 1000)),
    )


def divided(found: Images, rule: Split) -> np.ndarray:
    """The division; the example is left aside where the rule is refused."""
    try:
        return divide(found.manifest, found.labels, rule, digests=found.digests, need=("train",))
    except RequestError:
        assume(False)
        raise


@given(images(), rules())
def test_patients_and_copies_stay_on_one_side(found: Images, rule: Split) -> None:
    parts = divided(found, rule)
    for column in (found.manifest.column("patient"), found.digests):
        for key in set(column) - {""}:
            assert len(set(parts[column == key])) == 1, f"{key} is in {set(parts[column == key])}"


@given(images(), rules())
def test_every_promised_part_has_every_class(found: Images, rule: Split) -> None:
    parts = divided(found, rule)
    promised = {"train"} | ({"val"} if rule.val else set())
    promised |= {"test"} if rule.kind == "folds" or rule.test else set()
    assert set(parts) == promised
    for part in promised:
        assert set(found.labels[parts == part]) == set(found.labels), f"a class has no image in {part}"


@given(st.lists(st.integers(3, 30), min_size=1, max_size=4), rules())
def test_as_many_images_as_parts_are_enough(counts: list[int], rule: Split) -> None:
    assume(rule.kind != "folds" or (rule.folds <= 3 and not rule.val))
    assume(rule.val + rule.test < 1)
    labels = np.repeat(np.arange(len(counts)), counts)
    rows = pd.DataFrame({"path": [f"{number:03}.png" for number in range(len(labels))], "patient": ""})
    parts = divide(Manifest(rows.assign(root="", label="", split="", source="s")), labels, rule, need=("train",))
    shares = {"train": 1 - rule.val - rule.test, "val": rule.val, "test": rule.test}
    for part in set(parts):
        assert set(labels[parts == part]) == set(labels), f"a class has no image in {part}"
        for label, count in enumerate(counts if rule.kind != "folds" else []):
            wanted, got = shares[part] * count, (labels[parts == part] == label).sum()
            assert abs(got - wanted) <= 2, f"{got} of class {label} in {part}, wanted {wanted:.1f}"


@given(images(), rules(), st.randoms(use_true_random=False))
def test_the_order_of_the_rows_means_nothing(found: Images, rule: Split, rng: object) -> None:
    parts = divided(found, rule)
    order = np.arange(len(parts))
    rng.shuffle(order)  # type: ignore[attr-defined]
    again = divided(Images(found.manifest.take(order), found.labels[order], found.digests[order]), rule)
    assert again.tolist() == parts[order].tolist()


@given(images(), rules())
def test_shares_are_kept_as_near_as_the_patients_allow(found: Images, rule: Split) -> None:
    assume(rule.kind != "folds")
    parts = divided(found, rule)
    largest = max(groups_of(found).values())
    for part, share in (("val", rule.val), ("test", rule.test), ("train", 1 - rule.val - rule.test)):
        wanted = share * len(parts)
        assert abs((parts == part).sum() - wanted) <= 3 + 3 * largest, (
            f"{part}: {(parts == part).sum()} for {wanted:.1f}"
        )


@given(images(), st.integers(2, 4), st.integers(0, 1000))
def test_each_image_is_scored_in_one_fold(found: Images, folds: int, seed: int) -> None:
    scored = [
        divided(found, Split(kind="folds", folds=folds, fold=fold, val=0.0, seed=seed)) == "test"
        for fold in range(folds)
    ]
    assert (np.sum(scored, axis=0) == 1).all()


def groups_of(found: Images) -> dict[int, int]:
    """Images of each group: rows joined by a patient or a copy, by joining until nothing changes."""
    patients = found.manifest.column("patient")
    group = list(range(len(patients)))
    changed = True
    while changed:
        changed = False
        for a in range(len(group)):
            for b in range(a):
                same = (patients[a] and patients[a] == patients[b]) or found.digests[a] == found.digests[b]
                if same and group[a] != group[b]:
                    group[a] = group[b] = min(group[a], group[b])
                    changed = True
    return {number: group.count(number) for number in set(group)}
