"""Decisions by cost: the class of least expected cost, and what decisions cost on average."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contrastive_cxr.metrics.statistics import intervals, weighted
from contrastive_cxr.metrics.statistics.weighted import Floats, Ints


def matrix(classes: Sequence[str], costs: Mapping[str, Mapping[str, float]]) -> Floats:
    """Cost of each pair, float64 [C, C], a row a true class; pairs not named cost 1 where wrong and 0 where right.

    Examples
    --------
    >>> matrix(("normal", "covid"), {"covid": {"normal": 5}}).tolist()
    [[0.0, 1.0], [5.0, 0.0]]
    """
    place = {name: number for number, name in enumerate(classes)}
    table = 1.0 - np.eye(len(classes))
    for true, row in costs.items():
        for decided, cost in row.items():
            table[place[true], place[decided]] = cost
    return table


def decide(probabilities: NDArray[np.floating[Any]], costs: Floats) -> Ints:
    """The class of least expected cost (Elkan, 2001), int64 [N]; the first one where several are least.

    Parameters
    ----------
    probabilities : float [N, C]
        A score that is not calibrated moves the decision as if it were.
    costs : float64 [C, C]
        As from `matrix`.
    """
    expected = np.asarray(probabilities, dtype=np.float64) @ costs
    decided: Ints = expected.argmin(axis=1).astype(np.int64)
    return decided


def judged(
    probabilities: NDArray[np.floating[Any]],
    labels: Ints,
    costs: Floats,
    groups: Ints | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Mean cost an image of both decisions: by least expected cost, and of the most probable class.

    Parameters
    ----------
    probabilities : float [N, C]
    labels : int64 [N]
    costs : float64 [C, C]
    groups : int64 [N] or None, patients (-1 unknown); intervals are a bootstrap over them

    Returns
    -------
    {by_cost, most_probable: {mean_cost {value, n, low, high}, confusion [C][C]}, paired {difference, low, high, n} (by
    cost minus most probable), changed: images whose decisions differ}
    """
    decided = {"by_cost": decide(probabilities, costs), "most_probable": np.asarray(probabilities).argmax(axis=1)}
    spent = {name: costs[labels, said] for name, said in decided.items()}
    options: dict[str, Any] = {"resamples": resamples, "seed": seed}
    tables = {name: weighted.confusions(labels, said, np.ones((1, len(labels))), len(costs))[0]
              for name, said in decided.items()}  # fmt: skip
    return {
        **{
            name: {"mean_cost": _mean(spent[name], groups, options), "confusion": tables[name].astype(int).tolist()}
            for name in decided
        },
        "paired": intervals.paired(spent["by_cost"], spent["most_probable"], groups, **options),
        "changed": int((decided["by_cost"] != decided["most_probable"]).sum()),
    }


def _mean(values: Floats, groups: Ints | None, options: dict[str, Any]) -> dict[str, Any]:
    """{value, n, low, high} of a mean over images, its interval a bootstrap over groups."""
    n = len(values)
    if not n:
        return {"value": None, "n": 0, "low": None, "high": None, "reason": "no rows"}

    def mean(weights: Floats) -> Floats:
        return weighted.ratio(weights @ values, weights.sum(1))

    value, half = intervals.spread(mean, n, groups, **options)
    return {"value": float(value), "n": n, **intervals.known(max(0.0, float(value - half)), float(value + half))}
