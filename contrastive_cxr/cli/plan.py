"""What `--dry-run` prints: a few lines and the audit's findings; with --verbose also the recipe and the blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contrastive_cxr import terminal
from contrastive_cxr.cli.show import print_findings, prose, say, table
from contrastive_cxr.space import size_words

if TYPE_CHECKING:
    from contrastive_cxr.run_layout import PhaseName
    from contrastive_cxr.training.dry_run import Plan


def print_plan(plan: Plan, runs: int = 1) -> None:
    """The lines, what was found of the data, and with --verbose all settings, counts, parameters and sizes.

    `runs`: of folds or seeds, how many runs like this one there will be.
    """
    if terminal.is_verbose():
        print_details(plan)
    for name, words in lines(plan).items():
        prose(f"{name + ':':9}{words}", under=9)
    if runs > 1:
        prose(f"Runs:    {runs}; steps, time and disk above are those of one", under=9)
    for line in (*(line for line in plan.grey if line.startswith("warning: ")), *plan.notes):
        prose(line)
    print_audit(plan.audit)
    if not terminal.is_verbose():
        say("Nothing was trained. All settings and the blocks of the network: ccxr --verbose run ... --dry-run")


def print_audit(audit: Mapping[str, Any] | None) -> None:
    """The audit's verdict and findings."""
    if audit is None:
        return prose(
            "Audit:   none within the run (evaluation.audit, or too many images); ccxr audit does one", under=9
        )
    if not audit["verdict"]["findings"]:
        return prose(f"Audit:   {audit['verdict']['sentences'][0]}", under=9)
    say(f"Audit:   {audit['verdict']['word']}")
    return print_findings(audit["verdict"], audit["command"])


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


def duration(seconds: float) -> str:
    """Seconds in the unit that a reader thinks in.

    Examples
    --------
    >>> duration(0.2), duration(59), duration(100), duration(5400), duration(200000)
    ('1 s', '59 s', '2 min', '1.5 h', '2.3 days')
    """
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"


def print_details(plan: Plan) -> None:
    """The resolved recipe, the counts, the trainable parameters by block, and the disk."""
    from contrastive_cxr.recipe import dump

    say(dump(plan.recipe))
    columns = list(plan.counts[0])
    table("Images", columns, [tuple(row[name] for name in columns) for row in plan.counts])
    for line in plan.grey:
        prose(line)
    for phase in plan.phases:
        total = phase.epochs * phase.steps_per_epoch
        epochs = f"{phase.epochs} epochs x {phase.steps_per_epoch} steps"
        title = f"{phase.name}: {epochs} of {phase.batch} images = {total:,} steps"
        trainable, every = (sum(int(block[place]) for block in phase.blocks) for place in (1, 2))
        table(title, ["block", "trainable", "parameters"], [*phase.blocks, ("all", trainable, every)])
    needed = sum(plan.disk.values())
    title = f"Disk: up to {size_words(needed)} for the run folder, {size_words(plan.free)} free"
    folder, held = plan.cache
    rows = [*plan.disk.items(), ("all of the run folder", needed), (f"decoded images, in {folder}", held)]
    table(title, ["what", "size"], [(what, size_words(size)) for what, size in rows])
