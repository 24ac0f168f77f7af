"""A dry run's plan in a few lines of words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from contrastive_cxr.run_layout import PhaseName
from contrastive_cxr.space import size_words
from contrastive_cxr.status_line import duration
from contrastive_cxr.training.dry_run import Plan


def lines(plan: Plan) -> dict[str, str]:
    """Images and split, weights, device, steps, time, and the disk that the results take; a sentence each."""
    needed = sum(plan.disk.values())
    return {
        "Images": images_words(plan.counts),
        "Weights": plan.start.replace("\n", "; "),
        "Device": plan.device,
        "Steps": steps_words(plan),
        "Time": time_words(plan.seconds),
        "Results": f"{plan.out or Path()}: up to {size_words(needed)}, and {size_words(plan.free)} are free",
    }


def images_words(counts: Sequence[Mapping[str, Any]]) -> str:
    """How many images each part of the split has, and of how many patients.

    Examples
    --------
    >>> images_words([{"split": "train", "ill": 4, "images": 4, "patients": 3, "without patient": 1},
    ...               {"split": "val", "ill": 2, "images": 2, "patients": 2, "without patient": 0}])
    '6 (train 4, val 2), ill 6; 5 patients, and 1 image of unknown ones'
    """
    parts = ", ".join(f"{row['split']} {row['images']:,}" for row in counts)
    beside = ("split", "images", "patients", "without patient")
    classes = {name: sum(row[name] for row in counts) for name in counts[0] if name not in beside}
    named = ", ".join(f"{name} {count:,}" for name, count in classes.items())
    total, known, unknown = (sum(row[name] for row in counts) for name in ("images", "patients", "without patient"))
    patients = f"{known:,} patients"
    if unknown == total:
        patients = "patients unknown"
    elif unknown:
        patients += f", and {unknown:,} image{'' if unknown == 1 else 's'} of unknown ones"
    return f"{total:,} ({parts}), {named}; {patients}"


def steps_words(plan: Plan) -> str:
    """Steps of all phases and of each."""
    each = [f"{phase.name} {plan.steps[phase.name]:,} of {phase.batch} images" for phase in plan.phases]
    tasks = ", the three tasks of the cascade together" if plan.recipe.cascade is not None else ""
    return f"{sum(plan.steps.values()):,} ({', '.join(each)}){tasks}"


def time_words(seconds: Mapping[PhaseName, float] | str) -> str:
    """How long the training takes.

    Examples
    --------
    >>> time_words({"pretrain": 100.0, "embed": 20.0})
    'about 2 min of training (pretrain 2 min, embed 20 s), from two timed steps of each phase; scores not counted'
    """
    if isinstance(seconds, str):
        return f"not measured: {seconds}" if seconds else "not measured"
    each = ", ".join(f"{name} {duration(took)}" for name, took in seconds.items())
    total = duration(sum(seconds.values()))
    return f"about {total} of training ({each}), from two timed steps of each phase; scores not counted"
