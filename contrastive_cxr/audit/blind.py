"""The scores of the blind baselines on a set of images, before anything is trained."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from contrastive_cxr.audit import folds
from contrastive_cxr.audit.associations import MOST, labelled
from contrastive_cxr.audit.folds import Floats, Ints
from contrastive_cxr.data.squares import Squares
from contrastive_cxr.metrics import baselines

NAMES = (baselines.METADATA, baselines.BORDER, baselines.THUMBNAIL)


def blind(table: pd.DataFrame, images: Squares, owners: Ints) -> list[dict[str, Any]]:
    """Accuracy and AUC of forests on metadata, border and 32x32 thumbnail.

    If the table has a training part and another part, they are fitted on the training part (at most 4,000 rows of it)
    and scored on every other part. If not, every row is predicted out of fold; patients and copies stay together.

    Parameters
    ----------
    table : N rows of a survey's table
    images : the cached squares of the rows
    owners : int64 [N]

    Returns
    -------
    `{name, split, n, accuracy, auc}`; empty if fewer than two labels have at least 5 owners.
    """
    rows, labels, kept = labelled(table, owners)
    if len(kept) < 2:
        return []
    parts = table["split"].to_numpy()[rows]
    others = [part for part in ("val", "test") if (parts == part).any()]
    if (parts == "train").any() and others:
        train = np.flatnonzero(parts == "train")
        train = train[folds.sample(len(train), MOST)]
        splits = [(part, np.flatnonzero(parts == part)) for part in others]
        return _scored(table, images, rows, labels, len(kept), train, splits)
    part = folds.sample(len(rows), MOST)
    return _out_of_fold(table, images, rows[part], labels[part], owners[rows[part]], len(kept))


def _scored(
    table: pd.DataFrame, images: Squares, rows: Ints, labels: Ints, classes: int, train: Ints,
    splits: list[tuple[str, Ints]],
) -> list[dict[str, Any]]:  # fmt: skip
    scored = np.concatenate([part for _, part in splits])
    material = [
        baselines.Material(
            Squares(images.store, images.slots[rows[part]]), table.iloc[rows[part]].reset_index(drop=True)
        )
        for part in (train, scored)
    ]
    found = []
    for name, probabilities in baselines.blind(material[0], labels[train], material[1], classes, 0):
        for split, part in splits:
            chosen = np.isin(scored, part)
            found.append(_entry(name, split, probabilities[chosen], labels[scored[chosen]]))
    return found


def _out_of_fold(
    table: pd.DataFrame, images: Squares, rows: Ints, labels: Ints, owners: Ints, classes: int
) -> list[dict[str, Any]]:
    facts, pixels = table.iloc[rows].reset_index(drop=True), Squares(images.store, images.slots[rows])
    metadata, _ = baselines.metadata(facts, facts.iloc[:0])
    views = (metadata, baselines.border(pixels, facts), baselines.thumbnails(pixels))
    found = []
    for name, view in zip(NAMES, views, strict=True):

        def fit(train: Ints, test: Ints, view: Any = view) -> Floats:
            return baselines.forest(view[train], labels[train], view[test], classes, 0)

        probabilities = folds.out_of_fold(fit, labels, owners, classes)
        if probabilities is not None:
            found.append(_entry(name, "out-of-fold", probabilities, labels))
    return found


def _entry(name: str, split: str, probabilities: Floats, labels: Ints) -> dict[str, Any]:
    return {
        "name": name,
        "split": split,
        "n": len(labels),
        "accuracy": folds.accuracy(probabilities, labels),
        "auc": folds.area(probabilities, labels),
    }
