"""Trackers of a run (Weights & Biases, TensorBoard): never asked for, never in the way."""

from __future__ import annotations

import importlib.util
import logging
import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from contrastive_cxr.recipe import schema
from contrastive_cxr.run import tensorboard_events, wandb_run
from contrastive_cxr.run.aside import BackgroundWorker
from contrastive_cxr.run.tracked import DataFacts, GalleryFacts, Scored

log = logging.getLogger(__name__)


class Backend(Protocol):
    """One library. Its methods are called one after the other, in a thread of its own, and raise what it raises."""

    name: str
    late: str

    def seconds(self) -> float:
        """Most that the end of a run waits for it."""

    def begin(self, resume: bool) -> None:
        """Begin a sitting, or with `resume` go on after the earlier ones."""

    def log(self, phase: str, step: int, numbers: dict[str, float]) -> None:
        """Values by name at a step of a phase, those that an earlier sitting logged left out."""

    def picture(self, name: str, path: Path) -> None:
        """A PNG."""

    def data(self, facts: DataFacts) -> None:
        """The images of the run."""

    def model(self, folder: Path) -> None:
        """A finished phase."""

    def scores(self, scored: Scored) -> None:
        """What became of the scored images."""

    def gallery(self, facts: GalleryFacts) -> None:
        """A gallery made by one of the models."""

    def end(self) -> None:
        """Write what is left."""

    def failed(self) -> None:
        """Let go of everything after an error."""


class Tracker:
    """The trackers of a run, for as long as the run folder is written.

    Each is called from a thread of its own, so one that is slow, gone or silent costs the run nothing while it trains,
    and a bounded time at its end. A failure is said once and ends that tracker, not the training, nor the other one.
    """

    def __init__(self) -> None:
        self._each: list[tuple[Backend, BackgroundWorker]] = []

    @classmethod
    def open(
        cls,
        recipe: Mapping[str, Any],
        folder: Path,
        tracking: schema.Tracking,
        *,
        resume: bool = False,
        first: bool = True,
    ) -> Tracker:
        """Begin, or with `resume` go on with, the tracking of a run folder.

        Parameters
        ----------
        recipe : mapping
            The resolved recipe: becomes the W&B config; its `name` the run's name.
        folder : Path
            The run's folder; gets `wandb.json` (the id) and `wandb/`, and `tensorboard/`.
        tracking : schema.Tracking
            Which trackers; mode, project, entity of W&B.
        resume : bool
            Go on with what is there.
        first : bool
            Whether this is the first process; the others track nothing.

        Raises
        ------
        RequestError
            `wandb.json` is broken.
        """
        tracker = cls()
        if not first:
            return tracker
        said = overruled(tracking)
        if said:
            log.warning(said)
        if uses_wandb(tracking) and _installed("wandb", wandb_run.NAME, "wandb"):
            arguments = wandb_run.arguments_of(recipe, folder, tracking, resume)
            tracker._add(wandb_run.WandbRun(arguments), resume)
        extra = "'contrastive_cxr[tensorboard]'"
        if "tensorboard" in tracking.to and _installed("tensorboard", tensorboard_events.NAME, extra):
            tracker._add(tensorboard_events.TensorboardEvents(folder, recipe), resume)
        return tracker

    @property
    def active(self) -> bool:
        """Whether anything is tracked: what costs time need not be made if not."""
        return bool(self._each)

    def log(self, phase: str, step: int, values: Mapping[str, float | None]) -> None:
        """Log values at a step of a phase; those that an earlier sitting logged are left out."""
        numbers = {f"{phase}/{name}": math.nan if value is None else value for name, value in values.items()}
        self._do(lambda backend: backend.log(phase, step, numbers))

    def replay(self, phase: str, rows: list[dict[str, Any]]) -> None:
        """Log the rows of a `metrics.jsonl` that an earlier sitting lost."""
        for row in rows:
            split = row["split"]
            values = {name: value for name, value in row.items() if name not in ("epoch", "step", "split")}
            self.log(phase, row["step"], {f"{split}/{name}": value for name, value in values.items()})

    def picture(self, name: str, path: Path) -> None:
        """Show a picture (png)."""
        self._do(lambda backend: backend.picture(name, path))

    def data(self, facts: DataFacts) -> None:
        """Record which images the run is of: W&B an artifact that the model's artifacts name."""
        self._do(lambda backend: backend.data(facts))

    def model(self, folder: Path) -> None:
        """Record a finished phase: W&B keeps its `model.safetensors` and `model.json` as an artifact."""
        self._do(lambda backend: backend.model(folder))

    def scores(self, made: Callable[[], Scored]) -> None:
        """Show confusion, PR and ROC curves, cases with their neighbours, and the embedding.

        Parameters
        ----------
        made : callable
            Makes what is shown; called if there is a tracker. Its failure costs the trackers this, and not the run.
        """
        if not self._each:
            return
        try:
            scored = made()
        except Exception as error:
            log.warning("the trackers get no tables of the scores (%s: %s)", type(error).__name__, error)
            return
        self._do(lambda backend: backend.scores(scored))

    def gallery(self, facts: GalleryFacts) -> None:
        """Record a gallery beside the model that made it."""
        self._do(lambda backend: backend.gallery(facts))

    def close(self) -> None:
        """Write what is left and end the sitting; waits for a bounded time."""
        self._do(lambda backend: backend.end())
        for backend, aside in self._each:
            if not aside.close(backend.seconds()):
                log.warning("%s did not end in time; %s", backend.name, backend.late)
        self._each = []

    def _add(self, backend: Backend, resume: bool) -> None:
        def failed(error: Exception) -> None:
            first = (str(error).splitlines() or [""])[0]
            log.warning("%s failed (%s: %s); going on without it", backend.name, type(error).__name__, first)
            backend.failed()

        aside = BackgroundWorker(backend.name, failed)
        aside.do(lambda: backend.begin(resume))
        self._each.append((backend, aside))

    def _do(self, what: Callable[[Backend], None]) -> None:
        for backend, aside in self._each:
            aside.do(lambda backend=backend: what(backend))  # type: ignore[misc]


def uses_wandb(tracking: schema.Tracking) -> bool:
    """Whether the recipe asks for W&B: `to` names it, and its mode is not off."""
    return "wandb" in tracking.to and tracking.wandb != "off"


def overruled(tracking: schema.Tracking) -> str:
    """A sentence where the environment says another mode of W&B than the recipe, which goes first; else ''."""
    return wandb_run.overruled(tracking.wandb if "wandb" in tracking.to else "off")


@contextmanager
def grouped(name: str) -> Iterator[None]:
    """W&B runs that begin inside belong to one group, but for a group that the environment names."""
    if os.environ.get(GROUP):
        yield
        return
    os.environ[GROUP] = name
    try:
        yield
    finally:
        del os.environ[GROUP]


GROUP = "WANDB_RUN_GROUP"


def _installed(module: str, name: str, package: str) -> bool:
    """Whether a tracker's library is there; if not it is said."""
    if importlib.util.find_spec(module) is not None:
        return True
    log.warning("%s is not installed (pip install %s); going on without it", name, package)
    return False
