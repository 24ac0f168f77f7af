"""The images that an export is checked on: the run's own, decoded as they were for its training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from contrastive_cxr.data.dataset import Dataset
from contrastive_cxr.errors import RequestError
from contrastive_cxr.inference.given_rows import given_rows
from contrastive_cxr.inference.image_sources import Files, Pictures, Recorded
from contrastive_cxr.recipe import schema
from contrastive_cxr.run_folder import recorded

MOST = 1000
"""Images that are looked at, evenly chosen where there are more: minutes for a large network on two cores."""
BATCH = 32
WORDS = {"val": "validation", "test": "test", "train": "training"}


@dataclass(frozen=True)
class Chosen:
    """Images for a check, and where they are from in words."""

    pictures: Pictures
    words: str

    def batches(self) -> Iterator[NDArray[np.uint8]]:
        """Uint8 [B, 1, S, S]: one image alone first, since a batch of one is what most users send."""
        count = len(self.pictures)
        starts = [0, *range(1, count, BATCH), count]
        for first, end in pairwise(starts):
            if end > first:
                yield self.pictures.pixels(first, end).numpy()


def home_of(run: Path) -> Path | None:
    """The run folder of a run or of one of its phases; None for a model folder alone."""
    return next((place for place in (run, run.parent) if (place / "recipe.yaml").is_file()), None)


def opened(run: Path, settings: schema.Data) -> Dataset:
    """The run's images as they are now.

    Raises
    ------
    RequestError
        No run, or images that were moved or changed since.
    """
    home = home_of(run)
    if home is None:
        raise RequestError(
            f"{run}: is a model folder without its run, so no image of the run can check the export; name some with "
            "--images"
        )
    try:
        data = recorded.reopen(home, recorded.recipe_of(home))
    except RequestError as error:
        cure = "; or name other images for the check with --images"
        raise RequestError(*error.faults[:-1], f"{error.faults[-1]}{cure}") from error
    if data.images.shape[-1] != settings.cache_size:
        raise RequestError(
            f"{home}: its images are squares of {data.images.shape[-1]} pixels and the model reads "
            f"{settings.cache_size}; name images for the check with --images"
        )
    return data


def of_part(data: Dataset, parts: Sequence[str] = ("val", "test", "train")) -> Chosen:
    """Images of the first of `parts` that a run has.

    Raises
    ------
    RequestError
        It has none.
    """
    part = next((name for name in parts if len(data.rows(name))), None)
    if part is None:
        raise RequestError(
            f"the run has no image in its parts {', '.join(parts)}; name some with --images, and leave --int8 out"
        )
    rows = data.rows(part)
    return Chosen(Recorded(data, rows[spread(len(rows))]), _words(f"{WORDS[part]} images of the run", len(rows)))


def of_files(sources: Sequence[Path], settings: schema.Data) -> Chosen:
    """Images that a user names."""
    rows = given_rows(list(sources), None, "axial")
    kept = rows.iloc[spread(len(rows))].reset_index(drop=True)
    return Chosen(Files(kept["file"].tolist(), settings, pd.DataFrame()), _words("images that were named", len(rows)))


def spread(count: int, most: int = MOST) -> NDArray[np.int64]:
    """Places of at most `most` of `count` images, evenly from the first to the last.

    Examples
    --------
    >>> spread(3).tolist(), spread(9, 3).tolist()
    ([0, 1, 2], [0, 4, 8])
    """
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def fewer(chosen: Chosen, most: int) -> Chosen:
    """At most `most` of the images."""
    assert isinstance(chosen.pictures, Recorded), "images of a run"
    rows = chosen.pictures.chosen
    return replace(chosen, pictures=Recorded(chosen.pictures.data, rows[spread(len(rows), most)]))


def _words(what: str, count: int) -> str:
    return f"all {count} {what}" if count <= MOST else f"{MOST} of the {count} {what}"
