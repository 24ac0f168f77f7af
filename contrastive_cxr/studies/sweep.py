"""A sweep: the runs of its points, one after the other, and the table that compares them."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contrastive_cxr import locks
from contrastive_cxr.data.dataset import Dataset, open_dataset, retask
from contrastive_cxr.errors import CcxrError, Interrupted, RequestError, Signalled, raise_faults
from contrastive_cxr.evaluation.cascade import stage_recipes
from contrastive_cxr.preflight.model_checks import check_model_and_batches, check_weights, sharing_faults
from contrastive_cxr.recipe.schema import Recipe
from contrastive_cxr.run import processes
from contrastive_cxr.run.tracking import grouped
from contrastive_cxr.studies import compare
from contrastive_cxr.studies.sweep_folder import State, record, state, sweep_door
from contrastive_cxr.studies.sweep_points import Point, SweepSpec, points_of, read_words, together
from contrastive_cxr.training.cross_validation import run_seeds
from contrastive_cxr.training.dry_run import PhasePlan, phase_plan
from contrastive_cxr.training.run import run

Say = Callable[[str], None]


@dataclass(frozen=True)
class Planned:
    """A point and what it comes to.

    Attributes
    ----------
    state : `new`, `started` or `finished`
    steps, images : int
        Of all its phases, stages and seeds, what is done already included.
    trainable : int
        Parameters of the phase that trains most; of a cascade, over its two stages.
    """

    point: Point
    state: State
    steps: int
    images: int
    trainable: int


def sweep(
    reference: str,
    words: Sequence[str],
    out: Path,
    *,
    one_at_a_time: bool = False,
    seeds: int | None = None,
    say: Say = lambda text: None,
) -> dict[str, Any]:
    """Run every point of a sweep that is not finished, and compare them all.

    Parameters
    ----------
    reference : str
        A recipe file, or a shipped name.
    words : sequence of str
        `key=value` for all points, `key=a,b,c` for a factor; see `points.read_words`.
    out : Path
        The sweep's folder: a run folder a point, `sweep.json`, and the table as `compare.json`, `.md` and `.html`.
    one_at_a_time : bool
        Each factor alone, from the recipe's own settings, instead of the grid.
    seeds : int, optional
        Run each point over so many seeds and pool them.
    say : callable
        Gets a line before each point.

    Returns
    -------
    dict
        The contents of `compare.json`; points that failed are its `failed`.

    Raises
    ------
    RequestError
        Any fault of any point, all at once, before anything is trained.
    CcxrError
        Interrupted (the same call goes on), or no point has a score.
    """
    read = read_words(words)
    points = points_of(reference, read, one_at_a_time=one_at_a_time)
    sweep_door(points, out, seeds=seeds)
    planned = plan_points(points, out, seeds)
    return run_points(planned, out, reference, read, one_at_a_time=one_at_a_time, seeds=seeds, say=say)


def plan_points(points: Sequence[Point], out: Path, seeds: int | None, *, download: bool = True) -> list[Planned]:
    """Check model and batches of every point and count its steps; nothing but the cache of images is written.

    Parameters
    ----------
    download : bool
        Whether weights that are not on this machine are fetched to be checked.

    Raises
    ------
    RequestError
        Whatever the run of any point would refuse; or points that would be scored on different images.
    """
    planned: list[Planned] = []
    faults: list[tuple[str, str]] = []
    scored: dict[object, list[str]] = {}
    opened: tuple[str, Dataset] | None = None
    for point in points:
        key = f"{point.recipe.data.model_dump_json()}\n{point.recipe.task.model_dump_json()}"
        try:
            if opened is None or opened[0] != key:
                opened = (key, open_dataset(point.recipe.data, point.recipe.task))
            scored.setdefault(_scored(opened[1]), []).append(point.name)
            planned.append(_plan(point, opened[1], state(out / point.name, point.recipe, seeds), seeds or 1))
        except RequestError as error:
            faults += [(fault, point.name) for fault in error.faults]
    faults += _weight_faults(points, [out / point.name for point in points], download)
    raise_faults([*together(faults, len(points)), *_other_images(scored)])
    return planned


def run_points(
    planned: Sequence[Planned],
    out: Path,
    reference: str,
    words: SweepSpec,
    *,
    one_at_a_time: bool,
    seeds: int | None,
    say: Say,
) -> dict[str, Any]:
    """Run what is not finished, in order; a point that fails is recorded and left behind. As `sweep`."""
    with locks.held(out / locks.NAME, f"the sweep '{out}'") if processes.is_first() else nullcontext():
        return _run_points(planned, out, reference, words, one_at_a_time, seeds, say)


def _run_points(
    planned: Sequence[Planned], out: Path, reference: str, words: SweepSpec, one_at_a_time: bool, seeds: int | None,
    say: Say,
) -> dict[str, Any]:  # fmt: skip
    """`run_points`, its folder held."""
    states: dict[str, State] = {each.point.name: each.state for each in planned}
    errors: dict[str, str] = {}

    def note() -> None:
        if processes.is_first():
            lines = [_line(each, states[each.point.name], errors.get(each.point.name)) for each in planned]
            record(out, reference, words, lines, one_at_a_time=one_at_a_time, seeds=seeds)

    note()
    for number, each in enumerate(planned, start=1):
        name = each.point.name
        say(f"point {number} of {len(planned)}: {name}{' (finished)' if states[name] == 'finished' else ''}")
        if states[name] == "finished":
            continue
        try:
            _run(each.point.recipe, out / name, seeds)
            states[name] = "finished"
        except (Interrupted, Signalled, KeyboardInterrupt) as error:
            states[name] = "started"
            note()
            done = sum(state == "finished" for state in states.values())
            raise Interrupted(
                f"interrupted in point {name}; {done} of {len(planned)} points are finished and everything is saved: "
                "the same command goes on from there",
                getattr(error, "number", signal.SIGINT),
            ) from error
        except CcxrError as error:
            states[name], errors[name] = "failed", str(error)
            say(f"point {name} failed: {error}")
        note()
    return _table(planned, states, errors, out)


def _run(recipe: Recipe, folder: Path, seeds: int | None) -> None:
    """Run a point, or go on with it."""
    resume = (folder / "recipe.yaml").is_file()
    if seeds is None:
        with grouped(recipe.name.rpartition("/")[0]):
            run(recipe, folder, resume=resume)
    else:
        with grouped(recipe.name):  # the seeds of a point
            run_seeds(recipe, folder, seeds, resume=resume)


def _table(planned: Sequence[Planned], states: dict[str, State], errors: dict[str, str], out: Path) -> dict[str, Any]:
    """Compare the finished points with the first of them, and write the table."""
    names = [each.point.name for each in planned if states[each.point.name] == "finished"]
    failed = [{"name": name, "error": error} for name, error in errors.items()]
    if not names:
        raise CcxrError(*(f"point {each['name']} failed: {each['error']}" for each in failed[:1]))
    facts = compare.table_of([out / name for name in names], names=names)
    facts["failed"] = failed
    if processes.is_first():
        compare.write(out, facts)
    return facts


def _plan(point: Point, data: Dataset, there: State, times: int) -> Planned:
    """Check one point's networks and batches, and count."""
    cascade = point.recipe.cascade is not None
    parts = list(stage_recipes(point.recipe).values()) if cascade else [point.recipe]
    faults: list[str] = []
    plans: list[list[PhasePlan]] = []
    for part in parts:
        images = retask(data, part.task) if cascade else data
        try:
            check_model_and_batches(part, images, part.phases)
            raise_faults(sharing_faults(part, images, part.phases, processes.count()))
            plans.append([phase_plan(part, images, name) for name in part.phases])
        except RequestError as error:
            faults += [fault for fault in error.faults if fault not in faults]
    raise_faults(faults)
    every = [phase for phases in plans for phase in phases]
    trained = [max(sum(block[1] for block in phase.blocks) for phase in phases) for phases in plans]
    return Planned(
        point,
        there,
        steps=times * sum(phase.epochs * phase.steps_per_epoch for phase in every),
        images=times * sum(phase.epochs * phase.steps_per_epoch * phase.batch for phase in every),
        trainable=sum(trained[1:]) if cascade else trained[0],
    )


