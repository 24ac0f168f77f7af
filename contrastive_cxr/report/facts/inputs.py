"""The arguments of `build` and `build_cascade`: arrays and words that a report is made from."""

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
    """For N images: `probabilities` float [N, C], `labels` int64 [N], `patients` int64 [N] (-1 unknown)."""

    probabilities: Probabilities
    labels: Ints
    patients: Ints


@dataclass(frozen=True)
class Tta:
    """Test-time augmentation: the set, its views in words, and the probabilities float [N, C] without it."""

    name: str
    views: tuple[str, ...]
    untouched: Probabilities


@dataclass(frozen=True)
class ReportExtras:
    """What a report shows besides the predictions; a value that is not known keeps its default.

    Attributes
    ----------
    neighbours : {phase: scores of its embedding on the same N queries}
    answers : {phase: probabilities float [N, C] of its classifier}
    baselines : (name, probabilities float [N, C]) of models that cannot see disease
    validation : Validation or None
        The rows that temperature and thresholds are fitted on; None: cross-fitting over the scored rows.
    targets : {`sensitivity` or `specificity`: wanted rate}
    familiarity : float [N] or None
        Mean cosine similarity to the nearest training images.
    costs : float64 [C, C], cost of each decision (column) for each true class (row); None: no decision by cost
    tta : the test-time augmentation of the probabilities, and the probabilities without it; None without one
    last_layers : {phase: statistics of its last layer's weights}
    budget : what the training took, shown unchanged
    skipped : images that could not be read, columns `path`, `error`
    notes : sentences for the reader
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
    """The stages of a cascade, and the flat model on the same rows.

    Attributes
    ----------
    flat : float [N, C]
    verdicts : int64 [N], the decisions by stages
    reports : {name: the `report.json` of that run}
    first : int
        Number of the class on which stage 1 decides alone.
    """

    flat: Probabilities
    verdicts: Ints
    reports: Mapping[str, Mapping[str, Any]]
    first: int
