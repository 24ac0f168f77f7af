"""Checks of recipe, folder and rows, all of them before torch is imported."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from contrastive_cxr import recipe as recipes
from contrastive_cxr.data import cache_files, sources
from contrastive_cxr.data.decoding import ranges
from contrastive_cxr.data.files.addresses import absolute
from contrastive_cxr.data.manifest import Manifest, encode
from contrastive_cxr.data.shards import opening
from contrastive_cxr.data.split import divide
from contrastive_cxr.errors import RequestError, raise_faults
from contrastive_cxr.preflight.subgroup_columns import column_faults
from contrastive_cxr.recipe.schema import Data, Recipe
from contrastive_cxr.run import folder as folders
from contrastive_cxr.run import processes
from contrastive_cxr.space import free, size_words
from contrastive_cxr.tasks import Task


def check_data_and_folder(
    recipe: Recipe, out: Path | None = None, *, resume: bool = False, overwrite: bool = False
) -> None:
    """Check the run folder and the rows of the data; no image is opened, nothing is written.

    Parameters
    ----------
    recipe : Recipe
        From `recipe.load`.
    out : Path, optional
        The folder that a run would write; none: nothing would be written.
    resume, overwrite : bool
        As in `run`.

    Raises
    ------
    RequestError
        Every fault of the folder and of the data, one sentence each.
    """
    faults: list[str] = []
    if out is not None and processes.is_first():
        faults += faults_of(lambda: check_folder(recipe, out, resume=resume, overwrite=overwrite))
    tasks = [recipe.task, *((recipe.cascade.stage1, recipe.cascade.stage2) if recipe.cascade else ())]
    raise_faults([*faults, *faults_of(lambda: check_rows(recipe.data, tasks, recipe.evaluation.subgroups))])


def faults_of(check: Callable[[], None]) -> list[str]:
    """The faults that a check raises."""
    try:
        check()
    except RequestError as error:
        return list(error.faults)
    return []


def check_folder(recipe: Recipe, out: Path, *, resume: bool, overwrite: bool) -> None:
    """Refuse a folder that this run may not write into."""
    folders.check(out, resume=resume, overwrite=overwrite)
    same_recipe(recipe, out, resume)


def same_recipe(recipe: Recipe, out: Path, resume: bool) -> None:
    """Refuse to go on with a run of another recipe, naming the first lines that differ."""
    path = out / "recipe.yaml"
    if not (resume and path.is_file()):
        return
    asked = as_recorded(recipe, out, resume)
    then, now = (recipes.record(as_asked(each)).splitlines() for each in (recipes.load(path), asked))
    changed = [f"{old.strip()} -> {new.strip()}" for old, new in zip(then, now, strict=False) if old != new]
    if then != now:
        raise RequestError(
            f"--resume {out}: the run there has another recipe ({'; '.join(changed[:3]) or 'other length'}); resume "
            "with the same recipe, or choose another --out"
        )


def as_recorded(recipe: Recipe, out: Path, resume: bool) -> Recipe:
    """The recipe of a resumed run: it keeps what it found out as it began, where the recipe says nothing else.

    These are the precision and the memory layout in the place of `auto`, and of an earlier version `data.decoding` and
    the default of `data.intensity.kind`, which have changed since.
    """
    path = out / "recipe.yaml"
    if not (resume and path.is_file()):
        return recipe
    then = recipes.load(path)
    fast = {
        name: getattr(then.runtime, name)
        for name in ("precision", "channels_last")
        if getattr(recipe.runtime, name) == "auto"
    }
    runtime = recipe.runtime.model_copy(update=fast)
    return recipe.model_copy(update={"data": _read_as(recipe.data, then.data), "runtime": runtime})


def _read_as(data: Data, then: Data) -> Data:
    """The section of the data, which reads images as the run did that began with `then`."""
    if then.decoding == data.decoding:
        return data
    found: dict[str, object] = {}
    if "decoding" not in data.model_fields_set:
        found["decoding"] = then.decoding
    if "kind" not in data.intensity.model_fields_set:
        found["intensity"] = then.intensity
    return data.model_copy(update=found)


def as_asked(recipe: Recipe) -> Recipe:
    """The recipe without the texts of its model card, which change no number, and without what a run found out."""
    found = {"intensity": recipe.data.intensity.model_copy(update={"ranges": None})}
    return recipe.model_copy(update={"card": None, "data": recipe.data.model_copy(update=found)})


def check_rows(data: Data, tasks: list[Task], columns: Sequence[str] = ()) -> None:
    """Refuse data that is not there, has labels that the tasks do not know, or cannot be divided as asked.

    `columns` are those of `evaluation.subgroups`.
    """
    manifest = sources.read_data(data)
    faults = column_faults(columns, [str(name) for name in manifest.rows])
    raise_faults([*faults, *cache_faults(data, manifest)])
    flat, *stages = ((task, encode(manifest, task)) for task in tasks)
    del stages  # encoded to be checked: they are divided as the flat task is
    task, labels = flat
    divide(manifest.take(labels >= 0), labels[labels >= 0], data.split, names=task.names)


def cache_faults(data: Data, manifest: Manifest) -> list[str]:
    """A disk that has no room for the decoded images; those in the cache already count, copies among the others do not.

    What the run folder itself needs is checked later, when the network is known (`disk.require`).
    """
    if data.shards is not None:
        return opening.faults(data)
    images = len(manifest)
    if images * data.cache_size**2 <= free(cache_files.cache_folder(data.cache_dir)):
        return []
    roots = sorted({absolute(root) for root in manifest.rows["root"]})
    folder = cache_files.folder_of(ranges.found(data, manifest), roots)
    held = folder / "images.u8"
    needed = images * data.cache_size**2 - (held.stat().st_size if held.is_file() else 0)
    room = free(folder)
    if needed <= room:
        return []
    return [
        f"data.cache_dir: the {images} decoded images need {size_words(needed)} more in '{folder}', its disk has "
        f"{size_words(room)} free; make room, name another folder, or lower data.cache_size ({data.cache_size})"
    ]
