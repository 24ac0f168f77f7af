"""Cases that may be the same picture twice: one file, or near in the embedding and alike in their detail."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from contrastive_cxr import terminal
from contrastive_cxr.audit.candidates import Candidates
from contrastive_cxr.audit.likeness import confirm
from contrastive_cxr.audit.thumbnails import SIDE
from contrastive_cxr.data.decoding.intensity import DecodeError
from contrastive_cxr.explore.pictures import Pictures

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
LOOKED_AT = 150
"""Pairs that are compared by their pictures, the nearest first: 300 images take about 10 s."""
_NEAREST = 3


def suspected(rows: pd.DataFrame, near: Ints, gaps: Floats, pictures: Pictures) -> Ints:
    """Pairs of rows that may show one picture: int64 [K, 2], the smaller row first.

    Equal digests are one file. Of the other pairs of near rows the 150 nearest are compared by their pictures, by the
    correlation of detail that `ccxr audit` uses; `ccxr audit` compares all, and finds mirrored and cropped copies too.

    Parameters
    ----------
    rows : DataFrame
        Of the gallery.
    near, gaps : int64 [M, K], float32 [M, K] of `neighbours.Near`, all other rows
    """
    same = _same_file(rows)
    pairs = _near_pairs(near, gaps)
    known = {tuple(pair) for pair in same.tolist()}
    pairs = np.array([pair for pair in pairs.tolist() if tuple(pair) not in known][:LOOKED_AT], np.int64).reshape(-1, 2)
    return np.concatenate([same, _alike(pairs, pictures)])


def _same_file(rows: pd.DataFrame) -> Ints:
    """Each row with the first of the same digest."""
    if "digest" not in rows:
        return np.empty((0, 2), np.int64)
    known = rows.index[rows["digest"] != ""]
    first = pd.Series(known, index=known).groupby(rows.loc[known, "digest"]).transform("first")
    again = known[first.to_numpy() != known.to_numpy()]
    return np.stack([first.loc[again].to_numpy(), again.to_numpy()], axis=1).astype(np.int64).reshape(-1, 2)


def _near_pairs(near: Ints, gaps: Floats) -> Ints:
    """Pairs of rows that are among each other's three nearest, nearest first, each once."""
    few = near[:, :_NEAREST]
    first = np.repeat(np.arange(len(near)), few.shape[1])
    pairs = np.sort(np.stack([first, few.ravel()], axis=1), axis=1)
    order = np.argsort(gaps[:, :_NEAREST].ravel(), kind="stable")
    pairs = pairs[order][few.ravel()[order] >= 0][: 20 * LOOKED_AT]
    return pairs[np.sort(np.unique(pairs, axis=0, return_index=True)[1])]


def _alike(pairs: Ints, pictures: Pictures) -> Ints:
    seen = np.unique(pairs)
    small, readable = np.zeros((len(seen), SIDE, SIDE), np.uint8), np.ones(len(seen), bool)
    for number, row in enumerate(seen.tolist()):
        terminal.share(number, len(seen))
        try:
            small[number] = pictures.square(row, SIDE)
        except DecodeError:
            readable[number] = False
    first, second = np.searchsorted(seen, pairs[:, 0]), np.searchsorted(seen, pairs[:, 1])
    kept = readable[first] & readable[second]
    if not kept.any():
        return np.empty((0, 2), np.int64)
    count = int(kept.sum())
    found = Candidates(first[kept], second[kept], np.zeros(count, np.int64), np.zeros((count, 4), np.float32))
    return pairs[kept][confirm(small, found)[0]]
