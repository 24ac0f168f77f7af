"""The first look at images: what is there, what is odd, and what a training would refuse. Nothing is trained."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from contrastive_cxr import recipe as recipes
from contrastive_cxr.data import cache, sources, survey
from contrastive_cxr.data.decoding import grey_levels
from contrastive_cxr.data.decoding.decode import DecodeError, decode, fit_square
from contrastive_cxr.data.manifest import COLUMNS, Manifest
from contrastive_cxr.datasets.layout_detection import recognise, tables_beside
from contrastive_cxr.errors import RequestError, raise_faults
from contrastive_cxr.recipe import schema
from contrastive_cxr.report.pages import look_page
from contrastive_cxr.report.pages.compare_page import Table
from contrastive_cxr.run import folder as folders

VERSION = 1
EACH = 10  # examples of a label
SHEETS = 12  # labels with examples
_ANY = "chest/label-free"  # a shipped recipe that takes any labels: the door to the data section's own checks


def look(
    places: Sequence[Path | str],
    out: Path,
    overrides: Sequence[str] = (),
    *,
    recipe: str | None = None,
    progress: cache.Progress | None = None,
) -> dict[str, Any]:
    """Look at the images below `places`, and write `data-look.json` and `data-look.html` into `out`.

    Images are decoded into the same cache that a training uses, and measured there: memory does not grow with their
    number. A file that cannot be read is a line in the page.

    Parameters
    ----------
    places : sequence of Path
        Folders whose layout is recognised (COVID-CT lists, a table of labels, class folders), or CSV tables.
    out : Path
        Folder to write; an earlier look there is replaced.
    overrides : sequence of str
        `data.key=value`, as in a recipe.
    recipe : str, optional
        A recipe whose data section is used, with the one place as its `data.root`.
    progress : callable, optional
        Called with (done, to do) while images are decoded.

    Returns
    -------
    dict
        The contents of `data-look.json` (docs/reference/studies.md).

    Raises
    ------
    RequestError
        No such place, no layout that is known, no image at all, or a setting that is wrong.
    """
    if out.exists() and not out.is_dir():
        raise RequestError(f"--out {out}: is a file; name a folder for the page")
    data = settings(places, overrides, recipe).model_copy(update={"on_bad_image": "skip"})
    manifest, faults = sources.rows_of(data)
    cached = cache.build(manifest, data, progress)
    table = survey.table_of(manifest, cached)
    means, deviations = survey.grey_levels(cached)
    grey = grey_levels.facts(table[table["error"] == ""])
    # what is decoded again for the page is read by the same ranges
    data = data.model_copy(update={"intensity": cached.intensity})
    facts: dict[str, Any] = {
        "version": VERSION,
        "sources": sorted(set(table["source"])),
        "layout": [each.source for each in data.join or (data,)],
        "cache_size": data.cache_size,
        "images": len(table),
        "counts": survey.counts(table),
        "sizes": survey.sizes(table),
        "shapes": survey.shapes(table),
        "kinds": survey.kinds(table),
        "contrast": survey.contrast(table, means, deviations),
        "grey": {
            "kind": data.intensity.kind,
            **grey,
            "words": grey_levels.in_words(grey),
            "warning": grey_levels.warning(grey, data.intensity.kind),
        },
        "patients": survey.patients(table),
        "copies": survey.copies(table),
        "unreadable": survey.unreadable(table),
        "faults": faults,
        "notes": [*manifest.notes, *tables_beside(data), *_without_labels(table, manifest)],
    }
    facts = dict(folders.plain(facts))
    shown = survey.labels_of(table)[:SHEETS]
    rows = survey.examples(table, EACH, shown)
    pictures = {
        label: [(table["path"][row], cached.take(np.array([row]))[0, 0]) for row in chosen]
        for label, chosen in rows.items()
    }
    page = look_page.page(facts, pictures, squares(table, data), measures(table, means, deviations, shown))
    folders.write_json(out / "data-look.json", facts)
    folders.write_text(out / "data-look.html", page)
    return facts


def _without_labels(table: pd.DataFrame, manifest: Manifest) -> list[str]:
    """A note where no image has a label, so that every task but a label-free one would be refused."""
    if (table["label"] != "").any():
        return []
    names = [column for column in manifest.rows if column not in COLUMNS]
    return [
        f"no image has a label: no column is known as one{f' among {names}' if names else ''}; name it with "
        "data.columns.label=COLUMN, or make classes from findings with task.findings in the recipe"
    ]


def look_tables(facts: dict[str, Any]) -> list[Table]:
    """The tables of a look, as the terminal and the page show them."""
    return look_page.tables(facts)


def settings(places: Sequence[Path | str], overrides: Sequence[str], recipe: str | None) -> schema.Data:
    """The data section that reads `places`: recognised, or a recipe's, with overrides on top; raises as `recipe_of`."""
    return recipe_of(places, overrides, recipe).data


