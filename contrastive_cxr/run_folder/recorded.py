"""A run as it was recorded: its recipe, its rows and their parts; and what has become of the rows since."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from contrastive_cxr import recipe as recipes
from contrastive_cxr.data import sources
from contrastive_cxr.data.dataset import Dataset, open_dataset
from contrastive_cxr.data.manifest import Manifest, read_table
from contrastive_cxr.errors import RequestError
from contrastive_cxr.recipe.schema import Data, Recipe, Split
from contrastive_cxr.run_folder import provenance

SHOWN = 3


def recipe_of(run: Path, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe of a run, with changes.

    Raises
    ------
    RequestError
        The folder is no run, or a change is wrong.
    """
    path = run / "recipe.yaml"
    if not path.is_file():
        raise RequestError(f"{run} is no run folder: it has no recipe.yaml; give the folder that --out named")
    return recipes.load(path, overrides)


def rows_of(run: Path) -> pd.DataFrame:
    """The rows that the run recorded, all text: the manifest's columns, `split` as it was divided, `class`, `digest`.

    Raises
    ------
    RequestError
        The run has no manifest, or one without these columns, or one that was changed since.
    """
    provenance.check(run)
    table = read_table(run / "manifest.csv")
    missing = [name for name in ("path", "source", "split", "class", "digest") if name not in table]
    if missing:
        raise RequestError(f"{run / 'manifest.csv'} lacks the columns {missing}; it is not what a run wrote")
    return table


def official(data: Data) -> Data:
    """The section with rows that bring their own split."""
    return data.model_copy(update={"split": Split()})


def keys(rows: pd.DataFrame, several: bool) -> list[str]:
    """What a row is known by, wherever its folder is: its path, of several sources its source and path."""
    if not several:
        return list(rows["path"])
    return [f"{source}/{path}" for source, path in zip(rows["source"], rows["path"], strict=True)]


def reopen(run: Path, recipe: Recipe, scored: str | None = None) -> Dataset:
    """The run's images as they are now, divided as they were recorded.

    Rows that the run never recorded are `unused`: nothing was learned from them.

    Parameters
    ----------
    scored : str, optional
        The part that is to be scored: nothing may have come to it either.

    Raises
    ------
    RequestError
        The images are not there; rows of train, val or `scored` were removed or have another content or class; rows
        were added to `scored`.
    """
    manifest, several = sources.read_data(recipe.data), bool(recipe.data.join)
    then = rows_of(run)
    then.index = pd.Index(keys(then, several))
    own = dict(zip(keys(manifest.rows, several), manifest.column("split"), strict=True))
    place = dict(zip(then.index, then["split"], strict=True))
    split = [place.get(key, "unused") for key in own]
    data = open_dataset(official(recipe.data), recipe.task, need=(), manifest=manifest.split_as(split))
    now = data.manifest_table()
    now.index = pd.Index(keys(now, several))
    official_now = {key for key, part in own.items() if part == scored and recipe.data.split.kind == "official"}
    parts = dict.fromkeys(filter(None, ("train", "val", scored)))
    found = (difference(part, then, now, official_now if part == scored else set()) for part in parts)
    faults = [fault for fault in found if fault]
    if faults:
        raise RequestError(
            *(
                f"{fault} since {run} recorded it; put the rows back, or score the images that there are now as an "
                "external test, in a folder of their own with data.root=DIR"
                for fault in faults
            )
        )
    return data


def difference(part: str, then: pd.DataFrame, now: pd.DataFrame, own: set[str]) -> str:
    """What has become of the rows of a part, in words; empty where they are what they were.

    Parameters
    ----------
    then, now : tables of str
        With `split`, `class`, `digest`, `patient`, a row known by its key; `now` divided as `then`.
    own : set of str
        Keys of the rows that their source puts into this part now.
    """
    known = then[then["split"] == part]
    kept = known.index.intersection(now.index)

    def other(column: str) -> list[str]:
        return sorted(kept[(known.loc[kept, column] != now.loc[kept, column]).to_numpy(dtype=bool)])

    found = {
        "added": sorted((own & set(now.index)) - set(then.index)),
        "removed": sorted(known.index.difference(now.index)),
        "of other content": other("digest"),
        "of another class": other("class"),
        "of another patient": other("patient") if "patient" in known and "patient" in now else [],
    }
    said = [f"{len(names)} {what} ({listed(names)})" for what, names in found.items() if names]
    return f"the {part} part has changed: {', '.join(said)}" if said and len(known) else ""


def listed(names: Sequence[str]) -> str:
    """The first three, and dots where there are more."""
    return ", ".join(names[:SHOWN]) + (" ..." if len(names) > SHOWN else "")


def never_recorded(run: Path, recipe: Recipe, part: str) -> Manifest | None:
    """Rows that the run's own source now puts into a part of which the run recorded none; None without such rows."""
    then = rows_of(run)
    if (then["split"] == part).any():
        return None
    manifest, several = sources.read_data(recipe.data), bool(recipe.data.join)
    known = set(keys(then, several))
    new = np.array([key not in known for key in keys(manifest.rows, several)]) & (manifest.column("split") == part)
    return manifest.take(new) if new.any() else None
