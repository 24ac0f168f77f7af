"""Findings: what a table says of an image in several columns, or in one cell that lists them. No torch, no image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Word = Literal["positive", "negative", "leave-out"]
MARK = "?"  # before a finding of which it is not known whether the image has it
BETWEEN = "|"
NONE, ANY = "none", "*"  # what a class is named by that has no finding, or any
NO_FINDING = ("No Finding", "No finding", "no finding", "Normal", "normal")
PLAIN: dict[str, Word] = {"1": "positive", "0": "negative"}


class Findings(BaseModel):
    """Where an image's findings stand, and what the cells mean.

    Examples
    --------
    >>> cells = Findings(columns=["Edema", "Pneumonia"], words={"-1": "leave-out", "": "negative"})
    >>> cells.value(["1.0", "-1.0"]), cells.value(["", "0"])
    ('Edema|?Pneumonia', '')
    >>> Findings(columns=["labels"], separator="|").value(["Infiltration|Pneumonia"])
    'Infiltration|Pneumonia'
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    columns: tuple[str, ...] = Field(
        min_length=1, description="columns of the data: each a finding; with separator each a list of findings"
    )
    separator: str | None = Field(
        None, min_length=1, description="what stands between the findings that a cell lists, such as |; none: one each"
    )
    words: dict[str, Word] = Field(
        {},
        description="what cells mean beside 1 (positive) and 0 (negative), * any other: positive, negative, leave-out",
    )
    nothing: tuple[str, ...] = Field(
        NO_FINDING, description="findings which say that there is none; a class takes such images by the word none"
    )
    several: Literal["refuse", "leave-out", "first"] = Field(
        "refuse",
        description="an image with findings of several classes: refused, left out, or of the first of its classes",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Findings:
        if self.separator is not None and self.words:
            raise ValueError("words are of cells that hold a value each; with separator a cell lists what is positive")
        return self

    def value(self, cells: Sequence[str]) -> str:
        """An image's findings as one text: those it has, then with `?` those left out, joined by `|`; '' none."""
        if self.separator is not None:
            return BETWEEN.join(dict.fromkeys(part for cell in cells for part in listed(cell, self.separator)))
        meant = dict(zip(self.columns, (self.meaning(cell) for cell in cells), strict=True))
        has = [name for name, word in meant.items() if word == "positive"]
        return BETWEEN.join([*has, *(f"{MARK}{name}" for name, word in meant.items() if word == "leave-out")])

    def meaning(self, cell: str) -> Word | None:
        """What a cell of a finding's column means; None where no word says it. The repeated cells of an image joined
        by `|` (`data.repeated`) are positive where one is, left out where one is, else negative."""
        words = {self._plain_meaning(part) for part in cell.split(BETWEEN)}
        if None in words:
            return None
        return next((word for word in ("positive", "leave-out") if word in words), "negative")

    def _plain_meaning(self, cell: str) -> Word | None:
        words = PLAIN | {plain(value): word for value, word in self.words.items()}
        return words.get(plain(cell), words.get(ANY))

    def faults(self, columns: Mapping[str, Iterable[str]]) -> list[str]:
        """A fault of cells without a word, with the line that gives them one; `columns`: {name: cells}."""
        if self.separator is not None:
            return []
        counted = {name: Counter(map(plain, cells)) for name, cells in columns.items()}
        strange = {
            name: Counter({cell: n for cell, n in cells.items() if self.meaning(cell) is None})
            for name, cells in counted.items()
        }
        seen = {name: found for name, found in strange.items() if found}
        if not seen:
            return []
        some = "; ".join(
            f"'{name}' {', '.join(f'{cell!r} ({n:,} times)' for cell, n in found.most_common(5))}"
            for name, found in list(seen.items())[:5]
        )
        missing = list(dict.fromkeys(cell for found in seen.values() for cell in found))
        line = ", ".join(f"'{cell}': {self.words.get(cell, 'leave-out')}" for cell in [*self.words, *missing[:5]])
        return [
            f"task.findings has no word for values of {len(seen)} columns: {some}; say what they mean with "
            f'task.findings.words="{{{line}}}", each positive, negative or leave-out'
        ]


def listed(cell: str, separator: str) -> list[str]:
    """The findings that a cell lists; brackets and quotes of a printed Python list are none.

    Examples
    --------
    >>> listed("['scar', 'mass ']", ","), listed("Edema| Mass", "|"), listed("", "|")
    (['scar', 'mass'], ['Edema', 'Mass'], [])
    """
    cell = cell.strip()
    quoted = cell.startswith("[") and cell.endswith("]")
    parts = [part.strip() for part in (cell[1:-1] if quoted else cell).split(separator)]
    return [part for part in ([each.strip("'\" ") for each in parts] if quoted else parts) if part]


def plain(cell: str) -> str:
    """A cell without blanks around it, a whole number without `.0`.

    Examples
    --------
    >>> plain(" -1.0"), plain("0.5"), plain("")
    ('-1', '0.5', '')
    """
    cell = cell.strip()
    whole, point, rest = cell.partition(".")
    return whole if point and not rest.strip("0") and whole.lstrip("-").isdecimal() else cell


def named(value: str) -> tuple[list[str], list[str]]:
    """The findings of `Findings.value`: those the image has, and those left out."""
    parts = value.split(BETWEEN) if value else []
    return [part for part in parts if not part.startswith(MARK)], [part[1:] for part in parts if part.startswith(MARK)]


def classes_of(
    value: str, findings: Findings, classes: Mapping[str, Sequence[str]], drop: Sequence[str]
) -> list[int] | None:
    """The numbers of the classes that an image with the findings `value` is of.

    A finding by its name counts before `*`, any finding. `none` takes an image that is said to have none, or of which
    every finding is known to be negative. `drop` by name leaves the image out, whatever else it has.

    Returns
    -------
    list of int or None
        Several where the image has findings of several classes; [-1] left out; None where no class takes it.
    """
    has, unknown = named(value)
    found = [name for name in has if name not in findings.nothing]
    said = any(name in findings.nothing for name in has)
    free = said or not (has or unknown)
    if any(name in found for name in drop) or (NONE in drop and free and not found):
        return [-1]
    by_name = [
        number
        for number, names in enumerate(classes.values())
        if any(name in found or name in has for name in names) or (NONE in names and free)
    ]
    by_star = [number for number, names in enumerate([drop, *classes.values()], start=-1) if ANY in names and found]
    if by_name and not (said and found):
        return by_name
    numbers = sorted({*by_name, *by_star[:1]})  # an image that is said to have no finding, and one, is of both
    if numbers:
        return [-1] if -1 in numbers else numbers
    return [-1] if unknown else None