def recipe_of(places: Sequence[Path | str], overrides: Sequence[str], recipe: str | None) -> schema.Recipe:
    """The recipe whose data section reads `places`: recognised, or the one that is named, with overrides on top.

    Raises
    ------
    RequestError
        Every place that is missing or of no known layout, every override that is wrong.
    """
    faults = [
        f"{place} does not exist; give a folder or archive of images, or a CSV table"
        for place in places
        if isinstance(place, Path) and not place.exists()
    ]
    if not places:
        faults.append("no source is given; name a folder of images or a CSV table")
    raise_faults(faults)
    if recipe is not None:
        if len(places) > 1:
            raise RequestError(f"--recipe reads one source, and {len(places)} are given; look at one at a time")
        return recipes.load(recipe, [f"data.root={json.dumps(str(places[0]))}", *overrides])
    if any(word.startswith("data.join=") for word in overrides):  # the sources are said one by one
        return recipes.load(_ANY, ["data={}", "data.split={}", *overrides])
    named = any(word.startswith("data.source=") for word in overrides)
    found = [{"root": str(place)} if named else recognise(place, overrides) for place in places]
    tree: dict[str, Any] = found[0] if len(found) == 1 else {"join": found}
    own = [f"data={json.dumps(tree)}", "data.split={}", *overrides]
    return recipes.load(_ANY, own)


def squares(table: pd.DataFrame, data: schema.Data) -> list[look_page.Squares]:
    """The narrowest, a middle and the widest picture, made square in each way; without those that are square."""
    good = table[table["error"] == ""]
    if good.empty:
        return []
    order = np.argsort(survey.aspects(good)[0], kind="stable")
    found = []
    for row in dict.fromkeys((int(order[0]), int(order[len(order) // 2]), int(order[-1]))):
        line = good.iloc[row]
        try:
            grey = decode(Path(line["root"]) / line["path"], data, line["source"]).grey
        except DecodeError:
            continue  # it was there a moment ago
        ways = {way: fit_square(grey, look_page.SIDE, way)[0] for way in ("pad", "crop", "stretch")}
        if all(np.array_equal(made, ways["pad"]) for made in ways.values()):
            continue  # it is square already
        found.append(look_page.Squares(line["path"], f"{line['width']} x {line['height']}", ways))
    return found


def measures(
    table: pd.DataFrame, means: survey.Floats, deviations: survey.Floats, labels: Sequence[str]
) -> dict[str, dict[str, survey.Floats]]:
    """Per label what the figures draw: width, height, aspect, mean, sd of its readable images."""
    found = {}
    for label in labels:
        rows = np.flatnonzero(((table["label"] == label) & (table["error"] == "")).to_numpy())
        part = table.iloc[rows]
        found[label] = {
            "width": part["width"].to_numpy(dtype=np.float64),
            "height": part["height"].to_numpy(dtype=np.float64),
            "aspect": survey.aspects(part)[0],
            "mean": means[rows],
            "sd": deviations[rows],
        }
    return found
