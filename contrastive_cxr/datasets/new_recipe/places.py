"""How images lie that somebody names: the data section of one place, or of several joined."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from contrastive_cxr import recipe as recipes
from contrastive_cxr.data import layouts, sources
from contrastive_cxr.data.tables import inner_tables
from contrastive_cxr.datasets.layout_detection import recognise
from contrastive_cxr.datasets.new_recipe import class_folders, label_columns, label_free, table_columns
from contrastive_cxr.datasets.new_recipe.guess import WITHOUT_LABELS, Guess, Tree, some
from contrastive_cxr.errors import RequestError, nearest_beside, raise_faults
from contrastive_cxr.recipe import schema

_REFUSED = "no recipe is written"


def guess(places: Sequence[Path | str], overrides: Sequence[str]) -> Guess:
    """The data section that reads `places`, without a split and sizes.

    Parameters
    ----------
    places : sequence of Path or URL
        Several are joined, and then each is guessed without `overrides`.
    overrides : sequence of str
        `data.key=value`: what is known already.

    Raises
    ------
    RequestError
        What was seen where a place cannot be read, and what to write by hand.
    """
    raise_faults(
        f"{place} does not exist{nearest_beside(place)}; give a folder, an archive or a table of images"
        for place in places
        if isinstance(place, Path) and not place.exists()
    )
    if len(places) == 1:
        return _told(places[0], list(overrides))
    return _joined([_told(place, []) for place in places])


def _told(place: Path | str, overrides: list[str]) -> Guess:
    """As `_of_place`; a fault says also what was seen and what to write by hand."""
    try:
        return _of_place(place, overrides)
    except RequestError as error:
        by_hand = [] if error.faults[-1].startswith("write by hand") else seen(str(place))
        raise RequestError(*error.faults, *by_hand) from None


def _of_place(place: Path | str, overrides: list[str]) -> Guess:
    """The settings of one source of images."""
    base = _layout(place, overrides)
    source = section(base, overrides)
    root = str(place) if source.root is None else str(source.root)
    found = Guess()
    if source.source == "csv":
        found = table_columns.guess(sources.root_of(source), source)
        found.reasons["csv"] = "the table of labels"
    elif source.source == "folders" and source.label_folders is None and source.columns.label is None:
        tree = layouts.folders(sources.root_of(source), source)
        bare = label_free.read(sources.root_of(source), source) if tree.faults and not len(tree.rows) else None
        raise_faults(tree.faults if bare is None else [])
        if bare is None:
            found = class_folders.guess(list(tree.rows["path"]), root)
        else:
            found.set("label_folders", 0, "the images lie in no folder that could be a class")
    elif source.source == "covid-ct":
        found.reasons["source"] = "the folders and lists of COVID-CT"
    base["root"] = str(Path(base["root"]).resolve()) if "://" not in base["root"] else base["root"]
    found.settings = {**base, **found.settings}
    found.reasons["root"] = "change it when the images move; a relative one starts at the folder of the command"
    return found


def _layout(place: Path | str, overrides: list[str]) -> Tree:
    """`source`, `root` and `csv`: as recognised; the one table of a folder without class folders."""
    if any(word.startswith("data.source=") for word in overrides):
        return {"root": str(place)}
    base: Tree = dict(recognise(place, overrides))
    if base["source"] != "folders" or not isinstance(place, Path) or not place.is_dir():
        return base
    tables = sorted(path.name for path in place.iterdir() if path.name.lower().endswith(inner_tables.ENDINGS))
    source = schema.Source.model_validate(base)
    labels = set() if not tables else set(layouts.folders(str(place.resolve()), source).rows["label"])
    clear = 1 < len(labels - {""}) <= label_columns.MOST_CLASSES
    if not tables or (clear and all(label.count("/") < class_folders.LEVELS for label in labels)):
        return base
    if len(tables) > 1:
        raise RequestError(
            f"{place} has {len(tables)} tables ({some(tables)}) and no class folders; {_REFUSED}",
            f"write by hand: give the table that is meant, such as ccxr init {place / tables[0]}",
        )
    return {"source": "csv", "root": str(place), "csv": tables[0]}


def _joined(guessed: list[Guess]) -> Guess:
    """Several sources as one, with the reasons and doubts of each."""
    found = Guess({"join": [each.settings for each in guessed]}, {"join": "the sources, each as it lies"})
    for number, each in enumerate(guessed):
        found.doubts += [f"source {number + 1}: {doubt}" for doubt in each.doubts]
    return found


def section(tree: Tree, overrides: Sequence[str]) -> schema.Data:
    """The data section of a tree with settings on top, checked as that of a recipe."""
    own = [f"data={json.dumps(tree)}", *([] if "split" in tree else ["data.split={}"]), *overrides]
    return recipes.load("chest/label-free", own).data


def seen(root: str) -> list[str]:
    """What lies in a place, and what to write by hand for it, as the last sentences of a refusal."""
    table = root.lower().endswith(inner_tables.ENDINGS)
    what = "a table, whose columns ccxr data look shows" if table else class_folders.seen(root)
    return [
        f"{_REFUSED}. Seen in {root}: {what}",
        "write by hand: CLASS/IMAGE folders, or a table with a column of files and one of labels, and give that to "
        f"ccxr init; or ccxr recipes copy own/table, and change what stands in it; {WITHOUT_LABELS}",
    ]
