"""Tables that somebody else wrote: what is read as it stands, and what is refused by name."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from contrastive_cxr.data.tables.text_tables import LONGEST, at_most, for_spreadsheets, read_table
from contrastive_cxr.errors import RequestError


def put(folder: Path, content: str | bytes) -> Path:
    path = folder / "t.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("a,b\n1,2\n", [["1", "2"]]),
        ("\ufeffa,b\n1,2", [["1", "2"]]),  # a byte order mark is no part of the first name
        ("a,b\r\n1,2\r3,4\n5,6", [["1", "2"], ["3", "4"], ["5", "6"]]),  # mixed line ends
        ('a,b\n"x\ny","p, ""q"""\n', [["x\ny", 'p, "q"']]),
        ('a,b\n"x\r\ny","z\rz"\n', [["x\ny", "z\nz"]]),
        ("a,b\n\n1,2\n\n", [["1", "2"]]),  # blank lines
        ("a,b\n1\n,\n", [["1", ""], ["", ""]]),  # a row that lacks its end
        ("a,b\n1,2,,\n", [["1", "2"]]),  # empty cells too many
        ("a,b\nNA,007\nnull,1e5\n", [["NA", "007"], ["null", "1e5"]]),
        ("a,b\n=1+1,@x\n", [["=1+1", "@x"]]),  # a formula is a text
    ],
    ids=range(10),
)
def test_cells_are_read_as_they_stand(tmp_path: Path, text: str, rows: list[list[str]]) -> None:
    table = read_table(put(tmp_path, text))
    assert list(table) == ["a", "b"]
    assert table.to_numpy().tolist() == rows


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"a,b\n1,2\n3,4,5\n", "row 2 has 3 cells and the first line names 2 columns"),
        (b"a,b,a\n1,2,3\n", "names the columns ['a'] more than once"),
        (b'a,b\n"1,2\n', "a quote is opened and never closed"),
        (b'a,b\n"1"x,2\n', "cannot be read as a CSV table"),
        (b"a,b\n1,\0\n", "line 2 holds a NUL byte"),
        ("a,b\n1,2\n".encode("utf-16"), "is text in UTF-16; save it as CSV in UTF-8"),
        ("a,b\n1,2\n".encode("utf-16-be"), "line 1 holds a NUL byte"),
        ("a,b\nZürich,2\n".encode("latin-1"), "in UTF-8: 'utf-8' codec can't decode"),
        (b"a,b\n1," + b"x" * 200_000 + b"\n", "field larger than field limit (131072)"),
        (b'a,b\n1,"' + b"x\n" * 100_000 + b'"\n', "field larger than field limit (131072)"),
        (b"a," * 12_000 + b"b\n", "has 12001 columns; at most 10000 are read"),
    ],
    ids=range(13),
)
def test_what_is_no_table_is_refused_in_one_sentence(tmp_path: Path, content: bytes, words: str) -> None:
    path = put(tmp_path, content)
    with pytest.raises(RequestError) as caught:
        read_table(path)
    assert len(caught.value.faults) == 1
    assert words in caught.value.faults[0]
    assert str(path) in caught.value.faults[0]
    assert "\n" not in caught.value.faults[0]


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_a_pipe_is_not_waited_for(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "t.csv")
    with pytest.raises(RequestError, match="is a folder, pipe or device"):
        read_table(tmp_path / "t.csv")


def test_every_row_with_too_many_cells_is_told_up_to_twenty(tmp_path: Path) -> None:
    with pytest.raises(RequestError) as caught:
        read_table(put(tmp_path, "a\n" + "1,2\n" * 25))
    assert len(caught.value.faults) == 21
    assert "row 20" in caught.value.faults[19]
    assert "5 more" in caught.value.faults[20]


@pytest.mark.parametrize("what", ["columns", "field", "lines"])
def test_memory_is_bounded_before_it_is_taken(tmp_path: Path, what: str) -> None:
    """Ten million columns, a cell of 1 GB, and a table of 3 GB; the large ones are holes in a file."""
    path = tmp_path / "t.csv"
    with path.open("wb") as file:
        if what == "columns":
            file.write(b"a," * 10_000_000 + b"a\n")
        else:
            file.write(b"file,label\n" + b"x" * 2**20)
            file.truncate(2**30 if what == "field" else 3 * 2**30)
    words = {"columns": f"line 1 is longer than {LONGEST}", "field": "line 2", "lines": "is read, divide it"}[what]
    tracemalloc.start()
    with pytest.raises(RequestError, match=words):
        read_table(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40 * LONGEST / 4


def test_formulas_are_made_harmless_in_tables_that_are_looked_at() -> None:
    table = pd.DataFrame({"file": ["=1+1", "+x", "-x", "@x", "\tx", "a=b", ""], "p": [-1.0, 0, 0, 0, 0, 0, 0]})
    shown = for_spreadsheets(table)
    assert shown["file"].tolist() == ["'=1+1", "'+x", "'-x", "'@x", "'\tx", "a=b", ""]
    assert shown["p"].tolist() == table["p"].tolist()
    assert table["file"][0] == "=1+1"


def test_at_most() -> None:
    assert at_most(["a", "b"], 2) == ["a", "b"]
    assert at_most(["a", "b", "c"], 2) == ["a", "b", "... and 1 more of the kind"]
