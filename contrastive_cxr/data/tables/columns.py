"""Which column of somebody's table is what: as `data.columns` says, else by the names that such columns have."""

from __future__ import annotations

import difflib
import re
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field

import pandas as pd

from contrastive_cxr.errors import nearest
from contrastive_cxr.recipe.columns import Columns, Part, Role

Series = pd.Series  # of str
SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "validate": "val"}
SPLITS |= {"test": "test", "testing": "test", "unused": "unused"}
# The names that were always read; everything else is recognised where data.columns.recognise allows it.
PLAIN = {
    "file": ("file", "filename", "path", "image"),
    "label": ("label",),
    "patient": ("patient",),
    "split": ("split",),
}
# Usual names, without case, blanks and marks; the first that a table has counts.
USUAL = {
    "file": (
        *PLAIN["file"], "filepath", "imagepath", "imagefile", "imagename", "imageindex", "imageid", "img", "imgpath",
        "imgname", "fname", "relativepath", "dicompath", "imagefilename", "files", "images", "paths",
        "dateiname", "imagen", "archivo", "fichier",
    ),
    "label": (
        "label", "labels", "finding", "findings", "findinglabels", "class", "classname", "diagnosis", "category",
        "target", "disease", "pathology",
    ),
    "patient": (
        "patient", "patientid", "patientidentifier", "patientno", "patientnumber", "patientkey", "patientuid",
        "patientname", "patients", "subject", "subjectid", "subjectno", "subjectnumber", "subjects", "participant",
        "participantid", "personid", "pid", "mrn", "anonpatientid", "patid",
        "patientnr", "patientcode", "idpatient", "patienten", "patientenid", "patientennr", "patientennummer",
        "paciente", "idpaciente", "pacienteid",
    ),
    "study": (
        "study", "studyid", "studyuid", "studyinstanceuid", "studyinstance", "accession", "accessionnumber",
        "accessionno", "exam", "examid", "session", "sessionid",
    ),
    "split": ("split", "splits", "subset", "partition", "datasplit", "dataset", "set", "fold"),
}  # fmt: skip
FOLDERS = {
    "patient": r"(?i)(?:^|/)((?:patient|subject|pat|sub)[-_ ]?\d+)(?=/)",
    "study": r"(?i)(?:^|/)(study[-_ ]?\d+)(?=/)",
}
_FIELD = re.compile(r"\{([^{}]+)\}")
_BEGINNING = re.compile(r"(.+):\.(\d+)")
_WHOLE = re.compile(r"-?\d+\.0+")


@dataclass(frozen=True)
class Named:
    """Which column or pattern each role is read from; what was recognised, in words; and what is wrong."""

    roles: dict[str, Role]
    notes: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def name_roles(table: pd.DataFrame, wanted: Columns, place: str) -> Named:
    """Find the column of each role.

    Parameters
    ----------
    table : DataFrame of str
    wanted : Columns
        `data.columns`.
    place : str
        What the table is called in sentences.
    """
    columns = [str(column) for column in table]
    found = Named({role: getattr(wanted, role) for role in ("file", "label", "patient", "study", "split", "source")})
    found.roles["folder"] = wanted.folder
    for role, given in found.roles.items():
        found.faults.extend(unknown(role, given, columns, place))
    words = USUAL if wanted.recognise else PLAIN
    for role in words:
        if found.roles[role] is None:
            _recognise(found, role, words[role], table, place)
    if found.roles["file"] is None and not found.faults:
        found.faults.append(
            f"{place} has no column that is known to name the images; it has {columns}"
            f"{nearest('file', columns)}; write data.columns.file=COLUMN, or a pattern such as "
            "data.columns.file='{folder}/{filename}'"
        )
    return found


def is_of_images(table: pd.DataFrame) -> bool:
    """Whether a table has a column of files and one of labels, by their usual names."""
    return names_files(table) and not {_bare(str(column)) for column in table}.isdisjoint(USUAL["label"])


def names_files(table: pd.DataFrame) -> bool:
    """Whether a table has a column of files, by its usual names."""
    return not {_bare(str(column)) for column in table}.isdisjoint(USUAL["file"])


def values(table: pd.DataFrame, role: Role) -> Series[str]:
    """The values of a role, str [N]: of a column, of a pattern over columns, or of a part of a column, without blanks
    around them."""
    assert role is not None, "the role has a column"
    if isinstance(role, Part):
        return _cells(table[role.column]).map(lambda cell: _part(role.match, cell))
    if role in table:
        return _cells(table[role])
    cells = {word: _beginning(table, word) for word in dict.fromkeys(_FIELD.findall(role))}
    rows = (dict(zip(cells, row, strict=True)) for row in zip(*cells.values(), strict=True))
    filled = [_FIELD.sub(lambda found, row=row: row[found.group(1)], role) for row in rows]  # type: ignore[misc]
    return pd.Series(filled, index=table.index, dtype=object)


