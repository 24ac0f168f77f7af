"""Facts about a file that predict its label or its split without the picture: formats, sizes, sources."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from sklearn.ensemble import RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier

from contrastive_cxr.audit import folds
from contrastive_cxr.audit.folds import Floats, Ints

WORDS = ("format", "mode", "source")
NUMBERS = ("width", "height", "bytes", "aspect ratio")
TREES = 50
SEVERAL = 4  # columns: with at least as many, a forest in place of a tree
MOST = 4000  # rows that classifiers are fitted and scored on; the statistical tests use all rows
FEWEST = 5  # owners (patients, or single images) that a label must have
LABELS = 20


def inputs(table: pd.DataFrame) -> pd.DataFrame:
    """The known facts about each file besides its pixels: format, mode, source, width, height, bytes, aspect ratio."""
    aspect = table["width"].to_numpy(dtype=np.float64) / np.maximum(table["height"].to_numpy(dtype=np.float64), 1)
    return table[["format", "mode", "source", "width", "height", "bytes"]].assign(**{"aspect ratio": aspect})


def labelled(table: pd.DataFrame, owners: Ints) -> tuple[Ints, Ints, list[str]]:
    """Rows of the labels that have enough owners, int64 [n], the labels' numbers, int64 [n], and their names."""
    frame = pd.DataFrame({"label": table["label"].to_numpy(), "owner": owners})
    each = frame.groupby("label")["owner"].nunique().sort_values(ascending=False, kind="stable")
    kept = sorted(str(label) for label in each.index[each >= FEWEST][:LABELS])
    rows = np.flatnonzero(frame["label"].isin(kept))
    number = {label: place for place, label in enumerate(kept)}
    return rows, np.array([number[label] for label in frame["label"].iloc[rows]], dtype=np.int64), kept


def with_label(table: pd.DataFrame, owners: Ints) -> list[dict[str, Any]]:
    """The association of each input with the label: a test over all rows, and the out-of-fold scores of a tree on it.

    Parameters
    ----------
    table : N rows of a survey's table
    owners : int64 [N]; rows of one patient or one group of copies have the same number

    Returns
    -------
    `{input, with, n, values, test, statistic, p, auc, accuracy}`, one for each input that differs between images, and
    one for `all` of them; empty if fewer than two labels have at least 5 owners.
    """
    rows, labels, kept = labelled(table, owners)
    if len(kept) < 2:
        return []
    known = inputs(table.iloc[rows]).reset_index(drop=True)
    part = folds.sample(len(rows), MOST)
    names = [name for name in (*WORDS, *NUMBERS) if known[name].nunique() > 1]
    found = []
    for name in [*names, *(["all"] if names else [])]:
        entry: dict[str, Any] = {"input": name, "with": "label", "n": len(rows)}
        entry |= {} if name == "all" else {"values": int(known[name].nunique()), **_test(known[name], labels)}
        columns = _columns(known[names if name == "all" else [name]].iloc[part])
        if columns.shape[1]:
            entry |= _alone(columns, labels[part], owners[rows][part], len(kept))
            found.append(entry)
    return found


def _test(values: pd.Series[Any], labels: Ints) -> dict[str, Any]:
    """The chi-squared test for words, the Kruskal-Wallis test for numbers."""
    if values.name in WORDS:
        answer = stats.chi2_contingency(pd.crosstab(values, labels).to_numpy())
        return {"test": "chi-squared", "statistic": round(float(answer.statistic), 3), "p": float(answer.pvalue)}
    groups = [values.to_numpy()[labels == number] for number in np.unique(labels)]
    statistic, p = stats.kruskal(*groups)
    return {"test": "Kruskal-Wallis", "statistic": round(float(statistic), 3), "p": float(p)}


def _columns(known: pd.DataFrame) -> NDArray[np.float32]:
    """Numbers as they are; words as one column of 0 and 1 for each word."""
    words = [name for name in known if name in WORDS]
    return np.asarray(pd.get_dummies(known, columns=words, dtype=np.float32).to_numpy(dtype=np.float32))


def _alone(columns: NDArray[np.float32], labels: Ints, owners: Ints, classes: int) -> dict[str, Any]:
    found = folds.out_of_fold(_trees(columns, labels, classes), labels, owners, classes)
    if found is None:
        return {"auc": None, "accuracy": None}
    return {"auc": folds.area(found, labels), "accuracy": folds.accuracy(found, labels)}


def _trees(columns: NDArray[np.float32], labels: Ints, classes: int) -> folds.Fit:
    """A tree on few columns, a small forest on more; leaves have at least five rows, so no single file is memorised."""

    def fit(train: Ints, test: Ints) -> Floats:
        model = (
            DecisionTreeClassifier(max_leaf_nodes=16, min_samples_leaf=5, random_state=0)
            if columns.shape[1] < SEVERAL
            else RandomForestClassifier(TREES, min_samples_leaf=5, random_state=0, n_jobs=1)
        )
        model.fit(columns[train], labels[train])
        answer = np.zeros((len(test), classes))
        answer[:, model.classes_] = model.predict_proba(columns[test])
        return answer

    return fit


def shifts(table: pd.DataFrame, owners: Ints, thumbnails: NDArray[np.float32] | None) -> list[dict[str, Any]]:
    """How well trees distinguish two splits, or two sources.

    Parameters
    ----------
    table, owners : as for `with_label`
    thumbnails : float32 [N, K], small pictures; None: only metadata

    Returns
    -------
    `{between: split | source, first, second, input, n, auc}`; an AUC of 0.5 means that the trees see no shift.
    """
    metadata = _columns(inputs(table).drop(columns="source"))
    views = {"metadata": metadata} | ({} if thumbnails is None else {"32x32 thumbnail": thumbnails})
    found = []
    for column in ("split", "source"):
        values = table[column].to_numpy()
        names = [
            name for name in dict.fromkeys(("train", "val", "test", *sorted(set(values)))) if (values == name).any()
        ]
        names = [name for name in names if name not in ("", "unused")][:4]
        for one in range(len(names)):
            for other in names[one + 1 :]:
                rows = np.flatnonzero((values == names[one]) | (values == other))
                rows = rows[folds.sample(len(rows), MOST // 2)]
                side = (values[rows] == other).astype(np.int64)
                for name, view in views.items():
                    answer = _alone(view[rows], side, owners[rows], 2)
                    about = {"between": column, "first": names[one], "second": other, "input": name, "n": len(rows)}
                    found.append(about | {"auc": answer["auc"]})
    return found
