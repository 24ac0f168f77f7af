"""The images that an evaluation scores: a part that the run recorded, or new ones that were not used in training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from contrastive_cxr.data import sources
from contrastive_cxr.data.dataset import Dataset, open_dataset
from contrastive_cxr.data.decoding import grey_levels
from contrastive_cxr.data.manifest import Manifest
from contrastive_cxr.errors import RequestError, raise_faults
from contrastive_cxr.recipe.schema import Data, Recipe
from contrastive_cxr.run_folder import recorded

PARTS = ("train", "val", "test")


TABLE_SETTINGS = {
    "csv": "null", "merge": "[]", "split_lists": "{}", "columns": "{}", "where": "{}", "leave_out": "[]",
    "label_folders": "null",
}  # fmt: skip
"""Settings that belong to a table, and their values without a table."""


@dataclass(frozen=True)
class TestSet:
    """What is scored: a part of `data`, and notes for the reader of the report.

    Attributes
    ----------
    reference : Dataset or None
        The run's own images, if `data` is new to the run; None: `data` has them.
    """

    data: Dataset
    split: str
    reference: Dataset | None = None
    notes: tuple[str, ...] = ()


def recorded_split(run: Path, recipe: Recipe, split: str | None) -> TestSet:
    """A part as the run recorded it, or a part that its source received later, which is new to the run."""
    counts = recorded.rows_of(run)["split"].value_counts()
    part = split or ("test" if counts.get("test", 0) else "val")
    if counts.get(part, 0):
        return TestSet(recorded.reopen(run, recipe, part), part)
    rows = recorded.never_recorded(run, recipe, part)
    if rows is None:
        there = [name for name in PARTS if counts.get(name, 0)]
        raise RequestError(f"--split {part}: the run has no such rows; it has {', '.join(there)}")
    data = open_dataset(unpacked(recorded.official(recipe.data)), recipe.task, need=(part,), manifest=rows)
    notes = overlap_notes(run, data)
    return TestSet(data, part, recorded.reopen(run, recipe), notes)


def unpacked(data: Data) -> Data:
    """The section without shards: images that came later are not in them."""
    return data.model_copy(update={"shards": None})


def new_images(run: Path, recipe: Recipe, words: Sequence[str], split: str) -> TestSet:
    """The images of another source: those of its part `split`, or all of them if the source has no parts.

    If they are the recorded rows in another folder, they count as the recorded part.
    """
    joined = [] if any(word.startswith("data.join") for word in words) else ["data.join=[]"]
    fresh = without_recorded_table(recipe.data, words)
    unpacked = [] if any(word.startswith("data.shards") for word in words) else ["data.shards=null"]
    section = recorded.recipe_of(run, ["data.split.kind=official", *joined, *unpacked, *fresh, *words]).data
    manifest = part_of(sources.read_data(section), split)
    data = open_dataset(section, recipe.task, need=(split,), manifest=manifest)
    if moved(recorded.rows_of(run), data.manifest_table(), split):
        return TestSet(own_images(run, recipe, section, split), split)
    squeezed = grey_levels.warning(grey_levels.of_dataset(data), data.intensity.kind)
    notes = (*overlap_notes(run, data), *([f"{squeezed}."] if squeezed else []))
    return TestSet(data, split, own_images(run, recipe, section), notes)


def without_recorded_table(data: Data, words: Sequence[str]) -> list[str]:
    """Overrides that remove the settings of the recorded table, if `words` name a source of another kind.

    Parameters
    ----------
    data : Data
        The run's own section.
    words : sequence of str
        `data.key=value` of the new images; settings of a table among them are kept.
    """
    kinds = [word.partition("=")[2].strip() for word in words if word.startswith("data.source=")]
    if not kinds or kinds[-1] == data.source:
        return []
    given = {word.partition("=")[0].split(".")[1] for word in words}
    return [f"data.{name}={value}" for name, value in TABLE_SETTINGS.items() if name not in given]


def own_images(run: Path, recipe: Recipe, section: Data, scored: str | None = None) -> Dataset:
    """The run's own images from the recorded folder; if that folder is gone, from the new `section`.

    Raises
    ------
    RequestError
        They are in neither folder, or have changed.
    """
    roots = [source.root for source in recipe.data.join or (recipe.data,) if source.root is not None]
    gone = [str(root) for root in roots if isinstance(root, Path) and not root.exists()]
    if not gone:
        return recorded.reopen(run, recipe, scored)
    try:
        return recorded.reopen(run, recipe.model_copy(update={"data": section}), scored)
    except RequestError as error:
        raise RequestError(
            f"the images that {run} was trained on, which its neighbours and baselines come from, are no longer in "
            f"{', '.join(gone)}, and not in the new folder either; put them back there",
            *error.faults,
        ) from error


def part_of(manifest: Manifest, split: str) -> Manifest:
    """The rows of a part; all rows, put into that part, if the source has no parts.

    Raises
    ------
    RequestError
        The source has parts, but not this one.
    """
    own = manifest.column("split")
    if not any(own):
        return manifest.split_as(split)
    if not (own == split).any():
        there = ", ".join(f"{name} {int((own == name).sum())}" for name in PARTS if (own == name).any())
        raise RequestError(
            f"--split {split}: the new images have no such part (they have {there or 'unused rows alone'}); name one "
            "of these, or give a source without parts, which is scored whole"
        )
    return manifest.take(own == split)


def moved(then: pd.DataFrame, now: pd.DataFrame, split: str) -> bool:
    """Whether the content of the rows is that of the part that the run recorded.

    Raises
    ------
    RequestError
        This is true of only some rows: they are neither the recorded part nor an external test.
    """
    part = then[then["split"] == split]
    same = set(part["digest"]) & set(now["digest"]) - {""}
    if not same:
        return False
    lost = part[~part["digest"].isin(same)]
    new = now[~now["digest"].isin(same)]
    if len(lost) or len(new):
        parts = [
            f"{len(rows)} {what} ({recorded.listed(list(rows['path']))})"
            for what, rows in (("are not there", lost), ("were never recorded", new))
            if len(rows)
        ]
        raise RequestError(
            f"{len(same)} of these images are the {split} part that the run recorded, and of the rest "
            f"{' and '.join(parts)}: neither the recorded part nor an external test; give one or the other"
        )
    return True


def overlap_notes(run: Path, data: Dataset) -> tuple[str, ...]:
    """Refuse new images that the run was trained or chosen on (by content or patient); return notes for the reader.

    Patients are compared only within sources of the same name: two sources may use one name for two patients.
    """
    then = recorded.rows_of(run)
    seen, now = then[then["split"].isin(["train", "val"])], data.manifest_table()
    paths = {
        "by content": now["path"][now["digest"].isin(set(seen["digest"]) - {""})],
        "by patient": now["path"][[each is not None and each in set(patients(seen)) for each in patients(now)]],
    }
    raise_faults(
        f"{len(shared)} of {len(now)} images of the external test are among the run's training or validation images, "
        f"{how}: {recorded.listed(list(shared))}; take them out"
        for how, shared in paths.items()
        if len(shared)
    )
    strangers = sorted(set(now["source"]) - set(seen["source"]))
    if (now["patient"] == "").all() or (seen["patient"] == "").all():
        why = "they are not known"
    elif strangers:
        why = f"source {', '.join(strangers)} has names of its own"
    else:
        return ("An external test: no image has the content, and none the patient, of a training image.",)
    return (f"An external test: no image has the content of a training image. Patients could not be compared: {why}.",)


def patients(rows: pd.DataFrame) -> list[tuple[str, str] | None]:
    """(source, name) of each row's patient, None if unknown; without the prefix of joined sources."""
    return [
        (source, name.removeprefix(f"{source}/")) if name else None
        for source, name in zip(rows["source"], rows["patient"], strict=True)
    ]
