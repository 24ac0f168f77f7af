"""Tables whose columns are added to the rows, against pandas' merge; and every way in which that goes wrong."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from contrastive_cxr.data.manifest import Manifest
from contrastive_cxr.data.sources import rows_of
from contrastive_cxr.errors import RequestError
from contrastive_cxr.recipe.schema import Data
from tests.data.painted import picture, put, zipped


def rows(root: Path, **settings: Any) -> tuple[Manifest, list[str]]:
    return rows_of(Data.model_validate({"source": "csv", "root": root, "csv": Path("images.csv")} | settings))


def refused(root: Path, **settings: Any) -> tuple[str, ...]:
    with pytest.raises(RequestError) as caught:
        rows(root, **settings)
    return caught.value.faults


def write(root: Path, name: str, table: pd.DataFrame) -> pd.DataFrame:
    content = table.to_csv(index=False).encode()
    put(root / name, gzip.compress(content) if name.endswith(".gz") else content)
    return table


def three(root: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Images, their split and their studies' labels, in files of their own; labels written as 1.0, studies too."""
    images = pd.DataFrame({"file": [f"{n}.png" for n in range(6)], "image": [f"i{n}" for n in range(6)],
                           "patient": [10, 10, 11, 11, 12, 13], "study": [1, 2, 3, 3, 4, 5]})  # fmt: skip
    for name in images["file"]:
        put(root / name, picture(0))
    split = pd.DataFrame({"image": [f"i{n}" for n in (5, 4, 3, 2, 1, 0)],
                          "split": ["test", "validate", "train", "train", "train", "train"]})  # fmt: skip
    labels = pd.DataFrame({"patient": [10.0, 10.0, 11.0, 12.0, 99.0], "study": [1.0, 2.0, 3.0, 4.0, 9.0],
                           "label": ["a", "b", "a", "b", "a"]})  # fmt: skip
    return write(root, "images.csv", images), write(root, "split.csv.gz", split), write(root, "labels.csv", labels)


def test_three_tables_are_what_pandas_merges(tmp_path: Path) -> None:
    images, split, labels = three(tmp_path)
    merge = [{"csv": "split.csv.gz", "on": ["image"]}, {"csv": "labels.csv", "on": ["patient", "study"]}]
    merge[1]["on_missing"] = "leave-out"
    found, faults = rows(tmp_path, merge=merge)
    wanted = images.merge(split, on="image").merge(labels, on=["patient", "study"]).sort_values("file")
    assert faults == []
    got = found.rows[["path", "image", "patient", "study", "split", "label"]]
    words = wanted.assign(split=wanted["split"].replace("validate", "val")).astype(str)
    assert got.to_numpy().tolist() == words[["file", *got.columns[1:]]].to_numpy().tolist()
    assert len(got) == 5, "study 5 has no label"
    said = "\n".join(found.notes)
    for words in (
        "images.csv: 6 of 6 rows have a row of split.csv.gz with the same image (data.merge.0)",
        "images.csv: 5 of 6 rows have a row of labels.csv with the same patient, study (data.merge.1)",
        "images.csv: 1 rows without one ('13'/'5') are left out",
        "labels.csv: 1 rows are of no row of images.csv ('99'/'9')",
    ):
        assert words in said
    assert str(tmp_path) not in said, "notes go into reports"
    kept, _ = rows(tmp_path, merge=[merge[0], merge[1] | {"on_missing": "keep"}], leave_out=("",))
    assert len(kept) == 5, "and an empty label is one to leave out"


def test_rows_without_a_partner_are_refused_by_name_and_the_line_is_said(tmp_path: Path) -> None:
    three(tmp_path)
    merge = [{"csv": "labels.csv", "on": ["patient", "study"]}]
    (fault,) = refused(tmp_path, merge=merge)
    assert "data.merge.0: 1 of 6 rows of" in fault
    assert "have no row of labels.csv ('13'/'5'); leave them out with data.merge.0.on_missing=leave-out" in fault
    found, _ = rows(tmp_path, merge=merge, where={"patient": (10, 11)})
    assert len(found) == 4, "rows that are not read need no partner"
    (fault,) = refused(tmp_path, merge=[{"csv": "split.csv.gz", "on": {"file": "image"}, "on_missing": "leave-out"}])
    assert "none of the 6 rows" in fault
    assert "'0.png', '1.png', '2.png', ... here and 'i5', 'i4', 'i3', ... there" in fault


