"""What a phase's folder keeps of its training: logs and checkpoints."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric

from contrastive_cxr.engine.spec import FitResult, FitSpec
from contrastive_cxr.engine.state import EpochMetrics, Progress, TrainState
from contrastive_cxr.errors import CcxrError, RequestError
from contrastive_cxr.run import checkpoint
from contrastive_cxr.run.folder import write_json
from contrastive_cxr.run.log import MetricsLog

log = logging.getLogger(__name__)


class Store:
    """`metrics.jsonl`, `timing.jsonl`, `checkpoints/last.ckpt` and `checkpoints/best-EPOCH.ckpt` of a phase.

    Only the first process writes; all of them read, so several machines need a shared folder.

    Parameters
    ----------
    steps : int
        Steps of an epoch: a checkpoint with another number is not gone on from.
    """

    def __init__(self, fabric: Fabric, spec: FitSpec, steps: int) -> None:
        self._fabric, self._spec, self._steps = fabric, spec, steps
        self.metrics = MetricsLog(spec.folder / "metrics.jsonl")
        self.timing = MetricsLog(spec.folder / "timing.jsonl")
        self._checkpoints = spec.folder / "checkpoints"
        self._last = self._checkpoints / "last.ckpt"

    def log(self, split: str, epoch: int, step: int, values: Mapping[str, Any]) -> None:
        """A row for `metrics.jsonl` and the tracker; `epoch` from 0, there from 1; `step`: how many were done."""
        if not self._fabric.is_global_zero:
            return
        row = {"epoch": epoch + 1, "step": step, "split": split, **values}
        self.metrics.append(row)
        if self._spec.tracker is not None:
            self._spec.tracker.replay(self._spec.name, [row])

    def clear(self) -> tuple[Progress, EpochMetrics]:
        """Forget an earlier training in this folder; returns the beginning."""
        if self._fabric.is_global_zero:
            self._checkpoints.mkdir(parents=True, exist_ok=True)
            # the checkpoint first: it speaks of the logs
            self._last.unlink(missing_ok=True)
            for path in (self.metrics.path, self.timing.path, self._spec.folder / "done.json"):
                path.unlink(missing_ok=True)
            for path in self._checkpoints.glob("*.ckpt"):
                path.unlink()
        self._fabric.barrier()
        return Progress(), EpochMetrics()

    def save(self, parts: TrainState, progress: Progress, tally: EpochMetrics) -> None:
        """Write `last.ckpt`, then remove what it has outdated. All processes have the same state."""
        if not self._fabric.is_global_zero:
            return
        state = {
            "phase": self._spec.name,
            "steps": self._steps,
            "parts": parts.state_dict(),
            "progress": asdict(progress),
            "tally": tally.state_dict(),
            "metrics": self.metrics.sync(),
            "timing": self.timing.sync(),
        }
        checkpoint.save(self._last, state)
        self._keep_best(progress.best_epoch)

    def restore(self, parts: TrainState) -> tuple[Progress, EpochMetrics]:
        """Go back to `last.ckpt`, or to the beginning where there is none.

        Raises
        ------
        RequestError
            The checkpoint is broken or of another recipe, or the logs were changed since.
        """
        if not self._last.exists():
            return self.clear()
        state = checkpoint.load(self._last)
        if (state.get("phase"), state.get("steps")) != (self._spec.name, self._steps):
            raise RequestError(
                f"'{self._last}' is of phase '{state.get('phase')}' with {state.get('steps')} steps an epoch, "
                f"this one is '{self._spec.name}' with {self._steps}; "
                "resume with the recipe and data it was written with"
            )
        parts.load_state_dict(state["parts"])
        progress = Progress(**state["progress"])
        # nobody changes the folder before everyone has read it
        self._fabric.barrier()
        if self._fabric.is_global_zero:
            self._keep_best(progress.best_epoch)
            self.metrics.truncate_to(state["metrics"])
            self.timing.truncate_to(state["timing"])
            if self._spec.tracker is not None:
                self._spec.tracker.replay(self._spec.name, self.metrics.rows())
        return progress, EpochMetrics.from_state(state["tally"], self._fabric.device)

    def choose(self, epoch: int, values: Mapping[str, float] | None, progress: Progress, parts: TrainState) -> None:
        """Keep the weights of an epoch (from 0) if its validation scored best so far; `values`: its metrics, or None.

        The former best stays until `last.ckpt` names the new one.
        """
        name, best = self._spec.choose_by, progress.best_value
        if name == "last" or values is None:
            return
        if name not in values:
            raise CcxrError(f"choose_by '{name}' is not among the validation metrics {sorted(values)}")
        value = float(values[name])
        better = best is None or (value < best if name == "loss" else value > best)
        if math.isfinite(value) and better:
            progress.best_epoch, progress.best_value = epoch + 1, value
            if self._fabric.is_global_zero:
                checkpoint.save(self._best(epoch + 1), {"network": parts.chosen.state_dict()})

    def load_chosen(self, progress: Progress, parts: TrainState) -> None:
        """Load the weights of the chosen epoch into the network; the last ones where no epoch was chosen."""
        if progress.best_epoch:
            parts.network.load_state_dict(checkpoint.load(self._best(progress.best_epoch))["network"])
            return
        name, metric = self._spec.name, self._spec.choose_by
        if metric != "last":
            log.warning("%s: %s was never a number; the last weights are kept", name, metric)
        parts.network.load_state_dict(parts.chosen.state_dict())

    def _best(self, epoch: int) -> Path:
        """Where the weights of an epoch (from 1) are kept."""
        return self._checkpoints / f"best-{epoch}.ckpt"

    def _keep_best(self, epoch: int) -> None:
        """Remove the best checkpoints that `last.ckpt` does not name, and the oldest beyond count and size.

        Parameters
        ----------
        epoch : int
            The chosen one, which stays.
        """
        spec = self._spec
        found = {int(path.stem.removeprefix("best-")): path for path in self._checkpoints.glob("best-*.ckpt")}
        taken = self._last.stat().st_size
        kept = 0
        for number, path in sorted(found.items(), reverse=True):
            taken += path.stat().st_size
            fits = kept < spec.keep_checkpoints and not 0 < spec.checkpoint_mib * 2**20 < taken
            if number == epoch or (number < epoch and fits):
                kept += 1
            else:
                taken -= path.stat().st_size
                path.unlink()


def drop_checkpoints(folder: Path, best: bool) -> None:
    """Remove the checkpoints of a finished phase, which nothing reads any more; its folder `checkpoints` where empty.

    Parameters
    ----------
    folder : Path
        The phase's folder.
    best : bool
        Whether its best checkpoints stay, which hold weights alone; `last.ckpt` with the state of the optimiser goes.
    """
    assert is_done(folder), "a phase that is not finished goes on from its checkpoints"
    checkpoints = folder / "checkpoints"
    for path in checkpoints.glob("*.ckpt"):
        if path.name == "last.ckpt" or not best:
            path.unlink(missing_ok=True)
    with suppress(OSError):  # something else lies there
        checkpoints.rmdir()


def is_done(folder: Path) -> bool:
    """Whether a phase's folder is complete (`mark_done`)."""
    return (folder / "done.json").exists()


def mark_done(folder: Path, result: FitResult) -> None:
    """Mark a phase's folder as complete; a phase writes this last."""
    write_json(folder / "done.json", asdict(result))
