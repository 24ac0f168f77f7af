"""A table that somebody else wrote, as it is: CSV of any separator and encoding, packed or not, Parquet, Excel."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TextIO

import pandas as pd

from contrastive_cxr.data.files.addresses import split
from contrastive_cxr.data.files.kinds import HEAD, kind_of
from contrastive_cxr.data.files.named_files import stem
from contrastive_cxr.data.tables import openi_reports
from contrastive_cxr.data.tables.text_tables import COLUMNS, LARGEST, lines, open_regular, table_of
from contrastive_cxr.errors import RequestError, nearest
from contrastive_cxr.recipe.columns import TableForm

ENDINGS = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".csv.zip", ".parquet", ".xlsx")
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", " ": "spaces"}
ENCODINGS = {"utf-8": "utf-8-sig", "utf-16": "utf-16", "latin-1": "latin-1", "windows-1252": "cp1252"}
WORDS = {"utf-8-sig": "UTF-8", "utf-16": "UTF-16", "latin-1": "Latin-1", "cp1252": "Windows-1252"}
SNIFFED = 20  # lines that a separator is chosen by
UNPACKED = 2**28  # bytes of an Excel file's parts
INSTALL = "install it with: pip install 'contrastive_cxr[tables]'"


@dataclass(frozen=True, eq=False)
class Opened:
    """A table of `str` as it stands in its file, and what was recognised of the file, in words."""

    rows: pd.DataFrame
    notes: tuple[str, ...]


def open_table(path: Path, form: TableForm) -> Opened:
    """Read a table of any of the kinds above, by its content.

    Parameters
    ----------
    form : TableForm
        What is known of it; the rest is recognised.

    Raises
    ------
    RequestError
        The file is no such table, or a library for it is missing; as `tables.read_table`.
    """
    with open_regular(path) as file:
        head = file.read(HEAD)
    if head[:4] == b"PAR1":
        return Opened(_stripped(path, _parquet(path)), (f"{path.name} is a Parquet file",))
    if kind_of(head) in ("tar", "tar.gz"):
        return Opened(openi_reports.table(path), (f"{path.name} is read as an archive of Open-i reports (XML)",))
    if head[:4] == b"PK\x03\x04" and _is_excel(path):
        return _excel(path, form)
    return _text(path, form)


def texts(table: pd.DataFrame) -> pd.DataFrame:
    """A table of any types as text: nothing for a missing value, `1` for a whole number stored as `1.0`.

    Examples
    --------
    >>> texts(pd.DataFrame({"a": [1.0, None], "b": [0.5, 2.0], "c": ["x", None]})).to_numpy().tolist()
    [['1', '0.5', 'x'], ['', '2', '']]
    """
    return pd.DataFrame(
        {str(name): [_text_of(value) for value in column.astype(object)] for name, column in table.items()}, dtype=str
    )


def _text_of(value: Any) -> str:
    if value is None or value is pd.NaT or value != value:
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _parquet(path: Path) -> pd.DataFrame:
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ImportError:
        raise RequestError(f"{path} is a Parquet file, which needs pyarrow; {INSTALL}") from None
    try:
        facts = parquet.read_metadata(path)
        size = sum(facts.row_group(number).total_byte_size for number in range(facts.num_row_groups))
        if size > LARGEST or facts.num_columns > COLUMNS:
            raise RequestError(
                f"{path} has {facts.num_columns} columns and unpacks to {size} bytes; a table of at most {COLUMNS} "
                f"columns and {LARGEST} bytes is read, divide it"
            )
        return texts(parquet.read_table(path).to_pandas())
    except (arrow.ArrowException, OSError, ValueError):
        raise RequestError(f"{path} is a damaged Parquet file; write it again, or give the table as CSV") from None


def _is_excel(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, OSError):
        raise RequestError(f"{path} is a damaged ZIP or Excel file; write it again, or give the table as CSV") from None
    if sum(part.file_size for part in parts) > UNPACKED:
        raise RequestError(f"{path} unpacks to more than {UNPACKED} bytes; give the table as CSV")
    return any(part.filename.startswith("xl/") for part in parts)


def _excel(path: Path, form: TableForm) -> Opened:
    try:
        with pd.ExcelFile(path, engine="openpyxl") as book:
            names = [str(name) for name in book.sheet_names]
            if form.sheet is not None and form.sheet not in names:
                raise RequestError(
                    f"{path} has no sheet '{form.sheet}'{nearest(form.sheet, names)}; it has {names}; set "
                    "data.table.sheet to one of them"
                )
            sheet = form.sheet or names[0]
            found = pd.read_excel(book, sheet_name=sheet, header=None, dtype=object)
    except ImportError:
        raise RequestError(f"{path} is an Excel file, which needs openpyxl; {INSTALL}") from None
    except (ValueError, KeyError, zipfile.BadZipFile, OSError):
        raise RequestError(f"{path} is a damaged Excel file; save it again, or give the table as CSV") from None
    more = [name for name in names if name != sheet]
    said = f"{path.name} is an Excel file, of which the sheet '{sheet}' is read"
    cells = iter(texts(found).to_numpy().tolist())
    return Opened(table_of(path, cells), (said + (f" and not {more} (data.table.sheet)" if more else ""),))


def _text(path: Path, form: TableForm) -> Opened:
    """A table of text: its encoding, separator and header recognised, unless `form` says them."""
    encoding = _encoding(path, form)
    try:
        with _open(path, encoding) as file:
            first = list(itertools.islice(lines(path, file), SNIFFED))
        separator = form.separator or _separator(first)
        cells = next((row for row in csv.reader(first, delimiter=separator) if row), [])
        named = form.header == "yes" or (form.header == "auto" and not any(map(_is_file, cells)))
        with _open(path, encoding) as file:
            reader = csv.reader(lines(path, file), delimiter=separator, strict=True)
            found = table_of(path, reader, None if named else _names(cells))
    except UnicodeError:
        raise RequestError(
            f"{path} is not text in {WORDS[encoding]}; say how it is stored with data.table.encoding=latin-1 (or "
            "windows-1252, utf-16), or save it as CSV in UTF-8"
        ) from None
    except (csv.Error, OSError, EOFError) as error:
        raise RequestError(_unreadable(path, error)) from None
    notes = [] if separator == "," else [f"{path.name}: cells are separated by {SEPARATORS.get(separator, separator)}"]
    notes += [] if encoding == "utf-8-sig" else [f"{path.name} is read as text in {WORDS[encoding]}"]
    notes += [] if named else [f"{path.name} has no line of column names; they are taken as {list(found)}"]
    return Opened(_stripped(path, found), tuple(notes))


def _stripped(path: Path, table: pd.DataFrame) -> pd.DataFrame:
    """The table without blanks around the columns' names, none of which may come twice by that."""
    names = [str(name).strip() for name in table]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise RequestError(f"{path} names the columns {twice} more than once; give each a name of its own")
    return table.set_axis(names, axis=1)


