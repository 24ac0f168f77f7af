"""Tables in every form that people keep them in: text of any separator and encoding, packed, Parquet, Excel."""

from __future__ import annotations

import csv
import gzip
import io
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from contrastive_cxr.data.tables.table_files import open_table
from contrastive_cxr.errors import RequestError
from contrastive_cxr.recipe.columns import TableForm

COLUMNS = ["file", "label", "age"]
ROWS = [["a b.png", "Müller; x", "1,5"], ["c.png", 'said "no"', ""]]


def text(separator: str = ",", header: bool = True) -> str:
    """The rows as Python's own writer puts them."""
    made = io.StringIO()
    csv.writer(made, delimiter=separator, lineterminator="\r\n").writerows([*([COLUMNS] if header else []), *ROWS])
    return made.getvalue()


def opened(path: Path, content: bytes, **form: str) -> tuple[list[str], list[list[str]], str]:
    path.write_bytes(content)
    found = open_table(path, TableForm.model_validate(form))
    return list(found.rows), found.rows.to_numpy().tolist(), " ".join(found.notes)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_separator_and_encoding_are_recognised(tmp_path: Path, separator: str, encoding: str) -> None:
    names, rows, notes = opened(tmp_path / "t.csv", text(separator).encode(encoding))
    assert (names, rows) == (COLUMNS, ROWS)
    assert ("separated by" in notes) == (separator != ",")
    assert ("UTF-16" in notes) == (encoding == "utf-16")


@pytest.mark.parametrize("encoding", ["latin-1", "windows-1252"])
def test_latin_1_is_read_where_it_is_said_and_named_where_not(tmp_path: Path, encoding: str) -> None:
    content = text().encode(encoding)
    assert opened(tmp_path / "t.csv", content, encoding=encoding)[1] == ROWS
    with pytest.raises(RequestError, match=r"is not text in UTF-8; say how.*data\.table\.encoding=latin-1") as caught:
        opened(tmp_path / "t.csv", content)
    assert "codec" not in str(caught.value), "a library's words"


def test_a_table_without_a_header_is_told_by_its_first_file(tmp_path: Path) -> None:
    names, rows, notes = opened(tmp_path / "t.csv", b"normal,1.png\nill,2.jpeg\n")
    assert (names, rows) == (["label", "file"], [["normal", "1.png"], ["ill", "2.jpeg"]])
    assert "has no line of column names" in notes
    spaced = opened(tmp_path / "t.txt", b"3 a.png positive cohen\n4 b.png negative rsna\n")
    assert spaced[:2] == (
        ["column 1", "file", "column 3", "column 4"],
        [["3", "a.png", "positive", "cohen"], ["4", "b.png", "negative", "rsna"]],
    )
    assert opened(tmp_path / "t.csv", b"1.png,x\n2.png,y\n", header="yes")[0] == ["1.png", "x"], "where it is said"


def test_gzip_and_a_zip_of_one_table_are_unpacked(tmp_path: Path) -> None:
    assert opened(tmp_path / "t.csv.gz", gzip.compress(text(";").encode()))[:2] == (COLUMNS, ROWS)
    for names in (["t.csv"], ["t.csv", "u.csv"]):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in names:
                archive.writestr(name, text())
        if len(names) == 1:
            assert opened(tmp_path / "t.zip", packed.getvalue())[:2] == (COLUMNS, ROWS)
        else:
            with pytest.raises(RequestError, match="is a ZIP of 2 files; unpack it"):
                opened(tmp_path / "t.zip", packed.getvalue())


def test_parquet_and_excel_keep_whole_numbers_and_empty_cells(tmp_path: Path) -> None:
    table = pd.DataFrame({"file": ["1.png", "2.png"], "patient": [7.0, None], "age": [61, 8], "ill": [True, False]})
    want = [["1.png", "7", "61", "True"], ["2.png", "", "8", "False"]]
    table.to_parquet(tmp_path / "t.parquet")
    with pd.ExcelWriter(tmp_path / "t.xlsx") as book:
        table.to_excel(book, sheet_name="first", index=False)
        table.head(1).to_excel(book, sheet_name="more", index=False)
    for name in ("t.parquet", "t.xlsx"):
        found = open_table(tmp_path / name, TableForm())
        assert found.rows.to_numpy().tolist() == want, name
    assert "'first' is read and not ['more']" in found.notes[0]
    assert len(open_table(tmp_path / "t.xlsx", TableForm(sheet="more")).rows) == 1
    with pytest.raises(RequestError, match=r"no sheet 'moor' \(did you mean 'more'\?\)"):
        open_table(tmp_path / "t.xlsx", TableForm(sheet="moor"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"PAR1" + b"x" * 50, "damaged Parquet file"),
        (b"PK\x03\x04" + b"x" * 50, "damaged ZIP or Excel file"),
        (gzip.compress(b"a,b\n1,2\n" * 99)[:-20], "damaged gzip file"),
        (b'a,b\n"1"x,2\n', "text follows a closing quote"),
        (b'a,b\n"1,2\n', "a quote is opened and never closed"),
        (b"a,b\n1," + b"x" * 200_000, "more than 131072 characters"),
        (b"a, a\n1,2\n", r"names the columns \['a'\] more than once"),
        (b"a,b\n1,\0\n", "holds a NUL byte"),
    ],
    ids=range(8),
)
def test_what_is_no_table_is_refused_in_words_of_our_own(tmp_path: Path, content: bytes, words: str) -> None:
    with pytest.raises(RequestError, match=words) as caught:
        opened(tmp_path / "t.csv", content)
    (fault,) = caught.value.faults
    assert str(tmp_path / "t.csv") in fault


def test_a_missing_library_is_named_with_its_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(RequestError, match=r"needs pyarrow; install it with: pip install 'contrastive_cxr\[tables\]'"):
        open_table(tmp_path / "t.parquet", TableForm())
