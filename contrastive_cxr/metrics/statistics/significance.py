"""Tests of a difference between two classifiers on the same images: McNemar's and DeLong's.

Both take the images as independent. Where a patient has several, the paired bootstrap (`intervals`, `scores.paired`)
keeps them together and is the one to trust; these stand beside it because reviewers ask for them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, norm, rankdata

from contrastive_cxr.errors import CcxrError
from contrastive_cxr.metrics.statistics.intervals import LEVEL
from contrastive_cxr.metrics.statistics.weighted import Floats

Flags = NDArray[np.bool_]


def mcnemar(first: Flags, second: Flags) -> dict[str, Any]:
    """McNemar's exact test (1947): of the images that one classifier alone has right, is it half for each?

    Parameters
    ----------
    first, second : bool [N], whether each classifier is right

    Returns
    -------
    {only_first, only_second, n, p}: counts, and the two-sided p of the binomial test; 1 where no image tells them
    apart.

    Examples
    --------
    >>> mcnemar(np.array([True, True, True, False]), np.array([False, False, True, False]))["p"]
    0.5
    """
    _same_length(first, second)
    alone, other = int((first & ~second).sum()), int((second & ~first).sum())
    p = float(binomtest(alone, alone + other, 0.5).pvalue) if alone + other else 1.0
    return {"only_first": alone, "only_second": other, "n": len(first), "p": p}


def delong(first: NDArray[np.floating[Any]], second: NDArray[np.floating[Any]], positive: Flags) -> dict[str, Any]:
    """DeLong's test of two correlated AUCs (DeLong et al. 1988), by midranks (Sun and Xu 2014): O(N log N).

    Parameters
    ----------
    first, second : float [N], two scores of the same images, higher for the positive class
    positive : bool [N]

    Returns
    -------
    {difference, low, high, z, p, n}: first minus second AUC with its normal 95 % interval; all but `n` None with fewer
    than two positive or two other images, and `z` None where the difference has no variance.
    """
    _same_length(first, second, positive)
    n, above = len(positive), int(positive.sum())
    if min(above, n - above) < 2:
        return {"difference": None, "low": None, "high": None, "z": None, "p": None, "n": n}
    gains = [
        mine - theirs for mine, theirs in zip(placements(first, positive), placements(second, positive), strict=True)
    ]
    difference = float(gains[0].mean())
    deviation = math.sqrt(sum(float(gain.var(ddof=1)) / len(gain) for gain in gains))
    half = float(norm.ppf(0.5 + LEVEL / 2)) * deviation
    z = difference / deviation if deviation > 0 else None
    p = 2 * float(norm.sf(abs(z))) if z is not None else (1.0 if difference == 0 else 0.0)
    return {"difference": difference, "low": difference - half, "high": difference + half, "z": z, "p": p, "n": n}


def placements(scores: NDArray[np.floating[Any]], positive: Flags) -> tuple[Floats, Floats]:
    """For each positive image the share of the others that it is scored above, for each other the share of positives
    that are scored above it, ties counted half.

    Returns
    -------
    (float64 [P], float64 [N - P]); the mean of either is the AUC.
    """
    ranks = rankdata(np.asarray(scores, dtype=np.float64))
    above, below = ranks[positive], ranks[~positive]
    beaten = (above - rankdata(above)) / len(below)
    beating = 1 - (below - rankdata(below)) / len(above)
    return beaten, beating


def _same_length(*arrays: NDArray[Any]) -> None:
    lengths = [len(array) for array in arrays]
    if len(set(lengths)) > 1:
        raise CcxrError(f"two classifiers are compared on the same rows; here they have {lengths}")