def test_every_fault_at_once(tmp_path: Path) -> None:
    three(tmp_path)
    write(tmp_path, "twice.csv", pd.DataFrame({"image": ["i0", "i0", "i1", "i1"], "x": ["1", "2", "3", "3"]}))
    merge = [
        {"csv": "splits.csv.gz", "on": ["image"]},
        {"csv": "labels.csv", "on": {"patient": "subject", "study": "study"}, "columns": ["labl"]},
        {"csv": "twice.csv", "on": "image"},
    ]
    missing, key, column, twice = refused(tmp_path, merge=merge)
    assert "data.merge.0.csv: table" in missing
    assert "did you mean 'split.csv.gz'" in missing
    assert "labels.csv has no column 'subject'" in key
    assert "write data.merge.1.on='{patient: COLUMN}'" in key
    assert "labels.csv has no column 'labl' (did you mean 'label'?)" in column
    assert "twice.csv has 1 keys in several rows with different cells, such as 'i0' (2 rows)" in twice
    (fault,) = refused(tmp_path, merge=[{"csv": "labels.csv", "on": ["pateint"]}])
    assert "has no column 'pateint' (did you mean 'patient'?)" in fault


def test_a_column_that_says_something_else_gets_the_tables_name(tmp_path: Path) -> None:
    three(tmp_path)
    more = {"image": [f"i{n}" for n in range(6)], "patient": ["10.0"] * 2 + ["11.0"] * 2 + ["12.0", "77.0"]}
    write(tmp_path, "more.csv", pd.DataFrame(more | {"view": list("PPALLA"), "site": "x"}))
    found, _ = rows(tmp_path, merge=[{"csv": "more.csv", "on": "image", "columns": ["patient", "view"]}])
    assert found.column("patient").tolist() == ["10", "10", "11", "11", "12", "13"]
    assert found.column("patient (more.csv)")[5] == "77.0"
    assert found.column("view").tolist() == list("PPALLA")
    assert "site" not in found.rows
    assert any("the column 'patient' of more.csv says something else in 1 rows" in note for note in found.notes)


def test_an_empty_key_is_nobodys_partner(tmp_path: Path) -> None:
    images, _, _ = three(tmp_path)
    write(tmp_path, "images.csv", images.assign(image=["i0", "", "i2", "i3", "i4", ""]))
    write(tmp_path, "more.csv", pd.DataFrame({"image": ["", "", "i0", "i2", "i3", "i4"], "view": list("XYPAPA")}))
    found, _ = rows(tmp_path, merge=[{"csv": "more.csv", "on": "image", "on_missing": "keep"}])
    assert found.column("view").tolist() == ["P", "", "A", "P", "A", ""]


def test_class_folders_get_patients_from_names_and_labels_from_a_table(tmp_path: Path) -> None:
    for name in ("patient7/SR_2/1.png", "patient7/SR_3/1.png", "patient8/SR_2/1.png"):
        put(tmp_path / name, picture(0))
    write(tmp_path, "details.csv", pd.DataFrame({"Patient ID": ["patient8", "patient7"], "ill": ["yes", "no"]}))
    found, faults = rows_of(
        Data.model_validate(
            {
                "root": tmp_path,
                "columns": {"patient": {"column": "file", "match": "patient[0-9]+"}, "label": "ill"},
                "merge": ({"csv": "details.csv", "on": {"patient": "Patient ID"}},),
            }
        )
    )
    assert faults == []
    assert found.rows[["path", "label", "patient"]].to_numpy().tolist() == [
        ["patient7/SR_2/1.png", "no", "patient7"],
        ["patient7/SR_3/1.png", "no", "patient7"],
        ["patient8/SR_2/1.png", "yes", "patient8"],
    ]


def test_tables_of_an_archive_are_merged_too(tmp_path: Path) -> None:
    members = {"0.png": picture(0), "1.png": picture(1), "images.csv": b"file,id\n0.png,a\n1.png,b\n"}
    put(tmp_path / "all.zip", zipped(members | {"labels.csv": b"id,label\nb,ill\na,well\n"}))
    root, cache = tmp_path / "all.zip", tmp_path / "cache"
    found, faults = rows(root, cache_dir=cache, merge=[{"csv": "labels.csv", "on": "id"}])
    assert faults == []
    assert found.column("label").tolist() == ["well", "ill"]
    faults = list(refused(root, cache_dir=cache, csv="no.csv", merge=[{"csv": "none.csv", "on": "id"}]))
    assert ["set data.csv to" in faults[0], "set data.merge.0.csv to" in faults[1]] == [True, True]
