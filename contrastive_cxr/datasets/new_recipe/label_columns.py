"""Whether the cells of a column are labels, lists of findings, or one finding each."""

from __future__ import annotations

import re
from collections import Counter

import pandas as pd

from contrastive_cxr.data.tables import columns
from contrastive_cxr.findings import plain

MOST_CLASSES = 20
"""Different values above which a column is taken for no label."""
# Names of classes that chest images often have.
CLASS_WORDS = re.compile(
    r"(?i)normal|healthy|control|covid|pneumon|tubercul|nodul|cancer|tumou?r|malign|benign|opaci|effusion|edema|oedema"
    r"|atelect|cardiomeg|consolid|fibros|emphys|infect|positive|negative|finding"
    r"|(?<![a-z])(?:tb|mass|sick|ill|well)(?![a-z])"
)
_LISTED = 2000  # different cells that are searched for lists
_SIGNS = frozenset(("1", "0", "-1", ""))
# Words in the names of columns of few values that say something else than what is to be learnt.
_NO_LABEL = re.compile(
    r"age|sex|gender|view|viewposition|position|projection|modality|manufacturer|scanner|device|model|vendor|site|hospital"
    r"|center|centre|institution|date|time|year|month|day|series|slice|frame|kvp|mas|width|height|rows|cols|columns|bits"
    r"|format|mode|lateral|smoker|smoking|ethnicity|race|country|city|licen[cs]e|source|split|fold|subset|id|number|count"
    r"|offset|url|doi|notes?|comment|geschlecht|alter|sexo|edad|sexe|datum|fecha"
)


def is_label(rows: pd.DataFrame, column: str) -> bool:
    """Whether a column divides the rows into a few classes, or lists findings."""
    cells = columns.values(rows, column)
    filled = cells[cells != ""].map(plain)
    if listed_by(filled):
        return True
    return 2 <= filled.nunique() <= min(MOST_CLASSES, max(2, len(filled) // 3)) and len(filled) * 2 >= len(cells)


def of_class_words(rows: pd.DataFrame, column: str) -> bool:
    """Whether a column holds a word that chest images are often labelled by."""
    return any(CLASS_WORDS.search(cell) for cell in columns.values(rows, column).unique())


def listed_by(cells: pd.Series[str]) -> str:
    """What stands between the findings that cells list (`Edema|Mass`); '' where they are single words.

    A mark is taken for that where half of the parts that it makes come again in other cells.
    """
    values = list(dict.fromkeys(cells))[:_LISTED]
    for mark in "|;,":
        parts = Counter(part.strip() for value in values for part in dict.fromkeys(value.split(mark)))
        flat = [part.strip() for value in values if mark in value for part in value.split(mark)]
        again = sum(parts[part] > 1 for part in flat)
        if flat and again * 2 >= len(flat) and (mark == "|" or len(set(flat)) < len(values)):
            return mark
    return ""


def says_else(column: str) -> bool:
    """Whether a column's name says that it holds something else than labels."""
    words = re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", column).lower())
    return any(_NO_LABEL.fullmatch(word) for word in words)


def findings(rows: pd.DataFrame, free: list[str]) -> list[str]:
    """Columns of 1, 0, -1 and empty cells, each of which is a finding."""
    found = []
    for column in free:
        values = set(columns.values(rows, column).map(plain))
        if "1" in values and len(values) > 1 and values <= _SIGNS and not says_else(column):
            found.append(column)
    return found
