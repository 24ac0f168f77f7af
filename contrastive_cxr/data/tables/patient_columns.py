"""What to say of a table in which no column is known as the patient."""

from __future__ import annotations

import re

import pandas as pd

from contrastive_cxr.data.tables import columns
from contrastive_cxr.data.tables.columns import Named

# Beginnings of words for a patient in the languages of such tables, as parts of a column's name.
PEOPLE = re.compile(
    r"(?i)patient|pacient|pazient|pasien|hasta|subject|sujet|soggett|proband|participant|person|case|fall|caso|mrn"
    r"|(?:record|hospital).?(?:no|num|id)|\bpat\b|\bpat[_ .-]|患者|病人|病历|病例|환자|пациент|больн|مريض"
)
# What tables say of a patient, and a name for nobody.
FACTS = re.compile(
    r"(?i)age|alter|edad|âge|sex|gender|geschlecht|birth|weight|height|size|position|orient|consent|status|count|type|race"
    r"|ethnic|smok|address|insur|class|label|diagn|outcome|path|file|image"
)
NUMBERED = re.compile(r"(?i)(?:^|[\W_])(?:id|nr|no|num|number|code|key|uid)$|(?<=[a-z])(?:ID|Id|Nr|No)$")
SHOWN = 3
NOBODY = ("na", "n/a", "nan", "none", "null", "unknown", "unk", "not available", "-", "--", "?", ".")
ROUNDED = re.compile(r"\d(?:[.,]\d+)?[eE]\+\d+")


def known_owners(rows: pd.DataFrame, place: str) -> tuple[pd.DataFrame, list[str]]:
    """The rows with nothing in the place of words that name no patient, and notes of these and of rounded numbers."""
    if "patient" not in rows:
        return rows, []
    cells, notes = rows["patient"], []
    nobody = cells.str.casefold().isin(NOBODY)
    if nobody.any():
        words = ", ".join(repr(word) for word in list(dict.fromkeys(cells[nobody]))[:SHOWN])
        notes.append(f"{place}: {nobody.sum():,} rows have {words} as their patient, which is read as not known")
    rounded = cells[cells.map(lambda cell: ROUNDED.fullmatch(cell) is not None)]
    if len(rounded):
        notes.append(
            f"{place}: {len(rounded):,} patients are numbers that a spreadsheet has rounded, such as "
            f"'{rounded.iloc[0]}', so different patients may have the same one; take the table from before that, or "
            "another column"
        )
    return rows.assign(patient=cells.mask(nobody, "")), notes


def unowned_words(table: pd.DataFrame, named: Named, place: str) -> tuple[str, ...]:
    """A sentence that images of one patient may be divided, with the columns that may be the patient's; none where
    no column looks like it.

    Parameters
    ----------
    table : DataFrame of str
        Its rows that are read.
    place : str
        What the table is called in sentences.
    """
    study = named.roles["study"]
    alone = [] if study is None else [study if isinstance(study, str) else study.column]
    found = [*looks_like_patients(table, named), *alone]
    if not found:
        return ()
    also = f" ({', '.join(repr(each) for each in found[1:SHOWN])} may be it too)" if len(found) > 1 else ""
    kept = (
        "keeps those of one study together" if found == alone else "keeps those of one together, if it is the patient"
    )
    return (
        f"{place} has no column that is known as the patient, so images of one patient may stand in train, val and "
        f"test; data.columns.patient='{found[0]}' {kept}{also}",
    )


def looks_like_patients(table: pd.DataFrame, named: Named) -> list[str]:
    """Columns of no role whose name is of a patient, then those of numbers or codes of which several rows have one."""
    used = {column for role in named.roles.values() for column in columns.columns_of(role, table)}
    free = [str(column) for column in table if column not in used and not FACTS.search(str(column))]
    people = [column for column in free if PEOPLE.search(column) and table[column].str.strip().nunique() > 1]
    codes = [column for column in free if column not in people and NUMBERED.search(column)]
    return [*people, *(column for column in codes if _groups(table[column].str.strip()))]


def _groups(cells: pd.Series[str]) -> bool:
    """Whether values divide the rows into many groups, some of several rows, as patients do and categories do not."""
    filled = cells[cells != ""]
    return len(filled) > 0 and max(3, len(filled) // 10) <= filled.nunique() < len(filled)
