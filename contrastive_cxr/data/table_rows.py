"""The rows of somebody's table: chosen, their columns given the manifest's names, their files found."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from contrastive_cxr.data import columns, named_files, table_files
from contrastive_cxr.data.columns import SPLITS, Named
from contrastive_cxr.data.layouts import Found, allowed
from contrastive_cxr.data.listings import listing
from contrastive_cxr.data.owners import known_owners, unowned_words
from contrastive_cxr.data.tables import at_most
from contrastive_cxr.data.tree import ALLOW, links_out
from contrastive_cxr.errors import RequestError, nearest
from contrastive_cxr.recipe.schema import Cell, Source

RESERVED = ("root", "source")  # columns of the manifest that no table fills by a column of that name
SHOWN = 5


def read(root: str, source: Source) -> Found:
    """Rows of a table: path, label, patient, split and so on, as `data.columns` says or their names tell; the table's
    other columns under their own names.

    Raises
    ------
    RequestError
        The table cannot be read, a column is missing, or no row is left.
    """
    table = Path(root) / (source.csv or Path("labels.csv"))
    if not table.is_file():
        near = sorted(path.name for path in Path(root).iterdir() if path.name.lower().endswith(table_files.ENDINGS))
        raise RequestError(f"table {table} is missing; set data.csv to a table relative to {root}, which has {near}")
    opened = table_files.open_table(table, source.table)
    if opened.rows.empty:
        raise RequestError(f"{table} has no rows; give one row an image")
    named = columns.name_roles(opened.rows, source.columns, str(table))
    chosen, said = _where(opened.rows, source, str(table), named.faults)
    if named.faults:
        raise RequestError(*named.faults)
    rows, more = _left_out(_renamed(chosen, named, source), source, str(table))
    rows, owners = known_owners(rows, str(table)) if source.columns.recognise else (rows, [])
    rows, joined = _one_each(rows, source, str(table))
    faults = _row_faults(rows, str(table), source.outside)
    rows = _paths(rows, source)
    resolved = named_files.resolve(list(rows["path"]), listing(root))
    rows = rows.assign(path=resolved.paths)
    faults += [f"{table}: {fault}" for fault in resolved.faults]
    faults += _advice(rows, resolved.missing, root, named, chosen)
    rows, folders = _from_folders(rows, source, str(table))
    notes = [*opened.notes, *named.notes, *said, *more, *owners, *joined, *folders, *resolved.notes(str(table))]
    short = [note.replace(str(table), table.name) for note in notes]  # they go into reports
    unowned = () if "patient" in rows else unowned_words(chosen, named, table.name)
    faults += [] if source.outside else links_out(Path(root), rows["path"])
    return Found(rows, faults, tuple(short), unowned)


def text(value: Cell) -> str:
    """A value of a recipe as a table writes it: true, 1, 0.5."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _where(table: pd.DataFrame, source: Source, place: str, faults: list[str]) -> tuple[pd.DataFrame, list[str]]:
    """The rows that `data.where` chooses, and how many each column left; unknown columns and values go to `faults`."""
    kept, notes = table, []
    for column, given in source.where.items():
        if column not in table:
            faults.append(
                f"data.where: {place} has no column '{column}'{nearest(column, map(str, table))}; it has {list(table)}"
            )
            continue
        wanted = [text(value) for value in (given if isinstance(given, tuple) else (given,))]
        cells = kept[column].str.strip()
        words = cells.where(~cells.str.lower().isin(["true", "false"]), cells.str.lower())
        good = cells.isin(wanted) | words.isin(wanted) | columns.plain_numbers(cells).isin(wanted)
        if not good.any() and len(kept):
            there = [str(each) for each in cells.value_counts().index[:SHOWN]]
            faults.append(
                f"data.where: no row of {place} has {column} {' or '.join(repr(each) for each in wanted)}; the most "
                f"frequent values are {there}{nearest(wanted[0], there) if wanted else ''}"
            )
        notes.append(
            f"{place}: {good.sum():,} of {len(kept):,} rows have {column} {' or '.join(wanted)} (data.where); the "
            "others are left out"
        )
        kept = kept[good]
    return kept, notes


def _renamed(table: pd.DataFrame, named: Named, source: Source) -> pd.DataFrame:
    """The table with the manifest's columns first; the others keep their names, `label (table)` where that is taken."""
    roles = {role: given for role, given in named.roles.items() if given is not None and role not in ("file", "folder")}
    found = {"path": _files(table, named, source)}
    for role, given in roles.items():
        cells = columns.values(table, given)
        whole = source.columns.recognise and role in ("label", "patient", "study")
        found[role] = columns.plain_numbers(cells) if whole else cells
    if "label" not in found:
        found["label"] = pd.Series([""] * len(table), index=table.index, dtype=object)
    plain = {given for role, given in roles.items() if isinstance(given, str) and given.lower() == role}
    files = {each for each in columns.columns_of(named.roles["file"], table) if each == named.roles["file"]}
    for column in map(str, table):
        if column not in plain | files:
            found[f"{column} (table)" if column in RESERVED or column in found else column] = table[column]
    return pd.DataFrame(found)


