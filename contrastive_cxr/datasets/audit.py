"""The audit: copies, leaks and shortcuts in sets of images, before anything is trained on them."""

from __future__ import annotations

import io
import shlex
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from contrastive_cxr import recipe as recipes
from contrastive_cxr import terminal
from contrastive_cxr.audit import associations, blind, links, mended, spread_links
from contrastive_cxr.audit.candidates import Ints
from contrastive_cxr.audit.groups import CLASS
from contrastive_cxr.audit.links import Links
from contrastive_cxr.audit.verdict import verdict
from contrastive_cxr.data import cache, manifest, sources, survey
from contrastive_cxr.data.dataset import Dataset
from contrastive_cxr.data.files.addresses import of_path
from contrastive_cxr.data.manifest import Manifest
from contrastive_cxr.data.squares import Squares
from contrastive_cxr.datasets import look
from contrastive_cxr.datasets.audit_facts import classes_of, facts_of
from contrastive_cxr.errors import RequestError
from contrastive_cxr.files import write_bytes
from contrastive_cxr.metrics import baselines
from contrastive_cxr.recipe import schema
from contrastive_cxr.recipe.text.audit_command import FIXED
from contrastive_cxr.report.pages import audit_page
from contrastive_cxr.run import folder as folders
from contrastive_cxr.spread import Engine
from contrastive_cxr.tasks import Task

EMBEDDED = Engine()
NEIGHBOURS = 5  # proposals of an embedding, an image


def audit(
    places: Sequence[Path],
    out: Path,
    overrides: Sequence[str] = (),
    *,
    recipe: str | None = None,
    run: Path | None = None,
    fix: Path | None = None,
    progress: cache.Progress | None = None,
    engine: Engine = EMBEDDED,
) -> dict[str, Any]:
    """Audit the images below `places`, and write `audit.json` and `audit.html` into `out`.

    Images are decoded into the same cache that a training uses; all else works on that.

    Parameters
    ----------
    places : sequence of Path
        Folders whose layout is recognised (COVID-CT lists, a table of labels, class folders), CSV tables, or one run
        folder: its images as it divided them.
    out : Path
        Folder to write; an earlier audit there is replaced.
    overrides : sequence of str
        `data.key=value`, as in a recipe; `task=...` gives the classes by which labels of copies are compared.
    recipe : str, optional
        A recipe whose data section and task are used, with the one place as its `data.root`.
    run : Path, optional
        A run whose embedding proposes pairs too.
    fix : Path, optional
        CSV table to write, in which copies count as one patient; an existing file is refused.
    progress : callable, optional
        Called with (done, to do) while images are decoded.
    engine : Engine
        Of Ray: workers decode, encode (with `run`) and look for copies; they have to see the cache.

    Returns
    -------
    dict
        The contents of `audit.json` (docs/reference/audit.md).

    Raises
    ------
    RequestError
        No such place, no layout that is known, no readable image, or a setting that is wrong.
    """
    _check(out, fix)
    terminal.stage("reading folders and tables")
    data, task, rows, faults = _rows_of(places, overrides, recipe)
    if run is not None:
        terminal.stage("loading the run's model")
    model = _load(run)
    with _workers(engine) as spread:
        terminal.stage("decoding")
        cached = cache.build(rows, data, progress, spread)
        table = _of_files(survey.table_of(rows, cached))
        if task is not None:
            table[CLASS] = classes_of(rows, task)
        good = np.flatnonzero(table["error"] == "")
        if not len(good):
            raise RequestError(f"none of the {len(table)} images can be read; `ccxr data look` says why")
        bad, table = survey.unreadable(table), table.iloc[good].reset_index(drop=True)
        images = Squares(cached.images, cached.slots[good])
        found = _links(images, table, model, spread)
    terminal.stage("leaks and links with the label")
    facts, gathered = facts_of(table, found, bad)
    facts["command"] = _again(places, overrides, recipe, run)
    owner = mended.owners(table, found)
    terminal.stage("shortcuts of files and metadata")
    thumbnails = baselines.thumbnails(images)
    facts["associations"] = associations.with_label(table, owner)
    facts["shift"] = associations.shifts(table, owner, thumbnails)
    terminal.stage("blind baselines")
    facts["baselines"] = blind.blind(table, images, owner)
    facts |= {"faults": faults, "verdict": verdict(facts)}
    facts = dict(folders.plain(facts))
    terminal.stage("writing the page")
    page = audit_page.page(facts, _pictures(images, table, gathered))
    if fix is not None:
        facts["fix"] = _write_fix(fix, table, found, gathered)
    folders.write_json(out / "audit.json", facts)
    folders.write_text(out / "audit.html", page)
    return facts


