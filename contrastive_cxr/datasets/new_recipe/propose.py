"""A recipe for images that nobody has described: look, guess, try, and say why. Nothing is trained or asked."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contrastive_cxr import recipe as recipes
from contrastive_cxr import tasks
from contrastive_cxr.data import sources
from contrastive_cxr.data.manifest import Manifest
from contrastive_cxr.datasets.new_recipe import classes, division, label_columns, label_free, recipe_text
from contrastive_cxr.datasets.new_recipe import places as places_guess
from contrastive_cxr.datasets.new_recipe.guess import Guess, Tree, some
from contrastive_cxr.datasets.new_recipe.start import Start
from contrastive_cxr.errors import RequestError
from contrastive_cxr.recipe import public_sets, schema


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
    folds : int
        Folds that are advised where there are few patients; 0 where not.
    """

    text: str
    found: list[tuple[str, str]]
    doubts: list[str]
    notes: tuple[str, ...]
    folds: int


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
    images = places_guess.guess(places, overrides)
    data = places_guess.section(images.settings, overrides)
    rows = _read(data, places)
    name = _name(out)
    free = label_free.is_unlabelled(data, rows)
    task = label_free.task(images) if free else _task(rows, name, overrides)
    start = Start([str(place) for place in places], data, rows, labelled=not free)
    decoding = start.decoding()
    data = places_guess.section({**decoding.settings, **images.settings}, overrides)
    made = tasks.SHIPPED[label_free.TASK] if free else tasks.Task.model_validate(task.settings)
    split, divided = division.guess(data, made, rows)
    _say_unreadable(images, divided.unreadable, len(rows))
    tree, reasons = label_free.sections(start, divided) if free else start.sections(divided)
    if not free:
        _several_sources(rows, tree, reasons, made, task.doubts)
    section = {**images.settings, "split": split.settings, **decoding.settings}
    section = places_guess.section(section, overrides).model_dump(mode="json", exclude_unset=True)
    of_data = {**images.reasons, **decoding.reasons, **{f"split.{key}": words for key, words in split.reasons.items()}}
    reasons |= {f"data.{key}": words for key, words in of_data.items()}
    reasons |= {f"task.{key}".rstrip("."): words for key, words in task.reasons.items()}
    whole = {"name": name, "data": section, "task": label_free.TASK if free else task.settings, **tree}
    folds = division.folds_of(divided.smallest) if split.settings["kind"] == "fractions" and not free else 0
    text = recipe_text.write(_head(places, out, start, folds, free), whole, reasons)
    _check(text)
    found = [
        ("images", f"{len(rows):,}, {_where(section, free)}"),
        ("classes", task.reasons["classes"].removeprefix(classes.FORM).removeprefix("images: ")),
        ("patients", _patients(rows, images)),
        ("split", f"{split.settings['kind']}: {split.reasons['kind']}"),
        ("start", f"{start.name}, for {start.kind} ({start.why}); weights {reasons['model.weights']}"),
    ]
    return Proposal(text, found, [*images.doubts, *task.doubts, *split.doubts], rows.notes, folds)


def _read(data: schema.Data, places: Sequence[Path | str]) -> Manifest:
    """The rows, those without a file too; faults with what was seen."""
    try:
        return sources.read_data(data.model_copy(update={"on_bad_image": "skip"}))
    except RequestError as error:
        raise RequestError(
            *error.faults, *(line for place in places for line in places_guess.seen(str(place)))
        ) from None


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
        images.set(
            "on_bad_image", "skip", f"{unreadable:,} of {count:,} files cannot be read: ccxr data look names them"
        )
        images.doubts.append(f"{unreadable:,} of {count:,} files cannot be read and are left out")
    elif count > division.OPENED:
        images.set("on_bad_image", "skip", f"not all of the {count:,} files were opened; refuse stops at a broken one")


def _several_sources(rows: Manifest, tree: Tree, reasons: dict[str, str], made: tasks.Task, doubts: list[str]) -> None:
    """Scores by source, and a doubt where a class comes from one source alone."""
    names = sorted(set(rows.column("source")))
    if len(names) < 2 or len(names) > label_columns.MOST_CLASSES:
        return
    tree["evaluation"] = {**tree.get("evaluation", {}), "subgroups": ["source"]}
    reasons["evaluation.subgroups"] = f"the images are of several sources, {some(names)}"
    where: dict[str, set[str]] = {}
    for value, source in zip(_values(rows, made), rows.column("source"), strict=True):
        number = made.encode(value)
        if number is not None and number >= 0:
            where.setdefault(made.names[number], set()).add(str(source))
    for name, seen in where.items():
        if len(seen) == 1:
            doubts.append(
                f"class '{name}' comes from the source '{next(iter(seen))}' alone: a network can tell the source in "
                "its place; ccxr audit measures how far"
            )


def _values(rows: Manifest, task: tasks.Task) -> list[str]:
    cells = [rows.column(column) for column in task.read_columns]
    return [task.of_cells([str(cell) for cell in row]) for row in zip(*cells, strict=True)]


def _name(out: Path) -> str:
    """The experiment's name, from the file's."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", out.stem).strip("-") or "mine"


def _where(section: dict[str, Any], free: bool) -> str:
    joined = section.get("join")
    if joined:
        return f"{len(joined)} sources as one"
    if free:
        return f"without labels, below {section.get('root')}"
    words = {"csv": f"by the table {section.get('csv')}", "folders": "in class folders", "covid-ct": "as COVID-CT"}
    return f"{words.get(section.get('source', 'folders'), 'as data.source says')}, below {section.get('root')}"


def _patients(rows: Manifest, images: Guess) -> str:
    known = [patient for patient in rows.column("patient") if patient]
    if not known:
        return "not known: images of one patient may stand on both sides of the split (data.columns.patient names them)"
    words = images.reasons.get("columns.patient", "as the layout says")
    without = len(rows) - len(known)
    return f"{len(set(known)):,}{f', {without:,} images without' if without else ''}: {words}"


def _head(places: Sequence[Path | str], out: Path, start: Start, folds: int, free: bool) -> list[str]:
    """The comment at the top of the file."""
    more = f" --folds {folds}" if folds else ""
    return [
        f"Written by ccxr init {' '.join(str(place) for place in places)}",
        "",
        f"  check      ccxr run {out} --dry-run",
        f"  train      ccxr run {out}{more}",
        "  change     any line; ccxr recipes fields SECTION says what each setting means and may be",
        "",
        f"Model and phases are those of {start.name}, for {start.kind} images ({start.why}),",
        "but for settings that the number and the size of the images change. Comments say why a setting is as it is.",
        *(label_free.HEAD if free else ()),
    ]


def _check(text: str) -> None:
    """The text loads as a recipe."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recipe.yaml"
        path.write_text(text, encoding="utf-8")
        recipes.load(path)