def _unreadable(path: Path, error: Exception) -> str:
    """Why a file is no table, in words of our own."""
    if isinstance(error, csv.Error) and "end of data" in str(error):
        return f"{path} cannot be read as a table: a quote is opened and never closed; close it"
    if isinstance(error, csv.Error) and "field larger" in str(error):
        return f"{path} has a cell of more than {csv.field_size_limit()} characters; shorten it, or close its quote"
    if isinstance(error, csv.Error):
        return f"{path} cannot be read as a table: text follows a closing quote; write a quote inside of quotes twice"
    if isinstance(error, EOFError | gzip.BadGzipFile):
        return f"{path} is a damaged gzip file; fetch it again"
    return f"{path} cannot be read ({getattr(error, 'strerror', None) or 'it is damaged'}); make it readable"


@contextmanager
def _open(path: Path, encoding: str) -> Iterator[TextIO]:
    """The text of a file, unpacked where it is gzip or a ZIP of one file."""
    with _bytes(path) as file, io.TextIOWrapper(file, encoding=encoding) as text:
        yield text


@contextmanager
def _bytes(path: Path) -> Iterator[IO[bytes]]:
    with open_regular(path) as plain:
        head = plain.read(4)
        plain.seek(0)
        if head[:2] == b"\x1f\x8b":
            with gzip.open(plain) as file:
                yield file  # type: ignore[misc]  # a GzipFile reads as any binary file
        elif head == b"PK\x03\x04":
            with zipfile.ZipFile(plain) as archive:
                names = [part.filename for part in archive.infolist() if not part.is_dir()]
                if len(names) != 1:
                    raise RequestError(f"{path} is a ZIP of {len(names)} files; unpack it and name the table")
                with archive.open(names[0]) as file:
                    yield file
        else:
            yield plain


def _encoding(path: Path, form: TableForm) -> str:
    if form.encoding != "auto":
        return ENCODINGS[form.encoding]
    with _bytes(path) as file:
        return "utf-16" if file.read(2) in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"


def _separator(first: list[str]) -> str:
    """The character that cuts the first line into two cells or more, best as many as each other line; commas first.

    Examples
    --------
    >>> _separator(["file;label", "a,b.png;x"]), _separator(["file,label", "a;b.png,x"]), _separator(["file", "a b"])
    (';', ',', ',')
    """
    found = {}
    for mark in SEPARATORS:
        widths = [len(row) for row in csv.reader(first, delimiter=mark) if row]
        if widths and widths[0] > 1:
            found[mark] = len(set(widths)) == 1
    spaces = found.pop(" ", False)  # they stand in names too, so they have to fit and to be all that fits
    even = [mark for mark, fits in found.items() if fits]
    return next(iter([*even, *found, *([" "] if spaces else []), ","]))


def _is_file(cell: str) -> bool:
    """Whether a cell names an image, or a picture in a file."""
    name, inside = split(cell.strip())
    return inside is not None or stem(name) != name


def _names(cells: list[str]) -> list[str]:
    """Names for the columns of a table that has none: the first that names an image is file, one beside it label."""
    place = next(number for number, cell in enumerate(cells) if _is_file(cell)) if any(map(_is_file, cells)) else -1
    names = [f"column {number}" for number in range(1, len(cells) + 1)]
    if place >= 0:
        names[place] = "file"
        if len(cells) == 2:
            names[1 - place] = "label"
    return names