def of_dataset(dataset: Dataset, out: Path | None = None, command: str = "") -> dict[str, Any]:
    """The facts of `audit.json` for an opened data set, divided as it is: copies, patients, metadata, and the verdict.

    Blind baselines and pictures are left to the report, which has its own. A few seconds for 5,000 images.

    Parameters
    ----------
    dataset : Dataset
        Its manifest, split, cached squares and facts are read; rows that take no part (`unused`) are left out.
    out : Path, optional
        A run's folder, that gets `audit.json`.
    command : str
        The command that writes a table in which copies count as one patient (`recipe.text.audit_command`).
    """
    rows = np.flatnonzero(dataset.split != "unused")
    classes = np.array(dataset.classes, dtype=object)[dataset.labels]
    known = dataset.manifest.rows.assign(split=dataset.split.astype(object), error="", **{CLASS: classes})
    facts_of_files = dataset.facts.drop(columns="error", errors="ignore")
    table = _of_files(pd.concat([known, facts_of_files], axis=1)).iloc[rows].reset_index(drop=True)
    terminal.stage("copies of images")
    found = links.find(dataset.images.by_slot, dataset.images.slots[rows], table)
    terminal.stage("leaks and links with the label")
    facts, _ = facts_of(table, found, {"count": len(dataset.skipped), "listed": []})
    facts["command"] = command
    owner = mended.owners(table, found)
    terminal.stage("shortcuts of files and metadata")
    facts["associations"] = associations.with_label(table, owner)
    facts["shift"] = associations.shifts(table, owner, None)
    facts["baselines"] = []
    facts |= {"faults": [], "verdict": verdict(facts)}
    facts = dict(folders.plain(facts))
    if out is not None:
        folders.write_json(out / "audit.json", facts)
    return facts


def _check(out: Path, fix: Path | None) -> None:
    faults = []
    if out.exists() and not out.is_dir():
        faults.append(f"--out {out}: is a file; name a folder for the page")
    if fix is not None and fix.exists():
        faults.append(f"--fix {fix}: there is such a file; name a new one")
    if fix is not None and fix.suffix.lower() != ".csv":
        faults.append(f"--fix {fix}: the table is a CSV file; end its name in .csv")
    if faults:
        raise RequestError(*faults)


def _rows_of(
    places: Sequence[Path], overrides: Sequence[str], recipe: str | None
) -> tuple[schema.Data, Task | None, Manifest, list[str]]:
    """The data section, the task where one is given, the rows, and what a training would refuse of them."""
    runs = [place for place in places if (place / folders.MARK).is_file()]
    if not runs:
        said = recipe is not None or any(word.startswith(("task=", "task.")) for word in overrides)
        found = look.recipe_of(places, overrides, recipe)
        data = found.data.model_copy(update={"on_bad_image": "skip"})
        return data, found.task if said else None, *sources.rows_of(data)
    if len(places) > 1 or recipe is not None:
        raise RequestError(
            f"{runs[0]} is a run, which is audited alone; give its data's folders to audit several sources"
        )
    found = recipes.load(str(runs[0] / folders.MARK), list(overrides))
    data = found.data.model_copy(update={"on_bad_image": "skip"})
    return data, found.task, manifest.read(runs[0] / "manifest.csv"), []