def _scored(data: Dataset) -> object:
    """What the scored part is: classes, and each image's content and label."""
    rows = data.rows("test") if len(data.rows("test")) else data.rows("val")
    pairs = zip(data.facts["digest"].iloc[rows], data.labels[rows].tolist(), strict=True)
    return (tuple(data.classes), data.task.positive_index, hash(tuple(sorted(pairs))))


def _other_images(scored: dict[object, list[str]]) -> list[str]:
    if len(scored) < 2:
        return []
    first, second = list(scored.values())[:2]
    return [
        f"points {first[0]} and {second[0]} would be scored on different images or classes, and no table could compare "
        "them; sweep settings that leave the scored part as it is"
    ]


def _weight_faults(points: Sequence[Point], places: Sequence[Path], download: bool) -> list[tuple[str, str]]:
    """Weights that points yet to begin would start from and that cannot be had, each kind of model tried once."""
    known: dict[str, list[str]] = {}
    faults = []
    for point, place in zip(points, places, strict=True):
        if (place / "recipe.yaml").is_file() or (point.recipe.model.weights == "imagenet" and not download):
            continue
        key = point.recipe.model.model_dump_json()
        if key not in known:
            try:
                check_weights(point.recipe)
                known[key] = []
            except RequestError as error:
                known[key] = list(error.faults)
        faults += [(fault, point.name) for fault in known[key]]
    return faults


def _line(each: Planned, there: State, error: str | None) -> dict[str, Any]:
    """A point in `sweep.json`."""
    line = {"name": each.point.name, "settings": each.point.settings, "state": there, "steps": each.steps}
    return line if error is None else line | {"error": error}
