"""What a set of images is like, from its rows and the facts that decoding kept: tables in, plain values out.

A survey's table has one row an image: the manifest's `path`, `root`, `label`, `patient`, `split`, `source`, and the
cache's `format`, `mode`, `width`, `height`, `bytes`, `digest`, `pad_*`, `error` ('' where the file could be read).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from contrastive_cxr.data.cache import Cache
from contrastive_cxr.data.manifest import Manifest

LISTED = 100  # labels, files or groups of one kind that are named; the rest is counted
SHORT = 20
QUANTILES = {"min": 0.0, "p5": 0.05, "p25": 0.25, "median": 0.5, "p75": 0.75, "p95": 0.95, "max": 1.0}
# Modes of Pillow and photometric words of DICOM with more than one channel.
CHANNELS = {"RGB": 3, "YCbCr": 3, "LAB": 3, "HSV": 3, "RGBA": 4, "CMYK": 4, "RGBX": 4, "LA": 2, "PA": 2}
BLOCK = 64  # images in memory at once

Floats = npt.NDArray[np.float64]


def table_of(manifest: Manifest, cache: Cache) -> pd.DataFrame:
    """The survey's table of a manifest and its decoded images, which count where a table has a column of that name."""
    rows = manifest.rows.drop(columns=[name for name in manifest.rows if name in cache.facts])
    return pd.concat([rows, cache.facts], axis=1)


def quantiles(values: npt.NDArray[Any]) -> dict[str, float] | None:
    """Smallest, 5, 25, 50, 75, 95 % and largest of float [n]; None without any."""
    if not len(values):
        return None
    found = np.quantile(np.asarray(values, dtype=np.float64), list(QUANTILES.values()))
    return dict(zip(QUANTILES, found.tolist(), strict=True))


def labels_of(table: pd.DataFrame) -> list[str]:
    """The labels, those with most images first; at most 100."""
    return [str(label) for label in table["label"].value_counts().index[:LISTED]]


def counts(table: pd.DataFrame) -> dict[str, Any]:
    """Images of each label: all, those that cannot be read, by split ('' none) and by source."""
    labels = labels_of(table)
    kept = table[table["label"].isin(labels)]
    by_split, by_source = (_crossed(kept["label"], kept[column]) for column in ("split", "source"))
    bad = (kept["error"] != "").groupby(kept["label"]).sum()
    return {
        "labels": {
            label: {
                "images": int((kept["label"] == label).sum()),
                "unreadable": int(bad[label]),
                "by_split": by_split[label],
                "by_source": by_source[label],
            }
            for label in labels
        },
        "more_labels": int(table["label"].nunique()) - len(labels),
    }


def kinds(table: pd.DataFrame) -> dict[str, dict[str, dict[str, int]]]:
    """`{format | mode | channels: {value: {label: images}}}` of the readable files."""
    good = _readable(table)
    channels = good["mode"].map(lambda mode: str(CHANNELS.get(mode, 1)))
    found = {}
    for name, values in (("format", good["format"]), ("mode", good["mode"]), ("channels", channels)):
        crossed = pd.crosstab(values, good["label"]).reindex(columns=labels_of(table), fill_value=0)
        found[name] = {
            str(value): {str(label): int(n) for label, n in row.items() if n} for value, row in crossed.iterrows()
        }
    return found


def sizes(table: pd.DataFrame) -> dict[str, Any]:
    """Width, height (pixels) and bytes of the readable files, over all and by label, and the most frequent sizes."""
    good = _readable(table)
    pairs = Counter(zip(good["width"].tolist(), good["height"].tolist(), strict=True))
    common = [{"width": width, "height": height, "images": n} for (width, height), n in pairs.most_common(10)]
    columns = ("width", "height", "bytes")
    return {
        "distinct": len(pairs),
        "common": common,
        "all": {name: quantiles(good[name].to_numpy()) for name in columns},
        "by_label": {
            label: {name: quantiles(part[name].to_numpy()) for name in columns}
            for label, part in _by_label(good, table)
        },
    }


def shapes(table: pd.DataFrame) -> dict[str, Any]:
    """Aspect ratios (width / height), and what a square costs.

    `lost` is 1 - short side / long side: the share of a padded square that is padding, and as well the share of the
    picture that a crop cuts away.

    Returns
    -------
    {aspect, lost, square: images within 1 % of square, by_label: {label: {aspect, lost}}}, each as `quantiles`
    """
    good = _readable(table)
    aspect, lost = aspects(good)
    return {
        "aspect": quantiles(aspect),
        "lost": quantiles(lost),
        "square": int((lost <= 0.01).sum()),
        "by_label": {
            label: {"aspect": quantiles(aspects(part)[0]), "lost": quantiles(aspects(part)[1])}
            for label, part in _by_label(good, table)
        },
    }


def aspects(table: pd.DataFrame) -> tuple[Floats, Floats]:
    """Width / height and 1 - short / long of readable files, float64 [n] each."""
    width, height = (table[name].to_numpy(dtype=np.float64) for name in ("width", "height"))
    return width / height, 1 - np.minimum(width, height) / np.maximum(width, height)


