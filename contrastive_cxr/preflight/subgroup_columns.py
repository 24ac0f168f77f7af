"""Scores by the columns of the manifest that a recipe names: which may be named, and their part of a report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from contrastive_cxr.errors import nearest
from contrastive_cxr.metrics.subgroups import Classified, by_column
from contrastive_cxr.recipe.schema import Recipe
from contrastive_cxr.run.folder import plain

_NO_GROUPS = ("path", "root", "patient", "split", "digest", "class")


def column_faults(wanted: Sequence[str], columns: Sequence[str]) -> list[str]:
    """Faults of `evaluation.subgroups`: columns that the manifest lacks, or whose values are no groups."""
    known = [name for name in columns if name not in _NO_GROUPS]
    return [
        f"evaluation.subgroups '{name}' is not a column whose groups can be scored; the data has {known}"
        f"{nearest(name, known)}"
        for name in dict.fromkeys(wanted)
        if name not in known
    ]


def of_rows(
    recipe: Recipe,
    rows: pd.DataFrame,
    probabilities: NDArray[np.floating[Any]],
    labels: NDArray[np.int64],
    patients: NDArray[np.int64],
) -> dict[str, Any]:
    """The `subgroups` of report.json: {column: {quartiles, groups}} of scored rows.

    Parameters
    ----------
    rows : DataFrame [N] of str
        The scored rows with the manifest's columns; of new images, a column that they lack is left out.
    probabilities : float [N, C]
    labels, patients : int64 [N]; patient -1 is unknown
    """
    task, resamples = recipe.task, recipe.evaluation.resamples
    said = Classified(probabilities, labels, patients, task.names, task.positive_index)
    wanted = [name for name in dict.fromkeys(recipe.evaluation.subgroups) if name in rows]
    return dict(plain({name: by_column(said, list(rows[name]), resamples) for name in wanted}))
