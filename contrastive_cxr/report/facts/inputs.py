"""What a report is made from, as arrays and words: the arguments of `build` and `build_cascade`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from numpy import floating, int64
from numpy.typing import NDArray

from contrastive_cxr.metrics.fitting import Validation
from contrastive_cxr.metrics.neighbours import NeighbourScores
from contrastive_cxr.tasks import Task

Probabilities = NDArray[floating[Any]]
Ints = NDArray[int64]


@dataclass(frozen=True)
class Subject:
    """What was scored: the recipe's name, its task, the phase whose folder holds the arrays, the part."""

    experiment: str
    task: Task
    phase: str
    split: str


@dataclass(frozen=True)
class Predictions:
    """Of N images: `probabilities` float [N, C], `labels` int64 [N], `patients` int64 [N] (-1 unknown)."""

    probabilities: Probabilities
    labels: Ints
    patients: Ints


@dataclass(frozen=True)
class Tta:
    """Test-time augmentation: the set, its views in words, and float [N, C] without it."""

    name: str
    views: tuple[str, ...]
    untouched: Probabilities


@dataclass(frozen=True)
class ReportExtras:
    """What stands beside the predictions, as far as it is known.

    Attributes
    ----------
    neighbours : {phase: scores of its embedding on the same N queries}
    answers : {phase: probabilities float [N, C] of its classifier}
    baselines : (name, probabilities float [N, C]) of what cannot see disease
    validation : Validation or None
        What temperature and thresholds are fitted on; None: cross-fitting over the scored rows.
    targets : {`sensitivity` or `specificity`: wanted rate}
    familiarity : float [N] or None
        Mean cosine similarity to the nearest training images.
    costs : float64 [C, C], of each decision (column) about a true class (row); None: no decision by cost
    tta : the set of test-time augmentation that the probabilities are of, and those without it
    last_layers : {phase: statistics of its last layer's weights}
    budget : what training took, shown as it is
    skipped : images that could not be read, columns `path`, `error`
    notes : sentences that a reader needs
    """

    neighbours: Mapping[Any, NeighbourScores] = field(default_factory=dict)
    answers: Mapping[Any, Probabilities] = field(default_factory=dict)
    baselines: Sequence[tuple[str, Probabilities]] = ()
    validation: Validation | None = None
    targets: Mapping[str, float] = field(default_factory=dict)
    familiarity: NDArray[floating[Any]] | None = None
    costs: NDArray[floating[Any]] | None = None
    tta: Tta | None = None
    last_layers: Mapping[Any, Mapping[str, float]] = field(default_factory=dict)
    budget: Mapping[str, Any] = field(default_factory=dict)
    skipped: pd.DataFrame | None = None
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Stages:
    """A cascade beside the flat model on the same rows.

    Attributes
    ----------
    flat : float [N, C]
    verdicts : int64 [N], the decisions by stages
    reports : {name: the `report.json` of that run}
    first : int
        Number of the class that stage 1 decides for good.
    """

    flat: Probabilities
    verdicts: Ints
    reports: Mapping[str, Mapping[str, Any]]
    first: int
