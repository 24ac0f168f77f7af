"""The columns of the page: what is known of each case, and the lists of cases that are worth a look first."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from contrastive_cxr.explore.computed import Computed
from contrastive_cxr.explore.neighbours import votes
from contrastive_cxr.explore.opened import in_memory
from contrastive_cxr.inference.loaded import LoadedModels
from contrastive_cxr.inference.loaded_answers import decided
from contrastive_cxr.inference.search import UNFAMILIAR

CONTRADICTS = 0.6
"""Least share of the neighbours that have one other label, where a label is suspected."""
MOST_VALUES = 64
"""Different values of a column that has a colour and a filter a value; of one with more the text is searched."""
OWN = ("label", "predicted", "outcome", "vote", "vote_says", "split", "probability", "vote_share", "distance",
       "percentile")  # fmt: skip
_HIDDEN = ("id", "path", "root", "digest")


def table(loaded: LoadedModels, found: Computed) -> pd.DataFrame:
    """What is known of each case: the gallery's columns, and those of `OWN`.

    Returns
    -------
    DataFrame [M]
        `predicted` ('' nothing), `probability` (of the predicted class), `outcome` (right, wrong, not predicted, no
        label), `vote` (most frequent label of the 10 nearest cases of other patients), `vote_share`, `own_share`,
        `vote_says` (agrees, contradicts, no label), `distance` (to the nearest of them), `percentile` (of the
        gallery's cases that lie nearer to theirs).
    """
    gallery = in_memory(loaded)
    assert gallery is not None, "who asks has opened one"
    rows = gallery.rows.copy()
    labels = rows["label"].to_numpy(dtype=object)
    predicted, probability = _predicted(loaded, found.probabilities, len(rows))
    vote, share, own = votes(labels, found.near.others)
    nearest = found.near.other_gaps[:, 0] if found.near.other_gaps.shape[1] else np.full(len(rows), np.inf, np.float32)
    known, familiar = np.isfinite(nearest), gallery.familiar
    percentile = np.full(len(rows), np.nan, np.float32)
    if familiar is not None:
        percentile[known] = familiar.percentile(nearest[known])
    outcome = np.where(predicted == "", "not predicted", np.where(predicted == labels, "right", "wrong"))
    outcome = np.where((predicted != "") & (labels == ""), "no label", outcome)
    says = np.where((labels == "") | (vote == ""), "no label", np.where(vote == labels, "agrees", "contradicts"))
    return rows.assign(
        predicted=predicted, probability=probability, outcome=outcome, vote=vote, vote_share=share, own_share=own,
        vote_says=says, distance=np.where(known, nearest, np.nan).astype(np.float32), percentile=percentile,
    )  # fmt: skip


def lists(cases: pd.DataFrame, copies: NDArray[np.int64]) -> dict[str, list[int]]:
    """Cases to look at first: `errors`, `unfamiliar`, `copies` (pairs, one behind the other) and `labels`.

    Errors: the surest first. Unfamiliar: farther from other patients' cases than 99 % of the gallery, the farthest
    first. Labels: at least 60 % of the neighbours have one other label; the smallest share of the own label first.
    """
    wrong = cases[cases["outcome"] == "wrong"].sort_values("probability", ascending=False, kind="stable")
    far = cases[cases["percentile"] > UNFAMILIAR].sort_values("distance", ascending=False, kind="stable")
    other = cases[(cases["vote_says"] == "contradicts") & (cases["vote_share"] >= CONTRADICTS)]
    other = other.sort_values(["own_share", "vote_share"], ascending=[True, False], kind="stable")
    return {
        "errors": wrong.index.tolist(), "unfamiliar": far.index.tolist(), "copies": copies.ravel().tolist(),
        "labels": other.index.tolist(),
    }  # fmt: skip


def columns(cases: pd.DataFrame) -> list[dict[str, Any]]:
    """The columns as the page takes them, those of `OWN` first.

    Returns
    -------
    list of dict
        `name` and `kind`: `category` (`values`, and `codes`, a number a case), `number` (`numbers`, None where there
        is none) or `text` (`texts`). Columns that are empty are left out.
    """
    order = [name for name in OWN if name in cases]
    order += [str(name) for name in cases if name not in (*order, *_HIDDEN, "own_share")]
    found = [column(name, cases[name]) for name in order if cases[name].astype(str).str.len().any()]
    empty = {"number": lambda each: not any(value is not None for value in each["numbers"])}
    return [each for each in found if not empty.get(each["kind"], lambda each: False)(each)]


def column(name: str, values: pd.Series[Any]) -> dict[str, Any]:
    """One column; a text column whose values are all numbers, and many, is one of numbers."""
    if values.dtype.kind == "f":
        return {"name": name, "kind": "number", "numbers": _numbers(values)}
    texts = values.astype(str)
    codes, known = pd.factorize(texts, sort=True)
    if name in OWN or (len(known) <= MOST_VALUES and len(known) < max(3, len(texts))):
        return {"name": name, "kind": "category", "values": list(map(str, known)), "codes": codes.tolist()}
    numbers = pd.to_numeric(texts.where(texts != "", None), errors="coerce")
    if name != "patient" and numbers.notna().equals(texts != ""):
        return {"name": name, "kind": "number", "numbers": _numbers(numbers)}
    return {"name": name, "kind": "text", "texts": texts.tolist()}


def _predicted(
    loaded: LoadedModels, found: NDArray[np.float32] | None, count: int
) -> tuple[NDArray[np.object_], NDArray[np.float32]]:
    """The predicted class of each case, '' where there is none, and its probability."""
    names, sure = np.full(count, "", dtype=object), np.full(count, np.nan, np.float32)
    if found is not None:
        known = np.flatnonzero(np.isfinite(found).all(axis=1))
        chosen = decided(loaded, found[known])
        names[known] = np.array(loaded.classes, dtype=object)[chosen]
        sure[known] = found[known, chosen]
    return names, sure


def _numbers(values: pd.Series[Any]) -> list[float | None]:
    return [float(f"{value:.5g}") if np.isfinite(value) else None for value in values.astype(float)]
