"""A recipe for images that nobody has described: look, guess, try, and say why. Nothing is trained or asked."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contrastive_cxr import recipe as recipes
from contrastive_cxr import tasks
from contrastive_cxr.data import layouts, sources
from contrastive_cxr.data.manifest import Manifest
from contrastive_cxr.data.tables import inner_tables
from contrastive_cxr.datasets.layout_detection import recognise
from contrastive_cxr.datasets.new_recipe import class_folders, classes, division, recipe_text, table_columns
from contrastive_cxr.datasets.new_recipe.guess import Guess, Tree, some
from contrastive_cxr.datasets.new_recipe.start import Start
from contrastive_cxr.errors import RequestError, raise_faults
from contrastive_cxr.recipe import public_sets, schema

_REFUSED = "no recipe is written"


@dataclass(frozen=True)
class Proposal:
    """A recipe that loads, and why it is so.

    Attributes
    ----------
    text : str
        The file.
    found : list of (str, str)
        What was guessed and why, a line each: images, classes, patients, split, start.
    doubts : list of str
        What a person has to look at.
    notes : tuple of str
        What reading the images recognised, repaired or left out.
    folds : bool
        Whether there are so few patients that folds are advised.
    """

    text: str
    found: list[tuple[str, str]]
    doubts: list[str]
    notes: tuple[str, ...]
    folds: bool


def propose(places: Sequence[Path | str], overrides: Sequence[str] = (), *, out: Path) -> Proposal:
    """Look at folders, archives, URLs or tables of images and make a recipe for them.

    Up to 20,000 images are decoded, into the cache that training uses.

    Parameters
    ----------
    places : sequence of Path or URL
        Where the images are; several are joined.
    overrides : sequence of str
        `data.key=value`: what is known already, and not guessed.
    out : Path
        The file that the text is for; nothing is written.

    Raises
    ------
    RequestError
        What was seen where no recipe can be guessed, and what to write by hand.
    """
    faults = [f"{place} does not exist; give a folder, an archive or a table of images" for place in places
              if isinstance(place, Path) and not place.exists()]  # fmt: skip
    raise_faults(faults)
    alone = list(overrides) if len(places) == 1 else []
    guessed = [_told(place, alone) for place in places]
    images = guessed[0] if len(guessed) == 1 else _joined(guessed)
    data = _data(images.settings, overrides)
    rows = _read(data, places)
    name = _name(out)
    task = _task(rows, name, overrides)
    start = Start([str(place) for place in places], data, rows)
    decoding = start.decoding()
    data = _data({**decoding.settings, **images.settings}, overrides)
    split, divided = division.guess(data, tasks.Task.model_validate(task.settings), rows)
    _say_unreadable(images, divided.unreadable, len(rows))
    tree, reasons = start.sections(divided)
    _several_sources(rows, tree, reasons, task)
    section = {**images.settings, "split": split.settings, **decoding.settings}
    section = _data(section, overrides).model_dump(mode="json", exclude_unset=True)
    of_data = {**images.reasons, **decoding.reasons, **{f"split.{key}": words for key, words in split.reasons.items()}}
    reasons |= {f"data.{key}": words for key, words in of_data.items()}
    reasons |= {f"task.{key}": words for key, words in task.reasons.items()}
    whole = {"name": name, "data": section, "task": task.settings, **tree}
    folds = divided.smallest < division.SMALL
    text = recipe_text.write(_head(places, out, start, folds), whole, reasons)
    _check(text)
    found = [
        ("images", f"{len(rows):,}, {_where(section)}"),
        ("classes", task.reasons["classes"].removeprefix(classes.FORM).removeprefix("images: ")),
        ("patients", _patients(rows, images)),
        ("split", f"{split.settings['kind']}: {split.reasons['kind']}"),
        ("start", f"{start.name}, for {start.kind} ({start.why}); weights {reasons['model.weights']}"),
    ]
    return Proposal(text, found, [*images.doubts, *task.doubts, *split.doubts], rows.notes, folds)


def _told(place: Path | str, overrides: list[str]) -> Guess:
    """As `_of_place`; a fault says also what was seen and what to write by hand."""
    try:
        return _of_place(place, overrides)
    except RequestError as error:
        by_hand = [] if error.faults[-1].startswith("write by hand") else _seen(str(place))
        raise RequestError(*error.faults, *by_hand) from None


def _of_place(place: Path | str, overrides: list[str]) -> Guess:
    """The settings of one source of images."""
    base = _layout(place, overrides)
    source = _data(base, overrides)
    root = str(place) if source.root is None else str(source.root)
    found = Guess()
    if source.source == "csv":
        found = table_columns.guess(sources.root_of(source), source)
        found.reasons["csv"] = "the table of labels"
    elif source.source == "folders" and source.label_folders is None and source.columns.label is None:
        tree = layouts.folders(sources.root_of(source), source)
        raise_faults(tree.faults)
        found = class_folders.guess(list(tree.rows["path"]), root)
    elif source.source == "covid-ct":
        found.reasons["source"] = "the folders and lists of COVID-CT"
    base["root"] = str(Path(base["root"]).resolve()) if "://" not in base["root"] else base["root"]
    found.settings = {**base, **found.settings}
    found.reasons["root"] = "change it when the images move; a relative one starts at the folder of the command"
    return found


def _layout(place: Path | str, overrides: list[str]) -> Tree:
    """`source`, `root` and `csv`: as recognised; the one table of a folder without class folders, whatever its names."""
    if any(word.startswith("data.source=") for word in overrides):
        return {"root": str(place)}
    base: Tree = dict(recognise(place, overrides))
    if base["source"] != "folders" or not isinstance(place, Path) or not place.is_dir():
        return base
    tables = sorted(path.name for path in place.iterdir() if path.name.lower().endswith(inner_tables.ENDINGS))
    source = schema.Source.model_validate(base)
    labels = set() if not tables else set(layouts.folders(str(place.resolve()), source).rows["label"])
    clear = 1 < len(labels - {""}) <= table_columns.MOST_CLASSES
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


def _data(tree: Tree, overrides: Sequence[str]) -> schema.Data:
    """The data section of a tree with settings on top, checked as that of a recipe."""
    own = [f"data={json.dumps(tree)}", *([] if "split" in tree else ["data.split={}"]), *overrides]
    return recipes.load("chest/label-free", own).data


def _read(data: schema.Data, places: Sequence[Path | str]) -> Manifest:
    """The rows, those without a file too; faults with what was seen."""
    try:
        return sources.read_data(data.model_copy(update={"on_bad_image": "skip"}))
    except RequestError as error:
        raise RequestError(*error.faults, *(line for place in places for line in _seen(str(place)))) from None


def _seen(root: str) -> list[str]:
    what = class_folders.seen(root) if Path(root).is_dir() or "://" in root else "a table"
    return [
        f"{_REFUSED}. Seen in {root}: {what}",
        "write by hand: CLASS/IMAGE folders, or a table with a column of files and one of labels, and give that to ccxr "
        "init; or ccxr recipes copy own/table, and change what stands in it",
    ]


def _task(rows: Manifest, name: str, overrides: Sequence[str]) -> Guess:
    """The task: a public set's own, or over the labels."""
    named = next((word.partition("=")[2] for word in overrides if word.startswith("data.source=")), "")
    of_set = public_sets.page(named).tasks if named in public_sets.names() else {}
    if not of_set:
        return classes.guess(rows, name)
    first = next(iter(of_set))
    words = f"{classes.FORM}the task {named}/{first} of the public set"
    return Guess(dict(public_sets.task(f"{named}/{first}") or {}), {"classes": words})


