"""Two binary classifiers in a row, as one verdict over the flat task's classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contrastive_cxr.errors import RequestError
from contrastive_cxr.metrics.statistics.weighted import Floats, Ints


def order(flat: Sequence[str], stage1: Sequence[str], stage2: Sequence[str]) -> tuple[int, ...]:
    """Numbers in the flat task of stage 1's first class, then of stage 2's classes.

    Raises
    ------
    RequestError
        Where stage 1 has not two classes, or its first and stage 2's are not the flat task's classes.

    Examples
    --------
    >>> order(("normal", "covid", "other"), ("normal", "infected"), ("other", "covid"))
    (0, 2, 1)
    """
    named = (stage1[0], *stage2)
    if len(stage1) != 2 or sorted(named) != sorted(flat):
        raise RequestError(
            f"cascade: stage 1 has classes {list(stage1)} and stage 2 {list(stage2)}, which do not join to "
            f"{list(flat)}; stage 1 needs two classes, the first a class of the flat task, stage 2 the other classes"
        )
    return tuple(list(flat).index(name) for name in named)


def join(stage1: NDArray[np.floating[Any]], stage2: NDArray[np.floating[Any]], order: Sequence[int]) -> Floats:
    """Probabilities of the flat classes: p1(first), and p1(second) p2(c) for the others.

    Parameters
    ----------
    stage1 : float [N, 2]
    stage2 : float [N, C-1], of all N rows
    order : the C flat class numbers of stage 1's first class and stage 2's classes, as from `order`

    Returns
    -------
    float64 [N, C]; rows add up to 1 where the stages' do.
    """
    joined = np.empty((len(stage1), len(order)))
    joined[:, order[0]] = stage1[:, 0]
    joined[:, list(order[1:])] = stage1[:, 1:] * stage2
    return joined


def verdicts(stage1: NDArray[np.floating[Any]], stage2: NDArray[np.floating[Any]], order: Sequence[int]) -> Ints:
    """Decisions by stages, int64 [N]: stage 1's first class where it says so, else stage 2's most probable class.

    They differ from the largest joined probability where stage 1's second class wins but is divided among several.
    """
    numbers = np.asarray(order, dtype=np.int64)
    decided: Ints = np.where(stage1[:, 0] >= stage1[:, 1], numbers[0], numbers[1:][stage2.argmax(1)])
    return decided


def errors(verdicts: Ints, labels: Ints, first: int) -> dict[str, int]:
    """Whose errors the wrong verdicts are.

    Parameters
    ----------
    verdicts, labels : int64 [N], numbers of the flat task
    first : the class that stage 1 decides for good

    Returns
    -------
    {passed_on, held_back, stage2, right}: of the first class but passed on, of another but held back (both stage 1's),
    rightly passed on and then given the wrong class (stage 2's), and right.
    """
    wrong, of_first, held = verdicts != labels, labels == first, verdicts == first
    return {
        "passed_on": int((of_first & ~held).sum()),
        "held_back": int((~of_first & held).sum()),
        "stage2": int((wrong & ~of_first & ~held).sum()),
        "right": int((~wrong).sum()),
    }
