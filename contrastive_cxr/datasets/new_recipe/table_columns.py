"""Which column of a table is what, by its name and, where that says nothing, by what stands in it."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass

import pandas as pd

from contrastive_cxr.data.files import named_files
from contrastive_cxr.data.files.listings import listing
from contrastive_cxr.data.tables import columns, source_tables
from contrastive_cxr.data.tables.columns import Named
from contrastive_cxr.data.tables.patient_columns import looks_like_patients
from contrastive_cxr.datasets.new_recipe import label_columns
from contrastive_cxr.datasets.new_recipe.guess import Guess, some
from contrastive_cxr.errors import RequestError
from contrastive_cxr.recipe import schema

_SAMPLE = 60  # cells that are looked for among the files
_FEW_VALUES = 6  # of a column that says which rows have files


@dataclass(frozen=True)
class Table:
    """A table whose columns are to be guessed: its rows of str, its root, its name in sentences, and what is known."""

    rows: pd.DataFrame
    root: str
    place: str
    given: schema.Source


def guess(root: str, source: schema.Source) -> Guess:
    """The settings of `data` that read a table: columns, rows without a file left out, repeated rows joined.

    Parameters
    ----------
    root : str
        The folder, archive or URL that its files are relative to.
    source : schema.Source
        What is known of it already; columns that it names are kept.

    Raises
    ------
    RequestError
        The table cannot be read, or has no plausible column of files or labels: what was seen, what to write by hand.
    """
    opened = source_tables.opened(root, source_tables.local(source, root, None))
    table = Table(opened.rows, root, opened.short(opened.place), source)
    named = columns.name_roles(table.rows, source.columns, table.place)
    wrong = [fault for fault in named.faults if fault.startswith("data.columns.")]
    if wrong:
        raise RequestError(*wrong)
    found, roles = Guess(), Guess()
    _files(table, named, roles, found)
    _labels(table, named, roles)
    _empty(table, roles, found)
    _patients(table, named, roles)
    for role in ("study", "split", "source"):
        if named.roles[role] is not None and getattr(source.columns, role) is None:
            roles.set(role, named.roles[role], f"the column '{named.roles[role]}' of {table.place}")
    found.settings = {"columns": roles.settings, **found.settings}
    found.reasons |= {f"columns.{name}": words for name, words in roles.reasons.items()}
    found.doubts += roles.doubts
    return found


def seen(table: pd.DataFrame) -> str:
    """The columns of a table with how many values they have, and the first of them."""
    words = []
    for column in map(str, table):
        cells = [cell for cell in table[column].str.strip().unique() if cell]
        unit = "value" if len(cells) == 1 else "values"
        words.append(f"'{column}' ({len(cells):,} {unit}: {some([cell[:30] for cell in cells], 3)})")
    return "; ".join(words)


def _free(table: Table, named: Named, roles: Guess) -> list[str]:
    """The columns that no role is read from."""
    used = {column for role in named.roles.values() for column in columns.columns_of(role, table.rows)}
    used |= {column for role in roles.settings.values() for column in columns.columns_of(role, table.rows)}
    return [column for column in map(str, table.rows) if column not in used]


def _files(table: Table, named: Named, roles: Guess, found: Guess) -> None:
    """The column of files; what else is needed to find them."""
    said = named.roles["file"]
    if table.given.columns.file is not None or table.given.columns.folder is not None:
        return
    shares = {} if said is None else {str(said): _share(table, str(said))}
    if max(shares.values(), default=0.0) < 1.0:
        shares |= {column: _share(table, column) for column in _free(table, named, roles)}
    best = max(shares, key=lambda name: shares[name], default="")
    if shares.get(best, 0.0) == 0.0:
        with_prefix = _prefixed(table, shares)
        if with_prefix is None:
            _no_files(table, said)
            return
        best, prefix = with_prefix
        roles.set("prefix", prefix, f"the files' names in {table.place} begin with it, and the files are there without")
    roles.set("file", best, f"the cells of '{best}' are names of files that are there")
    _lost(table, best, roles, found)


def _no_files(table: Table, said: object) -> None:
    what = f"the column '{said}' looks like the files, but " if said is not None else ""
    raise RequestError(
        f"{table.place}: {what}no column names files that are below {table.root}. Seen: {seen(table.rows)}",
        "write by hand: data.root=FOLDER, the folder that the names are relative to, and data.columns.file=COLUMN or a "
        "pattern such as data.columns.file='{folder}/{filename}'; ccxr init takes them behind the table",
    )


def _share(table: Table, column: str) -> float:
    """The share of a column's cells, some over the whole table, that name a file below the root."""
    cells = columns.values(table.rows, column)
    names = [cell for cell in cells.iloc[:: max(1, len(cells) // _SAMPLE)] if _may_be_file(cell)]
    if not names or cells.nunique() < min(2, len(cells)):
        return 0.0
    resolved = named_files.resolve([posixpath.normpath(name) for name in names], listing(table.root))
    return 1 - (len(resolved.missing) + len(resolved.faults)) / len(names)


def _may_be_file(cell: str) -> bool:
    return bool(cell) and "\0" not in cell and len(cell) < 500 and not cell.startswith("/") and ".." not in cell


def _prefixed(table: Table, names: dict[str, float]) -> tuple[str, str] | None:
    """The column whose names are there without a common beginning, and that; None."""
    for column in names:
        cells = [cell for cell in columns.values(table.rows, column) if cell]
        prefix = named_files.below(cells, listing(table.root)) if cells and "/" in cells[0] else ""
        if prefix:
            return column, prefix
    return None


def _lost(table: Table, file: str, roles: Guess, found: Guess) -> None:
    """What is done about rows whose file is not there: the rows that a column's value divides from the others."""
    prefix = str(roles.settings.get("prefix", ""))
    cells = columns.values(table.rows, file).map(lambda name: posixpath.normpath(name.removeprefix(prefix)))
    again = int(cells.duplicated().sum())
    if again and table.given.repeated == "refuse":
        found.set("repeated", "join", f"{again:,} rows name an image again; its different values are joined by |")
    lost = pd.Series(False, index=cells.index)
    lost.iloc[named_files.resolve(list(cells), listing(table.root)).missing] = True
    if not lost.any() or table.given.where:
        return
    dividing: list[tuple[bool, int, str, list[str]]] = []
    for column in map(str, table.rows):
        values = columns.values(table.rows, column)
        there, away = set(values[~lost]), set(values[lost])
        if column != file and there and not there & away and len(there | away) <= _FEW_VALUES and "" not in there:
            dividing.append(("modality" not in column.casefold(), len(there | away), column, sorted(there)))
    if dividing:
        _, _, column, kept = min(dividing)
        words = f"the files of all {lost.sum():,} other rows are not there"
        found.set("where", {column: kept[0] if len(kept) == 1 else kept}, words)
        return
    found.set("on_bad_image", "skip", f"the files of {lost.sum():,} of {len(cells):,} rows are not there")
    found.doubts.append(f"{lost.sum():,} of {len(cells):,} files that {table.place} names are not there: left out")


def _labels(table: Table, named: Named, roles: Guess) -> None:
    """The column of labels, or nothing where findings stand in columns of their own."""
    if table.given.columns.label is not None:
        return
    said = named.roles["label"]
    free = _free(table, named, roles)
    known = [column for column in free if re.sub(r"[\W_]+", "", column.casefold()) in columns.USUAL["label"]]
    if said is not None and label_columns.is_label(table.rows, str(said)):
        return roles.set("label", said, f"the column '{said}' of {table.place}, by its name")
    plausible = [column for column in known if label_columns.is_label(table.rows, column)]
    if not plausible and len(label_columns.findings(table.rows, free)) > 1:
        return None
    if not plausible:
        few = [column for column in free if label_columns.is_label(table.rows, column)]
        plausible = [column for column in few if not label_columns.says_else(column)]
        known = [column for column in plausible if label_columns.of_class_words(table.rows, column)]
        plausible = known if len(known) == 1 else plausible
        if len(plausible) != 1:
            _no_label(table, said, plausible)
    first, *others = plausible
    roles.set("label", first, f"the column '{first}' of {table.place}, which has few different values")
    roles.doubts.append(
        f"the label is taken from the column '{first}'{f', not from {some(others)}' if others else ''}; another one "
        "is data.columns.label=COLUMN"
    )
    return None


def _empty(table: Table, roles: Guess, found: Guess) -> None:
    """Leave rows without a label out, where the others have one."""
    label = roles.settings.get("label")
    bare = 0 if label is None else int((columns.values(table.rows, label) == "").sum())
    if bare and not table.given.leave_out:
        found.set("leave_out", [""], f"{bare:,} of {len(table.rows):,} rows have no label")


def _no_label(table: Table, said: object, plausible: list[str]) -> None:
    if plausible:
        why = f"{len(plausible)} columns may be the label ({some(plausible)})"
    elif said is not None:
        count = columns.values(table.rows, str(said)).nunique()
        values = "one value" if count == 1 else f"{count:,} different values"
        why = f"the column '{said}' has {values} in {len(table.rows):,} rows, so it names no classes"
    else:
        why = "no column looks like a label: none has a usual name, and none has 2 to 20 different values"
    choice = plausible[0] if plausible else "COLUMN"
    raise RequestError(
        f"{table.place}: {why}. Seen: {seen(table.rows)}",
        f"write by hand: data.columns.label={choice!r} behind the table of ccxr init; where findings stand in columns "
        "of their own, task.findings in the recipe (docs/reference/tables.md)",
    )


def _patients(table: Table, named: Named, roles: Guess) -> None:
    """The column of patients; with its doubts, since a wrong one divides images of one patient."""
    if table.given.columns.patient is not None:
        return
    said = named.roles["patient"]
    if said is not None:
        return roles.set("patient", said, f"the column '{said}' of {table.place}, by its name")
    free = _free(table, named, roles)
    people = [column for column in looks_like_patients(table.rows, named) if column in free]
    study = named.roles["study"]
    if people:
        roles.set("patient", people[0], f"the column '{people[0]}' of {table.place} looks like it")
        roles.doubts.append(f"the patient is taken from the column '{people[0]}': check that it is the patient")
    elif isinstance(study, str):
        roles.set("patient", study, f"no column is the patient; images of one study ('{study}') stay together")
        roles.doubts.append(f"no patient is known; images of one study ('{study}') are kept together")
    return None