def _say_unreadable(images: Guess, unreadable: int, count: int) -> None:
    if unreadable:
        images.set("on_bad_image", "skip", f"{unreadable:,} of {count:,} files cannot be read: ccxr data look names them")
        images.doubts.append(f"{unreadable:,} of {count:,} files cannot be read and are left out")
    elif count > division.OPENED:
        images.set("on_bad_image", "skip", f"not all of the {count:,} files were opened; refuse stops at a broken one")


def _several_sources(rows: Manifest, tree: Tree, reasons: dict[str, str], task: Guess) -> None:
    """Scores by source, and a doubt where a class comes from one source alone."""
    names = sorted(set(rows.column("source")))
    if len(names) < 2 or len(names) > table_columns.MOST_CLASSES:
        return
    tree["evaluation"] = {**tree.get("evaluation", {}), "subgroups": ["source"]}
    reasons["evaluation.subgroups"] = f"the images are of several sources, {some(names)}"
    made = tasks.Task.model_validate(task.settings)
    where: dict[str, set[str]] = {}
    for value, source in zip(_values(rows, made), rows.column("source"), strict=True):
        number = made.encode(value)
        if number is not None and number >= 0:
            where.setdefault(made.names[number], set()).add(str(source))
    for name, seen in where.items():
        if len(seen) == 1:
            task.doubts.append(
                f"class '{name}' comes from the source '{next(iter(seen))}' alone: a network can tell the source in its "
                "place; ccxr audit measures how far"
            )


def _values(rows: Manifest, task: tasks.Task) -> list[str]:
    cells = [rows.column(column) for column in task.read_columns]
    return [task.of_cells([str(cell) for cell in row]) for row in zip(*cells, strict=True)]


def _name(out: Path) -> str:
    """The experiment's name, from the file's."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", out.stem).strip("-") or "mine"


def _where(section: dict[str, Any]) -> str:
    joined = section.get("join")
    if joined:
        return f"{len(joined)} sources as one"
    words = {"csv": f"by the table {section.get('csv')}", "folders": "in class folders", "covid-ct": "as COVID-CT"}
    return f"{words.get(section.get('source', 'folders'), 'as data.source says')}, below {section.get('root')}"


def _patients(rows: Manifest, images: Guess) -> str:
    known = [patient for patient in rows.column("patient") if patient]
    if not known:
        return "not known: images of one patient may stand on both sides of the split (data.columns.patient names them)"
    words = images.reasons.get("columns.patient", "as the layout says")
    without = len(rows) - len(known)
    return f"{len(set(known)):,}{f', {without:,} images without' if without else ''}: {words}"


def _head(places: Sequence[Path | str], out: Path, start: Start, folds: bool) -> list[str]:
    """The comment at the top of the file."""
    more = " --folds 5" if folds else ""
    return [
        f"Written by ccxr init {' '.join(str(place) for place in places)}",
        "",
        f"  check      ccxr run {out} --dry-run",
        f"  train      ccxr run {out}{more}",
        "  change     any line; ccxr recipes fields SECTION says what each setting means and may be",
        "",
        f"Model and phases are those of {start.name}, for {start.kind} images ({start.why}),",
        "but for settings that the number and the size of the images change. Comments say why a setting is as it is.",
    ]


def _check(text: str) -> None:
    """The text loads as a recipe."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recipe.yaml"
        path.write_text(text, encoding="utf-8")
        recipes.load(path)


