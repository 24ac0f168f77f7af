"""The rows of somebody's table: chosen, their columns given the manifest's names, their files found."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from contrastive_cxr.data.files import named_files
from contrastive_cxr.data.files.addresses import parted
from contrastive_cxr.data.files.listings import listing
from contrastive_cxr.data.files.tree import ALLOW, links_out
from contrastive_cxr.data.layouts import Found, allowed
from contrastive_cxr.data.tables import columns, kept_rows, merging, source_tables
from contrastive_cxr.data.tables.columns import SPLITS, Named
from contrastive_cxr.data.tables.patient_columns import known_owners, unowned_words
from contrastive_cxr.data.tables.text_tables import at_most
from contrastive_cxr.errors import RequestError, nearest, raise_faults
from contrastive_cxr.recipe.columns import Columns
from contrastive_cxr.recipe.source import Source

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
    opened = source_tables.opened(root, source)
    place = opened.place
    table = _chosen(opened.rows, root, source, place)
    rows, notes = _of_images(table, source, place)
    faults = _row_faults(rows, place, source.outside)
    rows = _paths(rows, source)
    resolved = named_files.resolve(list(rows["path"]), listing(root))
    rows = rows.assign(path=resolved.paths)
    faults += [f"{place}: {fault}" for fault in resolved.faults]
    faults += _advice(rows, resolved.missing, root, table.named, table.rows)
    rows, folders = _from_folders(rows, source, place)
    notes = [*opened.notes, *table.notes, *notes, *folders, *resolved.notes(place)]
    unowned = () if "patient" in rows else unowned_words(table.rows, table.named, opened.short(place))
    faults += [] if source.outside else links_out(Path(root), rows["path"])
    return Found(rows, faults, tuple(opened.short(note) for note in notes), unowned)


def of_folders(found: Found, root: str, source: Source) -> Found:
    """The images that class folders hold, with what `data.columns` reads from their names and `data.merge` adds.

    Raises
    ------
    RequestError
        A column is missing, or no row is left.
    """
    if found.faults or not any((source.where, source.leave_out, source.merge, source.columns != Columns())):
        return found
    place = parted(root.rstrip("/"))[1]
    files = found.rows.rename(columns={"path": "file"})
    table = _chosen(files if files["split"].any() else files.drop(columns="split"), root, source, place)
    rows, notes = _of_images(table, source, place)
    faults = _row_faults(rows, place, source.outside)
    unowned = () if "patient" in rows else unowned_words(table.rows, table.named, place)
    return Found(_paths(rows, source), faults, (*found.notes, *table.notes, *notes), unowned)


class _Chosen(NamedTuple):
    """The rows that are read, which column is what, and what was done to them in words."""

    rows: pd.DataFrame
    named: Named
    notes: list[str]


def _chosen(table: pd.DataFrame, root: str, source: Source, place: str) -> _Chosen:
    """The rows of `data.where` with the columns of `data.merge`; rows that are not read need no partner there."""
    faults: list[str] = []
    own = {column: value for column, value in source.where.items() if column in table or not source.merge}
    kept, notes = kept_rows.where(table, own, place, faults)
    merged = merging.merged(kept, source.merge, source.columns, root, place)
    raise_faults([*faults, *merged.faults] if merged.faults else [])
    named = columns.name_roles(merged.rows, source.columns, place)
    later = {column: value for column, value in source.where.items() if column not in own}
    chosen, said = kept_rows.where(merged.rows, later, place, faults)
    raise_faults([*named.faults, *faults])
    return _Chosen(chosen, named, [*notes, *merged.notes, *named.notes, *said])


def _of_images(table: _Chosen, source: Source, place: str) -> tuple[pd.DataFrame, list[str]]:
    """One row an image with the manifest's columns, the labels of `data.leave_out` left out."""
    rows, left = kept_rows.left_out(_renamed(table.rows, table.named, source), source, place)
    rows, owners = known_owners(rows, place) if source.columns.recognise else (rows, [])
    rows, joined = kept_rows.one_each(rows, source, place)
    return rows, [*left, *owners, *joined]


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
