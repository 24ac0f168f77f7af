"""What a phase tells the loop, and what it gets back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from contrastive_cxr.engine.progress import Place
from contrastive_cxr.recipe import schema
from contrastive_cxr.run.tracking import Tracker

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Batch:
    """What one process sees of one step.

    Attributes
    ----------
    rows : int64 ndarray [B]
        This process's part of the batch; all of it where there is one process.
    global_rows : int64 ndarray [W * B]
        The whole batch, over all W processes.
    epoch : int
        Epoch, from 0.
    step : int
        Step over the whole phase, from 0: the number a draw's key is made of.
    rank_slice : slice
        `global_rows[rank_slice]` is `rows`.
    """

    rows: Rows
    global_rows: Rows
    epoch: int
    step: int
    rank_slice: slice


@dataclass(frozen=True)
class StepOutput:
    """What a step of a phase gives back.

    Attributes
    ----------
    loss : float tensor []
        What is minimised. Its mean over processes is logged as `loss`.
    values : dict of float tensor [] or float
        More to log; a NaN ("there is none in this batch") is left out of the epoch's mean. The same names each step.
    keep : dict of tensor [B, ...]
        What `FitSpec.summarise` wants of every image of the epoch, such as probabilities and labels.
    """

    loss: Tensor
    values: Mapping[str, Tensor | float] = field(default_factory=dict)
    keep: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class FitSpec:
    """One phase as the loop sees it.

    Attributes
    ----------
    name : str
        Of the phase: part of every key, and of the names sent to the tracker.
    folder : Path
        The phase's folder: gets `metrics.jsonl`, `timing.jsonl` and `checkpoints/`.
    seed : int
        Of the recipe. Before each step the global generators are seeded by (seed, name, epoch, step, rank).
    network : nn.Module
        Trained in place; after `fit` it holds the chosen weights.
    parameter_groups : sequence of dict
        `params` and optionally their own `lr`, from `engine.parameter_groups` or `engine.network_groups`; with
        `from_epoch` they are left as they are in the epochs before it (from 0), moments of the optimiser too.
    optimiser, schedule : schema sections
        As in the recipe; the schedule multiplies each group's own rate.
    epochs : int
        How many.
    batches : callable
        `batches(epoch) -> sequence of int64 [B]`: the epoch's global batches, the same number each epoch, each
        divisible by the number of processes. A pure function of the epoch.
    step : callable
        `step(network, batch) -> StepOutput`. `network` is wrapped: call it (`network(x, "logits")`), not its methods.
        Choose nothing by a clock or by a generator that is not keyed, or a resumed run differs.
    prepare : callable, optional
        `prepare(epoch)`, before the first step of each epoch, and of each sitting within one: sets the network's modes,
        by the epoch alone.
    objective : nn.Module, optional
        Whatever has a state besides the network (cross-batch memory): moved to the device and saved.
    summarise : callable, optional
        `summarise({name: ndarray [N, ...]}) -> {metric: float}`, of what the steps of an epoch kept.
    validate : callable, optional
        `validate(network, epoch) -> {metric: float}` on the plain (not wrapped) network in eval mode: the averaged one
        where `average` > 0. Called by every process (use `engine.encode`), every `validate_every` epochs and
        after the last.
    validate_every : int
        Epochs between two validations.
    choose_by : str
        Validation metric whose largest value chooses the weights (`loss`: smallest); `last`: the last weights.
    average : float
        Decay d of the running average of weights, 0 for none; update t uses min(d, (1 + t) / (10 + t)).
    accumulate : int
        Steps an update.
    channels_last, compile : bool
        As in `schema.Runtime`.
    checkpoint_minutes : float
        Minutes between checkpoints inside an epoch; 0: only at its end.
    keep_checkpoints : int
        Best checkpoints that are kept, the newest ones.
    checkpoint_mib : float
        Most that the checkpoints may come to, MiB, 0 for no limit: the oldest best ones go first; the chosen one and
        `last.ckpt` stay.
    log_every : int
        Steps between two `split: step` rows of `metrics.jsonl`.
    on_epoch : callable, optional
        `on_epoch(epoch, {"train": {...}, "val": {...}})`, on the first process, for words ("the embedding has
        collapsed"); `val` is missing where the epoch was not validated.
    tracker : Tracker, optional
        Gets every row of `metrics.jsonl`.
    describe : callable, optional
        `describe(rows int64 [B]) -> list of dict`: what is said of a batch's rows in `not_finite.json`.
    out_of_memory_hint : str
        What to set where the device has too little memory for a batch.
    place : Place
        Of the phase in its run, for the time that is left.
    """

    name: str
    folder: Path
    seed: int
    network: nn.Module
    parameter_groups: Sequence[dict[str, Any]]
    optimiser: schema.Optimiser
    schedule: schema.Schedule
    epochs: int
    batches: Callable[[int], Sequence[Rows]]
    step: Callable[[nn.Module, Batch], StepOutput]
    prepare: Callable[[int], None] | None = None
    objective: nn.Module | None = None
    summarise: Callable[[dict[str, NDArray[Any]]], dict[str, float]] | None = None
    validate: Callable[[nn.Module, int], dict[str, float]] | None = None
    validate_every: int = 1
    choose_by: str = "last"
    average: float = 0.0
    accumulate: int = 1
    channels_last: bool = False
    compile: bool | Literal["reduce-overhead"] = False
    checkpoint_minutes: float = 5.0
    keep_checkpoints: int = 1
    checkpoint_mib: float = 0.0
    log_every: int = 10
    on_epoch: Callable[[int, dict[str, dict[str, float]]], None] | None = None
    tracker: Tracker | None = None
    describe: Callable[[Rows], list[dict[str, Any]]] | None = None
    out_of_memory_hint: str = ""
    place: Place = field(default_factory=Place)


@dataclass(frozen=True)
class FitResult:
    """What came of a phase; the network itself holds the chosen weights.

    Attributes
    ----------
    best_epoch : int
        The chosen epoch, from 1.
    best_value : float or None
        Its value of `choose_by`; None where the last weights are kept.
    epochs, steps : int
        How many were trained, over all sittings.
    images_seen : int
        Images of all steps, over all processes and sittings.
    seconds : float
        Spent in the loop, validation and all sittings included.
    peak_memory_mib : float or None
        Largest memory so far of the last sitting's process: on a GPU what torch allocated there, else resident.
    """

    best_epoch: int
    best_value: float | None
    epochs: int
    steps: int
    images_seen: int
    seconds: float
    peak_memory_mib: float | None = None
