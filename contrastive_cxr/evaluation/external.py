"""Score a run again: on a recorded part, or on new images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from contrastive_cxr import engine, terminal
from contrastive_cxr.data.files.store_urls import Place
from contrastive_cxr.errors import RequestError, raise_faults
from contrastive_cxr.evaluation import cascade, knn_vote, pooled
from contrastive_cxr.evaluation.evaluate import finished_phases, score_split
from contrastive_cxr.evaluation.report_facts import EvaluationContext
from contrastive_cxr.evaluation.test_set import PARTS, TestSet, new_images, recorded_split
from contrastive_cxr.preflight.subgroup_columns import column_faults
from contrastive_cxr.recipe.schema import Recipe
from contrastive_cxr.run import folder as folders
from contrastive_cxr.run_folder import recorded
from contrastive_cxr.run_layout import STAGES


def evaluate(
    run: Path,
    overrides: Sequence[str] = (),
    *,
    split: str | None = None,
    out: Path | None = None,
    gallery: str | Place | None = None,
    robustness: bool = False,
) -> Path:
    """Score the models of `run`; with `data.root=DIR` (or another source) on new images, as an external test.

    Parameters
    ----------
    run : Path
        A finished run; or one over seeds or folds: then each of its runs is scored, and the scores are pooled; or a
        cascade: then its three runs are scored, and the verdict that its stages make.
    overrides : sequence of str
        `data.key=value`: where the new images are; without any, the run's own rows are scored.
        `evaluation.key=value`: changes the scores, such as `evaluation.subgroups=[sex]`; the run's recipe stays.
    split : str, optional
        `test`, `val` or `train`; default: test if there is one, else val.
    out : Path, optional
        Folder for report and arrays; default: `RUN`, or `RUN/external-<split>` for new images. If a gallery votes,
        the name ends in `-gallery` (`RUN/test-gallery`). For a pool or a cascade, each of its runs has a folder below
        `out`; by default, these are folders of the runs.
    gallery : str, Path or StoreUrl, optional
        A gallery that one of the run's models made: the vote of its nearest rows is scored instead of the classifier.
    robustness : bool
        Score the images under benign changes too, as `evaluation.robustness=on` does (docs/reference/robustness.md).

    Returns
    -------
    Path
        The folder with `report.json`, `report.html` and `model-card.md`.

    Raises
    ------
    RequestError
        There is no run, none of its phases is finished, it has no such part, or the rows of a recorded part have
        changed. New images are among the run's training images (by content or patient). A setting belongs to neither
        section. The gallery is of another model, lacks a class, or contains a scored image. Another process is
        writing into the folder.
    """
    if split not in (None, *PARTS):
        raise RequestError(f"--split {split}: is not one of train, val and test")
    overrides = [*overrides, *(["evaluation.robustness=on"] if robustness else [])]
    if pooled.is_pool(run):
        return evaluate_pool(run, overrides, split=split, out=out, gallery=gallery)
    if recorded.recipe_of(run).cascade is not None:
        return evaluate_cascade(run, overrides, split=split, out=out, gallery=gallery)
    recipe = changed_recipe(run, run, overrides)
    finished_phases(run)
    with terminal.Stages("evaluation", 3, first="reading the images"):
        wanted = wanted_images(run, recipe, overrides, split)
        chosen = None
        if gallery is not None:
            terminal.stage("loading the gallery")
            chosen = knn_vote.voters(run, gallery, recipe.evaluation.vote)
            terminal.stage("looking for the images in the gallery")
            knn_vote.check(chosen, wanted.data, wanted.split, wanted.reference or wanted.data)
    target = out or default_out(run, wanted, chosen)
    fabric = engine.launch(recipe.runtime)
    with folders.held(target, first=fabric.is_global_zero):
        context = EvaluationContext(recipe, wanted.data, wanted.reference or wanted.data, chosen)
        notes = wanted.notes if chosen is None else (chosen.note(), *wanted.notes)
        score_split(context, fabric, run, target, wanted.split, notes=notes)
        fabric.barrier()
    return target


def evaluate_pool(
    run: Path, overrides: Sequence[str], *, split: str | None, out: Path | None, gallery: str | Place | None
) -> Path:
    """Score each run of a pool as `evaluate` does, then pool their predictions.

    Raises
    ------
    RequestError
        As from `evaluate`; a run has no finished phase; a gallery was given, which fits the model of one run only.
    """
    parts = pooled.parts_of(run)
    if gallery is not None:
        raise RequestError(
            f"--gallery {gallery}: is of the model of one run, and {run} pools {len(parts)}; evaluate one of them, "
            f"such as {run}/{parts[0]}"
        )
    recipe = changed_recipe(run, run / parts[0], overrides)
    for name in parts:
        finished_phases(run / name)
    places = {
        name: evaluate(run / name, overrides, split=split, out=None if out is None else out / name) for name in parts
    }
    first = places[parts[0]]
    target = out or (run if first == run / parts[0] else run / first.name)
    fabric = engine.launch(recipe.runtime)
    with folders.held(target, first=fabric.is_global_zero):
        if fabric.is_global_zero:
            pooled.pool(recipe, target, places, None if target == run else run)
        fabric.barrier()
    return target


def default_out(run: Path, wanted: TestSet, chosen: knn_vote.KnnClassifier | None) -> Path:
    """The run itself if its own images and classifier are scored, otherwise a folder in it."""
    if chosen is None and wanted.reference is None:
        return run
    where = "" if wanted.reference is None else "external-"
    return run / f"{where}{wanted.split}{'' if chosen is None else '-gallery'}"


def evaluate_cascade(
    run: Path, overrides: Sequence[str], *, split: str | None, out: Path | None, gallery: str | Place | None
) -> Path:
    """Score the flat run and both stages of a cascade as `evaluate` does, then the verdict that the stages make.

    Stage 2 by itself is scored on the images of its own classes. Costs are between the classes of the flat task.

    Raises
    ------
    RequestError
        As from `evaluate`; a part has no finished phase; a gallery was given, which fits the model of one run only.
    """
    if gallery is not None:
        raise RequestError(
            f"--gallery {gallery}: is of the model of one run, and {run} is a cascade of three; evaluate one of them, "
            f"such as {run}/flat"
        )
    recipe = changed_recipe(run, run, overrides)
    for name in STAGES:
        finished_phases(run / name)
    with terminal.Stages("evaluation", 1, first="reading the images"):
        wanted = wanted_images(run, recipe, overrides, split)
    free = [word for word in overrides if not word.startswith("evaluation.costs")]
    places = {
        name: evaluate(
            run / name, overrides if name == "flat" else free, split=split, out=None if out is None else out / name
        )
        for name in STAGES
    }
    target = out or (run if places["flat"] == run / "flat" else run / places["flat"].name)
    fabric = engine.launch(recipe.runtime)
    with folders.held(target, first=fabric.is_global_zero):
        context = EvaluationContext(recipe, wanted.data, wanted.reference or wanted.data)
        with terminal.Stages("scoring the cascade", 3, fabric.is_global_zero):
            cascade.score(context, fabric, run, places, target, wanted.split, wanted.notes)
        fabric.barrier()
    return target


def wanted_images(run: Path, recipe: Recipe, overrides: Sequence[str], split: str | None) -> TestSet:
    """What is scored: new images where the overrides name some, else a part that the run recorded."""
    words = [word for word in overrides if word.startswith("data.")]
    return new_images(run, recipe, words, split or "test") if words else recorded_split(run, recipe, split)


def changed_recipe(run: Path, rows: Path, overrides: Sequence[str]) -> Recipe:
    """The run's recipe with other settings of evaluation; settings of data are checked and left out.

    The columns of subgroups must be columns of the run `rows`.

    Raises
    ------
    RequestError
        A setting is of another section or moves rows to another part.
    """
    raise_faults(
        f"{word}: evaluate takes settings of data and of evaluation alone, such as data.root=DIR"
        for word in overrides
        if not word.startswith(("data.", "evaluation."))
    )
    raise_faults(
        f"{word}: new images are scored whole, or in the parts that their own source gives them; leave data.split out"
        for word in overrides
        if word.startswith("data.split")
    )
    changed = recorded.recipe_of(run, [word for word in overrides if word.startswith("evaluation.")])
    raise_faults(column_faults(changed.evaluation.subgroups, [str(name) for name in recorded.rows_of(rows)]))
    return changed
