"""Manifests of any words: what is written is read, whatever stands in the cells."""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from contrastive_cxr.data import manifest
from contrastive_cxr.data.manifest import COLUMNS, Manifest
from contrastive_cxr.data.sources import read_data
from contrastive_cxr.recipe.schema import Data

# No surrogates: they are in no UTF-8 text. No NUL and no carriage return: what reads a source refuses or replaces them.
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=12)
ODD = st.sampled_from(["", "NA", "nan", "007", "1e5", "=1+1", "a,b", '"', "a\nb", " x ", "<script>", "é", "\ufeff"])
CELLS = st.one_of(ODD, WORDS)


@given(st.lists(st.tuples(*[CELLS] * (len(COLUMNS) + 1)), min_size=1, max_size=6))
def test_a_manifest_comes_back_as_it_was(cells: list[tuple[str, ...]]) -> None:
    written = Manifest(pd.DataFrame(cells, columns=[*COLUMNS, "a column, of one's own"], dtype=object))
    with tempfile.TemporaryDirectory() as name:
        manifest.write(written, Path(name) / "manifest.csv")
        read = manifest.read(Path(name) / "manifest.csv")
    assert read.rows.to_dict("list") == written.rows.to_dict("list")


NAMES = st.text(
    st.characters(codec="utf-8", exclude_characters="\0/", exclude_categories=["Cc"]), min_size=1, max_size=20
)


@given(
    st.lists(NAMES.filter(lambda name: name.strip() == name.strip(".") == name), min_size=1, max_size=5, unique=True)
)
def test_a_table_of_images_with_odd_names_is_read(names: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name in names:
            (root / f"{name}.png").write_bytes(b"x")
        with (root / "table.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["file", "label", "patient"])
            writer.writerows([f"{name}.png", f"a {number}", "007"] for number, name in enumerate(names))
        found = read_data(Data(source="csv", root=root, csv=Path("table.csv")))
    expected = {f"{name}.png": f"a {number}" for number, name in enumerate(names)}
    assert dict(zip(found.rows["path"], found.rows["label"], strict=True)) == expected
    assert set(found.rows["patient"]) == {"007"}


@given(st.lists(NAMES.filter(lambda name: not name.startswith(".")), min_size=1, max_size=5, unique=True))
def test_a_folder_of_images_with_odd_names_is_read(names: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name in names:
            (root / "a class").mkdir(exist_ok=True)
            (root / "a class" / f"{name}.png").write_bytes(b"x")
        found = read_data(Data(root=root))
        assert sorted(found.rows["path"]) == sorted(f"a class/{name}.png" for name in names)
        assert all(path.is_file() for path in found.files())
