"""The folder of a sweep: what it holds, what can be resumed in it, and the checks before it. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from contrastive_cxr import locks
from contrastive_cxr.errors import RequestError, raise_faults
from contrastive_cxr.files import PARTIAL
from contrastive_cxr.preflight import data_checks
from contrastive_cxr.recipe.schema import Recipe
from contrastive_cxr.run import folder as folders
from contrastive_cxr.run import processes
from contrastive_cxr.studies.sweep_points import Point, SweepSpec, together
from contrastive_cxr.tasks import Task

VERSION = 1
RECORD = "sweep.json"
State = Literal["new", "started", "finished", "failed"]


def sweep_door(points: Sequence[Point], out: Path, *, seeds: int | None = None) -> None:
    """Check the sweep's folder, every point's folder, and the rows of the data; no image is opened.

    Raises
    ------
    RequestError
        Every fault: a folder that is no sweep's, a point whose run there has another recipe, data that do not fit.
    """
    faults = data_checks.faults_of(lambda: _check_folder(out)) if processes.is_first() else []
    told: list[tuple[str, str]] = []
    if not faults and processes.is_first():
        told += [(fault, point.name) for point in points for fault in _point_faults(point, out / point.name, seeds)]
    told += [(fault, point.name) for point in points for fault in _recipe_faults(point.recipe, seeds)]
    told += list(_data_faults(points))
    raise_faults([*faults, *together(told, len(points))])


def state(folder: Path, recipe: Recipe, seeds: int | None) -> State:
    """How far the run of a point is: `new`, `started` or `finished`."""
    if not (folder / folders.MARK).is_file():
        return "new"
    if not (folder / "report.json").is_file():
        return "started"
    if seeds is None:
        return "finished"
    parts = [f"seed{number}" for number in range(recipe.seed, recipe.seed + seeds)]
    pooled = folders.read_json(folder / "pooled.json")["parts"] if (folder / "pooled.json").is_file() else []
    return "finished" if pooled == parts else "started"


def record(
    out: Path,
    reference: str,
    words: SweepSpec,
    points: Sequence[dict[str, Any]],
    *,
    one_at_a_time: bool,
    seeds: int | None,
) -> None:
    """Write `sweep.json`: what was asked for, and how far each point is (docs/reference/studies.md)."""
    folders.write_json(
        out / RECORD,
        {
            "version": VERSION,
            "recipe": reference,
            "fixed": list(words.fixed),
            "factors": {factor.key: list(factor.values) for factor in words.factors},
            "one_at_a_time": one_at_a_time,
            "seeds": seeds,
            "points": list(points),
        },
    )


def _check_folder(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise RequestError(f"--out {out}: is a file; name a folder for the sweep")
    locks.refuse_held(out / locks.NAME, f"the sweep '{out}'")
    found = sorted(out.iterdir()) if out.exists() else []
    there = [item for item in found if not item.name.endswith(PARTIAL) and item.name != locks.NAME]
    if there and not (out / RECORD).is_file():
        raise RequestError(
            f"--out {out}: is not empty and holds no sweep (no {RECORD}; there is '{there[0].name}'); name another "
            "folder"
        )


def _point_faults(point: Point, folder: Path, seeds: int | None) -> list[str]:
    """A folder with a run of another recipe, or pooled where a single run is asked for."""
    if (folder / "parts.json").is_file() and seeds is None:
        return [f"{folder}: holds a run over seeds; give the same --seeds, or choose another --out"]
    if seeds is not None and (folder / folders.MARK).is_file() and not (folder / "parts.json").is_file():
        return [f"{folder}: holds a single run, not one over seeds; leave --seeds out, or choose another --out"]
    resume = (folder / folders.MARK).is_file()
    return data_checks.faults_of(lambda: data_checks.check_folder(point.recipe, folder, resume=resume, overwrite=False))


def _recipe_faults(recipe: Recipe, seeds: int | None) -> list[str]:
    """What would leave a sweep without a table."""
    faults = []
    if len(recipe.task.names) < 2:
        faults.append(f"task '{recipe.task.name}' has one class, so a sweep has no scores to compare")
    if seeds is not None and recipe.cascade is not None:
        faults.append("--seeds pools runs of one task and the recipe is a cascade; sweep it without --seeds")
    return faults


def _data_faults(points: Sequence[Point]) -> Iterator[tuple[str, str]]:
    """Faults of the data, each kind of data read once."""
    known: dict[str, list[str]] = {}
    for point in points:
        recipe = point.recipe
        tasks: list[Task] = [recipe.task, *((recipe.cascade.stage1, recipe.cascade.stage2) if recipe.cascade else ())]
        key = "\n".join([recipe.data.model_dump_json(), *(task.model_dump_json() for task in tasks)])
        if key not in known:
            known[key] = data_checks.faults_of(partial(data_checks.check_rows, recipe.data, tasks))
        yield from ((fault, point.name) for fault in known[key])
