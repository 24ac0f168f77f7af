"""Score a run again: on a recorded split, or on images that it never saw."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from contrastive_cxr import engine
from contrastive_cxr import recipe as recipes
from contrastive_cxr.data.dataset import Dataset, open_dataset
from contrastive_cxr.errors import RequestError
from contrastive_cxr.experiment.evaluate import score_split
from contrastive_cxr.recipe.schema import Recipe
from contrastive_cxr.run import folder as folders


def evaluate(run: Path, overrides: Sequence[str] = (), *, split: str | None = None, out: Path | None = None) -> Path:
    """Score the models of `run`; with `data.root=DIR` (or another source) on new images, as an external test.

    Parameters
    ----------
    run : Path
        A finished run.
    overrides : sequence of str
        `section.key=value` of the `data` section: where the new images are. None: the run's own rows.
    split : str, optional
        `test`, `val` or `train`; none: test where there is one, else val.
    out : Path, optional
        Where report and arrays go; none: `RUN`, or `RUN/external-<split>` for new images.

    Returns
    -------
    Path
        The folder with `report.json` and `report.html`.

    Raises
    ------
    RequestError
        No run, no such split, new images that are among the run's training images (by content), or a
        setting that is not of data.
    """
    if split not in (None, "train", "val", "test"):
        raise RequestError(f"--split {split}: is not one of train, val and test")
    recipe = recorded(run)
    if (run / "parts.json").is_file():
        raise RequestError(f"{run} pools several runs; evaluate one of them, such as {run}/{first_part(run)}")
    if recipe.cascade is not None:
        raise RequestError(f"{run} is a cascade; evaluate one of its runs: {run}/flat, {run}/stage1 or {run}/stage2")
    trained = open_dataset(recipe.data, recipe.task)
    fabric = engine.launch(recipe.runtime)
    if not overrides:
        wanted = split or ("test" if len(trained.rows("test")) else "val")
        check_split(trained, wanted)
        target = out or run
        score_split(recipe, trained, fabric, run, target, wanted)
        return target
    wanted = split or "test"
    data = external_data(run, recipe, overrides, wanted)
    check_overlap(trained, data, wanted)
    target = out or run / f"external-{wanted}"
    target.mkdir(parents=True, exist_ok=True)
    score_split(recipe, data, fabric, run, target, wanted, reference=trained)
    return target


def recorded(run: Path) -> Recipe:
    """The recipe of a run.

    Raises
    ------
    RequestError
        The folder is no run.
    """
    path = run / "recipe.yaml"
    if not path.is_file():
        raise RequestError(f"{run} is no run folder: it has no recipe.yaml; give the folder that --out named")
    return recipes.load(path)


def first_part(run: Path) -> str:
    """Name of the first run of those that `run` pools."""
    return str(folders.read_json(run / "parts.json")["parts"][0])


def external_data(run: Path, recipe: Recipe, overrides: Sequence[str], split: str) -> Dataset:
    """The new images: decoded as the run's were, all of them in `split` where their source has no parts."""
    outside = [word for word in overrides if not word.startswith("data.")]
    if outside:
        raise RequestError(
            *(f"{word}: evaluate takes settings of data alone, such as data.root=DIR" for word in outside)
        )
    joined = [] if any(word.startswith("data.join") for word in overrides) else ["data.join=[]"]
    section = recipes.load(run / "recipe.yaml", ["data.split.kind=official", *joined, *overrides]).data
    return open_dataset(section, recipe.task, need=(split,), unsplit=split)


def check_split(data: Dataset, split: str) -> None:
    """Refuse a split without rows, naming those that have some."""
    if len(data.rows(split)) == 0:
        there = [name for name in ("train", "val", "test") if len(data.rows(name))]
        raise RequestError(f"--split {split}: the run has no such rows; it has {', '.join(there)}")


def check_overlap(trained: Dataset, data: Dataset, split: str) -> None:
    """Refuse new images that the run was trained or chosen on: the same file content.

    Patients are compared within one source alone: names of two sources may collide.
    """
    seen = set(trained.facts["digest"].iloc[[*trained.rows("train"), *trained.rows("val")]])
    rows = data.rows(split)
    check_split(data, split)
    shared = [
        path
        for path, digest in zip(data.manifest.column("path")[rows], data.facts["digest"].iloc[rows], strict=True)
        if digest in seen
    ]
    if shared:
        raise RequestError(
            f"{len(shared)} of {len(rows)} images of the external test are among the run's training or validation "
            f"images, by content: {', '.join(shared[:3])}{' ...' if len(shared) > 3 else ''}; take them out"
        )


def summary(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """Rows of a printed table: score and `value (low-high)`."""
    table = []
    for name, entry in facts["scores"].items():
        value, low, high = entry["value"], entry.get("low"), entry.get("high")
        if value is None:
            table.append((name, f"undefined: {entry.get('reason', '')}"))
        else:
            table.append((name, f"{value:.3f}" + (f" ({low:.3f}-{high:.3f})" if low is not None else "")))
    return table