def columns_of(role: Role, table: pd.DataFrame) -> list[str]:
    """The columns that a role is read from."""
    if role is None:
        return []
    if isinstance(role, Part):
        return [role.column]
    return [role] if role in table else [_named(word, table)[0] for word in _FIELD.findall(role)]


def plain_numbers(cells: Series[str]) -> Series[str]:
    """Whole numbers that a table's writer turned into `1.0` as `1`, where all that is not empty is such a number.

    Examples
    --------
    >>> plain_numbers(pd.Series(["1.0", "", "12.0"])).tolist(), plain_numbers(pd.Series(["1.0", "1.5"])).tolist()
    (['1', '', '12'], ['1.0', '1.5'])
    """
    if not all(_WHOLE.fullmatch(cell) for cell in cells if cell):
        return cells
    return cells.map(lambda cell: cell.partition(".")[0])


def from_folders(paths: Iterable[str], role: str) -> list[str] | None:
    """Patient or study as all paths name it in a folder (`patient00007/study1/view.png`), str [N]; None where not."""
    found = []
    for path in paths:
        match = re.search(FOLDERS[role], path)
        if match is None:
            return None
        found.append(match.group(1))
    return found or None


def _named(word: str, known: Container[str]) -> tuple[str, int | None]:
    """The column that a field of a pattern names, and how many characters of it are meant (`{subject_id:.2}`: two)."""
    found = _BEGINNING.fullmatch(word)
    return (word, None) if found is None or word in known else (found[1], int(found[2]))


def _beginning(table: pd.DataFrame, word: str) -> Series[str]:
    """The cells that a field of a pattern stands for."""
    column, length = _named(word, table)
    return _cells(table[column]).str[:length]


def _cells(column: Series[str]) -> Series[str]:
    return column.str.strip()


def _part(match: str, cell: str) -> str:
    found = re.search(match, cell)
    return "" if found is None else found.group(1 if found.re.groups else 0) or ""


def unknown(role: str, given: Role, columns: Sequence[str], place: str) -> list[str]:
    """Faults of a role that names columns which the table does not have."""
    if given is None or (isinstance(given, str) and given in columns):
        return []
    words = [given.column] if isinstance(given, Part) else _FIELD.findall(given) or [given]
    names = words if isinstance(given, Part) else [_named(word, columns)[0] for word in words]
    faults = []
    for name in dict.fromkeys(names):
        if name not in columns:
            near = difflib.get_close_matches(name.lower(), [each.lower() for each in columns], n=1)
            right = next((each for each in columns if each.lower() in near), "COLUMN")
            line = str(given.column if isinstance(given, Part) else given).replace(name, right)
            faults.append(
                f"data.columns.{role}: {place} has no column '{name}'; it has {list(columns)}; write "
                f"data.columns.{role}{'.column' if isinstance(given, Part) else ''}='{line}'"
            )
    return faults


def _recognise(found: Named, role: str, words: Sequence[str], table: pd.DataFrame, place: str) -> None:
    """Put the column of a role into `found`, by its name, and say so where the name is not the plain one."""
    by_word: dict[str, list[str]] = {}
    for column in map(str, table):
        by_word.setdefault(_bare(column) if words is USUAL[role] else column.lower(), []).append(column)
    named = [column for word in words for column in by_word.get(word, [])]
    if role != "file":
        taken = [columns_of(given, table) for other, given in found.roles.items() if other != "file"]
        named = [column for column in named if not any(column in each for each in taken)]
    if role == "split":
        named = [column for column in named if _bare(column) == "split" or _is_split(found, table, column, place)]
    if not named:
        return
    first, *others = named
    alike = [column for column in others if _bare(column) == _bare(first)]
    if alike and words is USUAL[role]:
        found.faults.append(
            f"{place} has the columns {[first, *alike]}, which all look like the {role}; say which one is meant with "
            f"data.columns.{role}='{first}'"
        )
    if role == "label" and _bare(first) != "label" and others:
        found.notes.append(
            f"{place} has no column label and several that may be it, {named}: none is taken; name one with "
            f"data.columns.label='{first}'"
        )
        return
    found.roles[role] = first
    said = f"{place}: the column '{first}' is read as the {role}" + (f", not {others}" if others else "")
    if first.lower() not in PLAIN.get(role, ()) or (role == "patient" and others):
        found.notes.append(f"{said} (data.columns.{role})")


def _is_split(found: Named, table: pd.DataFrame, column: str, place: str) -> bool:
    """Whether a column that looks like a split has the words of one; a note where it has not."""
    seen = sorted({cell.lower() for cell in _cells(table[column])} - {""})
    if seen and all(word in SPLITS for word in seen):
        return True
    found.notes.append(
        f"{place} has a column '{column}' that may be a split, but its values {seen[:5]} are not train, val and test; "
        "it is not used"
    )
    return False


def _bare(column: str) -> str:
    """A name without case, blanks and marks."""
    return re.sub(r"[\W_]+", "", column.casefold())
