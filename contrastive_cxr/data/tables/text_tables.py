"""Tables of text that somebody else wrote: CSV in UTF-8, read whole and strictly, nothing guessed."""

from __future__ import annotations

import csv
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BufferedReader, TextIOWrapper
from pathlib import Path
from typing import TextIO

import pandas as pd

from contrastive_cxr.errors import RequestError

LARGEST = 2**31  # bytes: ten million rows of two hundred characters
LONGEST = 2**22  # characters of a line; a cell has at most 131,072, the limit of Python's own csv
COLUMNS = 10_000
LISTED = 20  # faults of one kind that are printed; the rest is counted
FORMULA = ("=", "+", "-", "@", "\t", "\r")
UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def read_table(path: Path) -> pd.DataFrame:
    """A CSV file as a table of `str`, nothing turned into numbers or missing values.

    Line ends may be mixed, cells in quotes may hold them, blank lines mean nothing. Cells that a row lacks at its end
    are empty. Memory is bounded before it is taken: by the file, the line, the cell and the number of columns.

    Raises
    ------
    RequestError
        The file is missing, empty, too large, not UTF-8 or not a table: a name of a column given twice, a row with more
        cells than columns, a quote that is not closed, a NUL byte.
    """
    try:
        # each line end becomes a newline, in a cell too
        with open_regular(path) as plain, TextIOWrapper(plain, encoding="utf-8-sig") as file:
            return table_of(path, csv.reader(lines(path, file), strict=True))
    except (UnicodeDecodeError, csv.Error, OSError) as error:
        raise RequestError(_unreadable(path, error)) from None


@contextmanager
def open_regular(path: Path) -> Iterator[BufferedReader]:
    """The bytes of a table's file.

    Raises
    ------
    RequestError
        It is missing, no file, or larger than `LARGEST`.
    """
    try:
        seen = path.stat()
        if not stat.S_ISREG(seen.st_mode):
            raise RequestError(f"{path} is a folder, pipe or device; name a CSV file")
        if seen.st_size > LARGEST:
            raise RequestError(f"{path} has {seen.st_size} bytes; a table of at most {LARGEST} is read, divide it")
        file = path.open("rb")
    except OSError as error:
        raise RequestError(f"{path} cannot be read ({error.strerror}); name a table that is there") from None
    with file:
        yield file


def at_most(faults: Sequence[str], limit: int = LISTED) -> list[str]:
    """The first `limit` faults, and one sentence that counts the others."""
    more = [f"... and {len(faults) - limit} more of the kind"] if len(faults) > limit else []
    return [*faults[:limit], *more]


def table_of(path: Path, cells_of_lines: Iterator[list[str]], header: Sequence[str] | None = None) -> pd.DataFrame:
    """The table of the cells of a file's lines, which are read as they are asked for.

    `header`: the columns' names, where the first line does not hold them.

    Raises
    ------
    RequestError, csv.Error
        As `read_table`.
    """
    rows = (cells for cells in cells_of_lines if cells)
    header = next(rows, None) if header is None else header
    if header is None:
        raise RequestError(f"{path} is empty; its first line names the columns")
    names = [name if name.strip() else f"Unnamed: {place}" for place, name in enumerate(header)]
    twice = sorted({name for name in names if names.count(name) > 1}) if len(names) <= COLUMNS else []
    if len(names) > COLUMNS:
        raise RequestError(f"{path} has {len(names)} columns; at most {COLUMNS} are read, take out what is not needed")
    if twice:
        raise RequestError(f"{path} names the columns {twice[:LISTED]} more than once; give each a name of its own")
    found, faults, width = [], [], len(names)
    for number, cells in enumerate(rows, start=1):
        if any(cells[width:]):
            faults.append(
                f"{path} row {number} has {len(cells)} cells and the first line names {width} columns; put text with "
                "commas in quotes"
            )
        found.append(cells[:width] + [""] * (width - len(cells)))
    if faults:
        raise RequestError(*at_most(faults))
    return pd.DataFrame(found, columns=names, dtype=str)


def lines(path: Path, file: TextIO) -> Iterator[str]:
    """The file's lines, none longer than `LONGEST`, and of all together no more than `LARGEST` characters."""
    number = total = 0
    while line := file.readline(LONGEST + 1):
        number, total = number + 1, total + len(line)
        if total > LARGEST:
            raise RequestError(f"{path} unpacks to more than {LARGEST} characters; divide it")
        if len(line) > LONGEST:
            raise RequestError(f"{path} line {number} is longer than {LONGEST} characters; it is not a table of images")
        if "\0" in line:
            raise RequestError(f"{path} line {number} holds a NUL byte; save it as plain text in UTF-8")
        yield line


def for_spreadsheets(table: pd.DataFrame) -> pd.DataFrame:
    """The table with an apostrophe before texts that a spreadsheet would take for a formula: `=`, `+`, `-`, `@` first.

    For tables that are only looked at: in those that are read again a text stays what it is.

    Examples
    --------
    >>> for_spreadsheets(pd.DataFrame({"file": ["=1+1", "a.png"], "p": [-0.5, 1.0]})).to_numpy().tolist()
    [["'=1+1", -0.5], ['a.png', 1.0]]
    """
    texts = table.select_dtypes(exclude="number").columns
    shown = table.copy()
    for name in texts:
        shown[name] = table[name].map(_harmless)
    return shown


def _harmless(cell: object) -> object:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell


def _unreadable(path: Path, error: Exception) -> str:
    """Why a file is no table."""
    if isinstance(error, UnicodeDecodeError):
        with path.open("rb") as file:
            if file.read(2) in UTF_16:
                return f"{path} is text in UTF-16; save it as CSV in UTF-8"
    if isinstance(error, csv.Error) and "end of data" in str(error):
        error = csv.Error("a quote is opened and never closed")
    return f"{path} cannot be read as a CSV table in UTF-8: {error}"