def _files(table: pd.DataFrame, named: Named, source: Source) -> pd.Series[str]:
    """The files' names as the table says them, `data.columns.prefix` taken off and the row's folder put before."""
    names = columns.values(table, named.roles["file"])
    names = names.map(lambda name: name.removeprefix(source.columns.prefix))
    if named.roles["folder"] is None:
        return names
    folders = columns.values(table, named.roles["folder"])
    known = source.columns.folders
    strange = sorted(set(folders) - set(known)) if known else []
    if strange:
        raise RequestError(
            f"data.columns.folders says nothing of the values {strange[:SHOWN]} of data.columns.folder, only of "
            f"{list(known)}; name their folders too"
        )
    places = [known.get(folder, folder) for folder in folders]
    return pd.Series(
        [posixpath.join(place, name) if name else "" for place, name in zip(places, names, strict=True)],
        index=table.index,
        dtype=object,
    )


def _left_out(rows: pd.DataFrame, source: Source, place: str) -> tuple[pd.DataFrame, list[str]]:
    """The rows without the labels of `data.leave_out`, and how many of each were left out.

    Raises
    ------
    RequestError
        No row is left.
    """
    labels = [text(value) for value in source.leave_out]
    gone = rows["label"].isin(labels)
    if gone.all():
        raise RequestError(
            f"{place}: every one of the {len(rows)} rows has a label of data.leave_out {labels}, so "
            "none is left; take a label out of it"
        )
    counted = {label: int((rows["label"] == label).sum()) for label in labels}
    notes = [
        f"{place}: {number:,} rows {f'with the label {label!r}' if label else 'without a label'} are left out "
        f"(data.leave_out){'' if number else nearest(label, set(rows['label']))}"
        for label, number in counted.items()
    ]
    return rows[~gone], notes


def _one_each(rows: pd.DataFrame, source: Source, place: str) -> tuple[pd.DataFrame, list[str]]:
    """One row an image, the different values of its rows joined by `|`, where `data.repeated` asks for it."""
    if source.repeated != "join" or not rows["path"].duplicated().any():
        return rows, []
    again = rows["path"].duplicated(keep=False)
    groups = rows[again].groupby("path", sort=False)
    several = groups.agg(_together).reset_index()
    several.index = rows.index[again & ~rows["path"].duplicated()]
    joined = pd.concat([rows[~again], several])[list(rows)].sort_index()
    return joined, [
        f"{place}: {int(again.sum()):,} rows of {len(several):,} images are joined into one an image (data.repeated)"
    ]


def _together(cells: pd.Series[str]) -> str:
    """The different values of some cells, in their order, joined by `|`."""
    return "|".join(dict.fromkeys(cells))


def _row_faults(rows: pd.DataFrame, place: str, outside: bool) -> list[str]:
    """Faults of a table's cells, with the row's number counted from 1 below the header."""
    faults = []
    labelled = bool((rows["label"] != "").any())  # a table without labels is asked for them by its task
    bare = int((rows["label"] == "").sum()) if labelled else 0
    for number, path, label in zip(rows.index + 1, rows["path"], rows["label"], strict=True):
        if not path:
            faults.append(f"{place} row {number}: the file is empty; every row names an image")
        elif not allowed(path, outside):
            faults.append(
                f"{place} row {number}: file '{path}' is not inside the root; write it relative to the root, {ALLOW}"
            )
        if labelled and not label:
            faults.append(
                f"{place} row {number}: the label of '{path}' is empty; every image has a label, or leave such rows "
                f"({bare:,} in all) out with data.leave_out=\"['']\""
            )
    if "split" in rows and (rows["split"] != "").any():
        for number, word in zip(rows.index + 1, rows["split"], strict=True):
            if word.lower() not in SPLITS:
                right = nearest(word.lower(), SPLITS)
                faults.append(f"{place} row {number}: split '{word}' is not train, val, test or unused{right}")
    return at_most(faults)


def _paths(rows: pd.DataFrame, source: Source) -> pd.DataFrame:
    """The rows whose files may be read, with plain paths and the words of a split."""
    if "split" in rows:
        rows = rows.assign(split=[SPLITS.get(word.lower(), "") for word in rows["split"]])
    rows = rows[[allowed(path, source.outside) for path in rows["path"]]]
    return rows.assign(path=[posixpath.normpath(path) for path in rows["path"]])


def _advice(rows: pd.DataFrame, missing: Sequence[int], root: str, named: Named, table: pd.DataFrame) -> list[str]:
    """The setting by which the missing files would be found, where there is one; `table`: with the rows' index."""
    if not missing:
        return []
    lost = [rows["path"].iloc[number] for number in missing]
    prefix = named_files.below(lost, listing(root))
    if prefix:
        return [f"{len(lost)} files are there once '{prefix}' is taken off their names: data.columns.prefix={prefix}"]
    file, first = named.roles["file"], table.loc[rows.index[missing[0]]]
    for column in table if isinstance(file, str) and file in table else ():
        folder = str(first[column]).strip()
        if folder and "/" not in folder and listing(root)(folder):
            name = posixpath.normpath(posixpath.join(folder, lost[0]))
            if not named_files.resolve([name], listing(root)).missing:
                return [
                    f"the files are in the folders of the column '{column}': "
                    f"data.columns.file='{{{column}}}/{{{file}}}'"
                ]
    return []


def _from_folders(rows: pd.DataFrame, source: Source, place: str) -> tuple[pd.DataFrame, list[str]]:
    """Patients and studies that only the files' folders name (`patient00007/study1`), with a note of it."""
    notes: list[str] = []
    for role in ("patient", "study") if source.columns.recognise else ():
        found = None if role in rows else columns.from_folders(rows["path"], role)
        if found is not None:
            rows = rows.assign(**{role: found})
            notes.append(f"{place}: the {role} is read from the files' folders, such as '{found[0]}'")
    return rows, notes
