"""The loop of a phase: it knows no science."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from lightning_fabric import Fabric

from contrastive_cxr.engine.fabric import report_lost_process
from contrastive_cxr.engine.loop import Loop
from contrastive_cxr.engine.spec import FitResult, FitSpec
from contrastive_cxr.engine.stop import Stop
from contrastive_cxr.run.folder import write_json


def fit(fabric: Fabric, spec: FitSpec, *, resume: bool = False) -> FitResult:
    """Train a phase to its end and leave the chosen weights in `spec.network`.

    Parameters
    ----------
    fabric : Fabric
        From `engine.launch`.
    spec : FitSpec
        The phase.
    resume : bool
        Go on from `checkpoints/last.ckpt` where there is one. On the CPU, weights and `metrics.jsonl` then end bit for
        bit as those of an uninterrupted training.

    Raises
    ------
    RequestError
        A batch cannot be shared between the processes; the checkpoint is broken or of another recipe.
    Interrupted
        Ctrl-C, SIGTERM or SIGUSR1; the state is saved.
    CcxrError
        The loss became NaN or infinite; the device has too little memory; the disk is full; another process died or
        hangs.
    """
    loop = Loop(fabric, spec, resume)
    lost = f"{spec.name} is saved up to its last checkpoint; the same command with --resume goes on from there"
    with report_lost_process(fabric, lost), Stop() as stop, loop.display():
        while loop.progress.epoch < spec.epochs:
            loop.train_epoch(stop)
            loop.end_epoch(stop)
            loop.stop_if_requested(stop)
    return loop.finish()


def is_done(folder: Path) -> bool:
    """Whether a phase's folder is complete (`mark_done`)."""
    return (folder / "done.json").exists()


def mark_done(folder: Path, result: FitResult) -> None:
    """Say that a phase's folder is complete: the last thing that a phase writes."""
    write_json(folder / "done.json", asdict(result))