def _again(places: Sequence[Path], overrides: Sequence[str], recipe: str | None, run: Path | None) -> str:
    """This audit as a command that also writes the mended table."""
    options = [*(("--recipe", recipe) if recipe else ()), *(("--run", str(run)) if run else ())]
    return shlex.join(["ccxr", "audit", *map(str, places), *overrides, *options, "--fix", FIXED])


def _of_files(table: pd.DataFrame) -> pd.DataFrame:
    """The table with what the files themselves say, where the data has a column of the same name."""
    return table.loc[:, ~table.columns.duplicated(keep="last")]


def _load(run: Path | None) -> Any:
    """The model of a run, which brings in torch; None without one."""
    if run is None:
        return None
    from contrastive_cxr.retrieval import EmbeddingModel

    return EmbeddingModel.load(run)


def _workers(engine: Engine) -> AbstractContextManager[Any]:
    """The cluster of an engine; None where the work is done here."""
    if not engine.is_ray:
        return nullcontext()
    from contrastive_cxr.distributed import connected

    return connected(engine)


def _links(images: Squares, table: pd.DataFrame, model: Any, spread: Any) -> Links:
    """The copies among the images; those that are near in a model's embedding are looked at too."""
    if model is not None:
        terminal.stage("neighbours in the run's embedding")
    more = None if model is None else _neighbours(model, table, spread)
    terminal.stage("copies of images")
    if spread is None:
        return links.find(images.by_slot, images.slots, table, more)
    return spread_links.find(images.by_slot, images.slots, table, more, spread)


def _neighbours(model: Any, table: pd.DataFrame, cluster: Any) -> tuple[Ints, Ints]:
    """Each row and its nearest ones in the model's embedding, int64 [K] twice."""
    from contrastive_cxr.metrics import neighbours

    files = [Path(root) / path for root, path in zip(table["root"], table["path"], strict=True)]
    if cluster is None:
        vectors = model.embed(files)
    else:
        from contrastive_cxr.retrieval import spread_model

        vectors = spread_model.vectors(cluster, model, [of_path(file) for file in files])
    ids = np.arange(len(vectors))
    near, _ = neighbours.search(vectors, vectors, NEIGHBOURS, gallery_ids=ids, query_ids=ids)
    first = np.repeat(ids, near.shape[1])
    return first[near.ravel() >= 0], near.ravel()[near.ravel() >= 0]


def _pictures(images: Squares, table: pd.DataFrame, gathered: Sequence[dict[str, Any]]) -> list[list[Any]]:
    """Squares of the first images of the first groups without their padding, uint8 [h, w]."""
    pads = table[["pad_left", "pad_top", "pad_right", "pad_bottom"]].to_numpy(dtype=np.int64)
    size = images.shape[-1]
    found = []
    for each in gathered[: audit_page.GROUPS]:
        rows = np.array(each["rows"][: audit_page.EACH])
        squares = zip(images[rows][:, 0], pads[rows], strict=True)
        found.append(
            [square[top : size - bottom, left : size - right] for square, (left, top, right, bottom) in squares]
        )
    return found


def _write_fix(fix: Path, table: pd.DataFrame, found: Links, gathered: list[dict[str, Any]]) -> dict[str, str]:
    """Write the mended table; how to read it."""
    root, rows = mended.mended(table, found, gathered)
    text = io.StringIO()
    rows.to_csv(text, index=False, lineterminator="\n")
    write_bytes(fix, text.getvalue().encode())
    words = shlex.join(
        ["data.source=csv", f"data.root={root}", f"data.csv={fix.resolve()}", "data.split.kind=fractions"]
    )
    return {"file": str(fix), "root": root, "settings": words}


def audit_tables(facts: dict[str, Any]) -> list[Any]:
    """The tables of an audit, as the terminal and the page show them."""
    return audit_page.tables(facts)