def patients(table: pd.DataFrame) -> dict[str, Any]:
    """Known patients, images of each, and those with several labels or in several splits."""
    known = table[table["patient"] != ""]
    groups = known.groupby("patient", sort=True)
    several = {}
    for column in ("label", "split"):
        words = known[known[column] != ""].groupby("patient", sort=True)[column].agg(lambda part: sorted(set(part)))
        odd = words[words.map(len) > 1]
        listed = [{"patient": str(name), column: list(found)} for name, found in odd.head(SHORT).items()]
        several[f"several_{column}s"] = {"count": len(odd), "listed": listed}
    return {
        "known": int(known["patient"].nunique()),
        "images_without": len(table) - len(known),
        "images_each": quantiles(groups.size().to_numpy()),
        **several,
    }


def copies(table: pd.DataFrame) -> dict[str, Any]:
    """Files with the same content: groups, images in them, groups with several labels, splits or sources."""
    good = _readable(table)
    again = good[good.duplicated("digest", keep=False)]
    groups = again.groupby("digest", sort=True)
    spread = {
        f"across_{column}s": int((again[again[column] != ""].groupby("digest")[column].nunique() > 1).sum())
        for column in ("label", "split", "source")
    }
    columns = ["path", "label", "split", "source"]
    worst = sorted(groups, key=lambda group: (-group[1]["label"].nunique(), -group[1]["split"].nunique(), group[0]))
    return {
        "groups": len(groups),
        "images": len(again),
        **spread,
        "listed": [part[columns].head(SHORT).to_dict("records") for _, part in worst[:SHORT]],
    }


def unreadable(table: pd.DataFrame) -> dict[str, Any]:
    """Files that are no image that can be used, and why."""
    bad = table[table["error"] != ""]
    return {"count": len(bad), "listed": bad[["path", "label", "source", "error"]].head(LISTED).to_dict("records")}


def grey_levels(cache: Cache) -> tuple[Floats, Floats]:
    """Mean and standard deviation of each image's grey levels, in 0..1, its padding left out.

    They are taken of the cached square, so a deviation is a little below that of the file's own pixels.

    Returns
    -------
    float64 [N], float64 [N]; nan where the file could not be read. Memory: 64 images at a time.
    """
    means, deviations = (np.full(len(cache.slots), np.nan) for _ in range(2))
    boxes = cache.facts[["pad_left", "pad_top", "pad_right", "pad_bottom"]].to_numpy(dtype=np.int64)
    # in the order that they lie on the disk
    rows = np.argsort(cache.slots, kind="stable")
    rows = rows[cache.slots[rows] >= 0]
    for start in range(0, len(rows), BLOCK):
        part = rows[start : start + BLOCK]
        for row, square in zip(part, cache.take(part)[:, 0], strict=True):
            left, top, right, bottom = boxes[row]
            inside = square[top : square.shape[0] - bottom, left : square.shape[1] - right]
            means[row], deviations[row] = inside.mean() / 255, inside.std() / 255
    return means, deviations


def contrast(table: pd.DataFrame, means: Floats, deviations: Floats) -> dict[str, Any]:
    """Grey levels by label: quantiles over images of their mean (brightness) and deviation (contrast), and blank ones.

    Parameters
    ----------
    means, deviations : float64 [N], as from `grey_levels`
    """
    good = np.isfinite(means)
    blank = good & (deviations == 0)
    label = table["label"].to_numpy()
    return {
        "by_label": {
            name: {
                "images": int((good & (label == name)).sum()),
                "mean": quantiles(means[good & (label == name)]),
                "sd": quantiles(deviations[good & (label == name)]),
            }
            for name in labels_of(table)
        },
        "blank": {"count": int(blank.sum()), "listed": table["path"][blank].head(SHORT).tolist()},
    }


def examples(table: pd.DataFrame, each: int, labels: Sequence[str], seed: int = 0) -> dict[str, list[int]]:
    """Rows of up to `each` readable images of a label, drawn with a fixed seed: neither the best nor the first."""
    order = np.random.default_rng(seed).permutation(np.flatnonzero((table["error"] == "").to_numpy()))
    label = table["label"].to_numpy()[order]
    return {name: sorted(order[label == name][:each].tolist()) for name in labels}


def _crossed(first: pd.Series[Any], second: pd.Series[Any]) -> dict[str, dict[str, int]]:
    """`{value of first: {value of second: rows}}`, with zeros."""
    crossed = pd.crosstab(first, second)
    values = [str(value) for value in crossed.columns]
    return {
        str(value): dict(zip(values, row, strict=True))
        for value, row in zip(crossed.index, crossed.to_numpy().tolist(), strict=True)
    }


def _readable(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["error"] == ""]


def _by_label(good: pd.DataFrame, table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    return [(label, good[good["label"] == label]) for label in labels_of(table)]
