"""Which stored values became black and white, and which pictures kept too few grey levels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from contrastive_cxr.data.dataset import Dataset
from contrastive_cxr.data.decoding.intensity import ENOUGH
from contrastive_cxr.data.files.addresses import parted

LISTED = 20  # ranges or files that are named; the rest is counted
SHORT = 3


def facts(table: pd.DataFrame) -> dict[str, Any]:
    """The ranges in use and the pictures that were squeezed.

    Parameters
    ----------
    table : DataFrame
        A row an image: `path`, `source`, `format`, `grey_low`, `grey_high`, `squeezed`; of readable files.

    Returns
    -------
    {ranges: [{source, format, low, high, images}] (the most frequent 20), more_ranges, squeezed: {images, listed:
    [{path, levels}] (those of fewest levels first)}}
    """
    keys = ["source", "format", "grey_low", "grey_high"]
    counted = table.groupby(keys, sort=True).size().sort_values(ascending=False, kind="stable")
    frequent = counted.head(LISTED).reset_index(name="images")
    found = [
        {"source": str(source), "format": str(form), "low": float(low), "high": float(high), "images": int(images)}
        for source, form, low, high, images in frequent.itertuples(index=False)
    ]
    bad = table[table["squeezed"] > 0].sort_values(["squeezed", "path"], kind="stable")
    listed = [
        {"path": str(path), "levels": int(levels)}
        for path, levels in bad[["path", "squeezed"]].head(LISTED).itertuples(index=False)
    ]
    return {
        "ranges": found,
        "more_ranges": max(0, len(counted) - LISTED),
        "squeezed": {"images": len(bad), "of": len(table), "listed": listed},
    }


def of_dataset(data: Dataset) -> dict[str, Any]:
    """The facts of a task's images."""
    return facts(pd.concat([data.manifest.rows[["path", "source"]], data.facts], axis=1))


def warning(found: Mapping[str, Any], kind: str) -> str:
    """What `facts` has to warn of, in a sentence with the cure; '' where nothing was lost.

    Parameters
    ----------
    kind : str
        `data.intensity.kind`.
    """
    squeezed = found["squeezed"]
    if not squeezed["images"]:
        return ""
    named = ", ".join(f"{each['path']} ({each['levels']})" for each in squeezed["listed"][:SHORT])
    named += " ..." if squeezed["images"] > SHORT else ""
    others = [word for word in ("min-max", "percentile") if word != kind]
    return (
        f"{squeezed['images']} of {squeezed['of']} images keep fewer than {ENOUGH} grey levels after "
        f"data.intensity.kind={kind}, and tell more apart in their files: {named}; set "
        f"data.intensity.kind={' or '.join(others)}, or a window that fits (kind=window low=... high=...)"
    )


def as_read(squeezed: Mapping[str, int], images: int) -> str:
    """What a model's way of reading leaves of somebody's files, in a sentence; '' where it leaves enough.

    Parameters
    ----------
    squeezed : {address: grey levels}
    images : int
        How many were read.
    """
    if not squeezed:
        return ""
    few = sorted(squeezed.items(), key=lambda each: (each[1], each[0]))
    named = ", ".join(f"{parted(path)[1]} ({levels})" for path, levels in few[:SHORT]) + " ..." * (len(few) > SHORT)
    return (
        f"{len(few)} of {images} images keep fewer than {ENOUGH} grey levels in the range that the model reads, and "
        f"tell more apart in their files: {named}; the model hardly sees what they show, so its answers on them mean "
        "little. Give files of the kind that it was trained on (units, bits, window)"
    )


def in_words(found: Mapping[str, Any]) -> list[str]:
    """The ranges, a line each: which values become black and white, in how many images."""
    lines = [
        f"{each['source']}, {each['format']}: {each['low']:g} to {each['high']:g} become 0 to 255 in "
        f"{each['images']:,} image{'s' * (each['images'] != 1)}"
        for each in found["ranges"]
    ]
    return [*lines, f"and {found['more_ranges']} more ranges"] if found["more_ranges"] else lines
