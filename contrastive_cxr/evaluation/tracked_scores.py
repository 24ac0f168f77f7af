"""What the trackers show of the scored images: the last phase's predictions, cases with neighbours, vectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contrastive_cxr.data.dataset import Dataset
from contrastive_cxr.evaluation.report_facts import EvaluationContext, PhasePredictions, identity
from contrastive_cxr.metrics import baselines, neighbours
from contrastive_cxr.report.figures.cases import rows_shown
from contrastive_cxr.run.tracked import Case, Embedded, Scored

WRONG, RIGHT, NEAR = 32, 16, 5
"""Cases with wrong and with right predictions, and the neighbours of each."""
EMBEDDED = 500
"""Images whose vectors are shown, spread evenly."""
SIDE = 64
"""Of a picture, pixels, at most."""


def of(context: EvaluationContext, preds: PhasePredictions, facts: Mapping[str, Any]) -> Scored:
    """The scored images as a tracker takes them.

    Parameters
    ----------
    facts : mapping
        Of `report.json`: `confusion` and `roc` are read.
    """
    data, query = context.data, preds.query[preds.final]
    labels, given = data.labels[query.rows], preds.probabilities
    rows = np.unique(np.linspace(0, len(labels) - 1, min(len(labels), EMBEDDED)).round().astype(np.int64))
    return Scored(
        classes=data.classes,
        files=data.manifest_table()["path"].iloc[query.rows].tolist(),
        labels=labels,
        probabilities=given,
        confusion=facts["confusion"],
        roc=facts["roc"],
        cases=cases(context, preds),
        embedded=Embedded(rows, query.vectors[rows], pictures(data, query.rows[rows])),
    )


def cases(context: EvaluationContext, preds: PhasePredictions) -> list[Case]:
    """Wrong predictions, the most confident first, then right ones, each with its nearest training images.

    No image is its own neighbour, nor is another one of its patient.
    """
    data, reference = context.data, context.reference
    query, train = preds.query[preds.final], preds.train[preds.final]
    given, labels = preds.probabilities, data.labels[query.rows]
    rows = np.array(rows_shown(given.max(axis=1), given.argmax(axis=1), labels, WRONG, RIGHT), dtype=np.int64)
    if not len(rows):
        return []
    asked = replace(query, rows=query.rows[rows], vectors=query.vectors[rows])
    who = identity(data, reference, asked, train)
    found, _ = neighbours.search(train.vectors, asked.vectors, min(NEAR, len(train.rows)), **who)
    gaps = neighbours.distances(train.vectors, asked.vectors, found)
    own, names = pictures(data, asked.rows), np.array(reference.classes, dtype=object)
    there = [each[each >= 0] for each in found]
    every = np.unique(np.concatenate(there)) if there else np.empty(0, np.int64)
    near = pictures(reference, train.rows[every])
    return [
        Case(
            int(row), own[place], near[np.searchsorted(every, ids)],
            names[reference.labels[train.rows[ids]]].tolist(), gaps[place][found[place] >= 0].tolist(),
        )
        for place, (row, ids) in enumerate(zip(rows, there, strict=True))
    ]  # fmt: skip


def pictures(data: Dataset, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Small pictures of some rows, uint8 [n, S, S]."""
    images = data.take(rows)
    side = min(SIDE, images.shape[-1])
    return baselines.thumbnails(images, side).round().astype(np.uint8).reshape(len(rows), side, side)
