"""The rows of a recipe in a folder of shards: slots and facts, as the decoded cache gives them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from contrastive_cxr.data.cache import FACTS, NO_FACTS, Cache
from contrastive_cxr.data.files.addresses import join
from contrastive_cxr.data.manifest import Manifest
from contrastive_cxr.data.shards import description, parquet_files
from contrastive_cxr.data.shards.store import ShardStore
from contrastive_cxr.errors import RequestError, raise_faults
from contrastive_cxr.recipe import schema

LISTED = 5
NOT_PACKED = "is not in the shards"


def faults(data: schema.Data) -> list[str]:
    """What is wrong with `data.shards`, its rows left aside; needs no torch. Empty where none are named."""
    if data.shards is None:
        return []
    try:
        parquet_files.require()
        found = description.read(str(data.shards))
    except RequestError as error:
        return list(error.faults)
    return list(description.faults(found, str(data.shards), data))


def keys(rows: pd.DataFrame, several: bool) -> list[str]:
    """What a row is known by wherever its folder is: its path, of several sources its source and path."""
    if not several:
        return list(rows["path"])
    return [f"{source}/{path}" for source, path in zip(rows["source"], rows["path"], strict=True)]


def opened(manifest: Manifest, data: schema.Data, wanted: NDArray[np.bool_]) -> Cache:
    """Find the squares of a manifest's rows in `data.shards`; no image is decoded, no shard is read.

    Parameters
    ----------
    manifest : Manifest
        `path`, `source` and `split` are read.
    data : schema.Data
        The decode settings, `shards`, `shuffle_buffer` and `shard_slices`.
    wanted : bool [N]
        Rows that have to be there. Others, and rows of no part (`unused`), may be missing; they have an error then.

    Raises
    ------
    RequestError
        The folder is of another format, other images or other settings, or lacks shards.
    """
    place = str(data.shards)
    raise_faults(faults(data))
    found = description.read(place)
    packed = parquet_files.table(join(place, description.ROWS))
    rows = pd.Index(packed["key"]).get_indexer(pd.Index(keys(manifest.rows, bool(data.join))))
    there, needed = rows >= 0, wanted & (manifest.column("split") != "unused")
    lacking = np.flatnonzero(~there & needed)
    if len(lacking):
        raise RequestError(_others(place, manifest.column("path")[lacking], int(needed.sum()), found.identity))
    lines = packed[list(FACTS)].to_numpy(dtype=object)
    facts = [tuple(lines[row]) if row >= 0 else (*NO_FACTS, NOT_PACKED) for row in rows]
    slots = np.where(there, packed["slot"].to_numpy(dtype=np.int64)[rows], -1)
    bad = np.flatnonzero((slots < 0) & there & needed)
    if len(bad) and data.on_bad_image == "refuse":
        raise RequestError(
            f"data.shards: {len(bad)} of the recipe's images could not be read when '{place}' was packed "
            f"({', '.join(manifest.column('path')[bad][:LISTED])}); leave them out with data.on_bad_image=skip"
        )
    store = ShardStore(place, found, data.shuffle_buffer, data.shard_slices, *_sums(packed, found.images))
    table = pd.DataFrame(facts, columns=list(FACTS), index=manifest.rows.index)
    return Cache(store, slots, table, 0, Path(place), schema.Intensity.model_validate(found.intensity))


def _sums(packed: pd.DataFrame, images: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sum of the pixels of each slot, and of their squares, int64 [M] each."""
    slots = packed["slot"].to_numpy(dtype=np.int64)
    sums = []
    for name in ("total", "squares"):
        each = np.zeros(images, dtype=np.int64)
        each[slots[slots >= 0]] = packed[name].to_numpy(dtype=np.int64)[slots >= 0]
        sums.append(each)
    return sums[0], sums[1]


def _others(place: str, paths: NDArray[np.object_], needed: int, identity: str) -> str:
    first = f"{', '.join(map(str, paths[:LISTED]))}{', ...' if len(paths) > LISTED else ''}"
    return (
        f"data.shards: '{place}' (digest {identity[:12]}) was packed from other images: {len(paths):,} of the recipe's "
        f"{needed:,} are not in it ({first}); pack this recipe's images into a new folder: {description.PACK}"
    )
