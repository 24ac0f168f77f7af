"""How good frozen vectors are for the labels of their rows: nearest neighbours and a linear probe, with intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from contrastive_cxr.metrics import neighbours, scores
from contrastive_cxr.metrics.statistics import intervals

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
FOLDS = 5
K = (1, 5, 10)
VOTE = 20


@dataclass(frozen=True)
class Labelled:
    """Rows with a label: vectors float32 [N, D], labels int64 [N], owners int64 [N] (patients), part [N]."""

    vectors: Floats
    labels: Ints
    patients: Ints
    parts: NDArray[np.object_]
    classes: list[str]


def probe(vectors: Floats, rows: pd.DataFrame, *, resamples: int = 2000, seed: int = 0) -> dict[str, Any]:
    """Score vectors by the labels of their rows.

    Where the rows have a training and a test part (else validation), the test part is scored from the training part.
    Otherwise every image is scored: by its neighbours of other patients, and by a probe of five folds by patient.

    Parameters
    ----------
    vectors : float32 [N, D]
    rows : DataFrame
        N rows; `label`, `patient` and `split` are read where they are there.
    resamples, seed
        Of the bootstrap by patient.

    Returns
    -------
    {n, classes, how, knn, linear, notes}; `knn` and `linear` are {name: {value, n, low, high}}, or None, and a note
    says why: fewer than two labels, or too few patients. The probe is a logistic regression on standardised vectors.
    """
    held = _labelled(vectors, rows)
    facts: dict[str, Any] = {"n": len(held.labels), "classes": held.classes, "how": "", "knn": None, "linear": None}
    if len(held.classes) < 2:
        return facts | {"notes": ["The images have fewer than two labels, so nothing is scored."]}
    test = next((word for word in ("test", "val") if {"train", word} <= set(held.parts)), "")
    known = held.parts == "train" if test else np.ones(len(held.labels), bool)
    asked = held.parts == test if test else known
    facts["how"] = (
        f"{test} from train" if test else f"each image from those of other patients; {FOLDS} folds by patient"
    )
    facts["n"] = int(asked.sum())
    facts["knn"] = _neighbours(held, known, asked, resamples, seed)
    notes = ["Copies of an image under two patients are not looked for: ccxr audit does that."]
    probabilities = _crossed(held, seed) if not test else _fitted(held, known, asked)
    if probabilities is None:
        return facts | {"notes": [*notes, "No linear probe: a class has fewer than two patients to divide into folds."]}
    found = scores.classification(
        probabilities, held.labels[asked], held.classes, len(held.classes) - 1, held.patients[asked], resamples, seed
    )
    return facts | {"linear": found["scores"], "counts": found["counts"], "notes": notes}


def _labelled(vectors: Floats, rows: pd.DataFrame) -> Labelled:
    """The rows that have a label."""

    def column(name: str) -> pd.Series[str]:
        return rows[name].fillna("").astype(str) if name in rows else pd.Series([""] * len(rows), dtype=str)

    labels, patients = column("label").to_numpy(), column("patient").to_numpy()
    kept = labels != ""
    classes, numbers = np.unique(labels[kept].astype(str), return_inverse=True)
    names, owners = np.unique(patients[kept].astype(str), return_inverse=True)
    owners = np.where(names[owners] == "", -1, owners) if len(names) else owners
    parts = column("split").to_numpy().astype(object)[kept]
    return Labelled(
        vectors[kept], numbers.astype(np.int64), owners.astype(np.int64), parts, [str(each) for each in classes]
    )


def _neighbours(
    held: Labelled, known: NDArray[np.bool_], asked: NDArray[np.bool_], resamples: int, seed: int
) -> dict[str, Any]:
    """Neighbour scores of the asked rows among the known ones, never themselves nor their patient."""
    ids = np.arange(len(held.labels))
    found = neighbours.scores(
        held.vectors[known],
        held.labels[known],
        held.vectors[asked],
        held.labels[asked],
        k=tuple(k for k in K if k <= known.sum()),
        vote=min(VOTE, max(1, int(known.sum()) // 4)),
        classes=len(held.classes),
        gallery_ids=ids[known],
        query_ids=ids[asked],
        gallery_patients=held.patients[known],
        query_patients=held.patients[asked],
    )
    return found.with_intervals(held.patients[asked], resamples, seed)


def _crossed(held: Labelled, seed: int) -> NDArray[np.float64] | None:
    """Probabilities float64 [N, C] of every row, each from folds of other patients; None where there are too few."""
    owners = intervals.group_numbers(held.patients, len(held.labels))
    fewest = min(len(np.unique(owners[held.labels == label])) for label in range(len(held.classes)))
    folds = min(FOLDS, fewest)
    if folds < 2:
        return None
    found = np.zeros((len(held.labels), len(held.classes)))
    divided = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    for train, test in divided.split(held.vectors, held.labels, owners):
        found[test] = _probabilities(held, train, test)
    return found


def _fitted(held: Labelled, known: NDArray[np.bool_], asked: NDArray[np.bool_]) -> NDArray[np.float64] | None:
    """Probabilities of the asked rows by a probe on the known ones; None where these are of one class."""
    if len(np.unique(held.labels[known])) < 2:
        return None
    return _probabilities(held, np.flatnonzero(known), np.flatnonzero(asked))


def _probabilities(held: Labelled, train: Ints, test: Ints) -> NDArray[np.float64]:
    """Class probabilities [n, C]; a class that the training rows have not gets 0."""
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    model.fit(held.vectors[train].astype(np.float64), held.labels[train])
    found = np.zeros((len(test), len(held.classes)))
    found[:, model.classes_] = model.predict_proba(held.vectors[test].astype(np.float64))
    return found
