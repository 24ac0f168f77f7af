"""Columns of somebody's table: by name, by what stands in them, or refused with what was seen."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from contrastive_cxr.datasets.new_recipe import label_columns, table_columns
from contrastive_cxr.errors import RequestError
from contrastive_cxr.recipe import schema

CSV = schema.Source(source="csv", csv=Path("t.csv"))


def written(root: Path, rows: dict[str, list[object]], files: list[str]) -> Path:
    """A table and empty files: names alone are looked at."""
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    pd.DataFrame(rows).to_csv(root / "t.csv", index=False)
    return root


def test_names_that_are_usual(tmp_path: Path) -> None:
    files = [f"{number}.png" for number in range(6)]
    rows: dict[str, list[object]] = {
        "Image": list(files),
        "Diagnosis": ["a", "b"] * 3,
        "Patient ID": [1, 1, 2, 2, 3, 3],
    }
    found = table_columns.guess(str(written(tmp_path, rows, files)), CSV)
    assert found.settings == {"columns": {"file": "Image", "label": "Diagnosis", "patient": "Patient ID"}}
    assert found.doubts == []


def test_names_that_say_nothing_are_told_by_the_cells(tmp_path: Path) -> None:
    files = [f"pictures/{number:03}.png" for number in range(12)]
    rows: dict[str, list[object]] = {
        "k": [f"{number:03}" for number in range(12)],  # without folder and ending
        "sex": ["f", "m"] * 6,
        "stage": ["I", "II", "III"] * 4,  # 'age' is in it and no word of it
        "free text": [f"words {number}" for number in range(12)],
    }
    found = table_columns.guess(str(written(tmp_path, rows, files)), CSV)
    assert found.settings["columns"] == {"file": "k", "label": "stage"}
    assert "'stage'" in found.doubts[0]


def test_two_columns_that_may_be_the_label_are_not_chosen_from(tmp_path: Path) -> None:
    files = [f"{number}.png" for number in range(8)]
    rows: dict[str, list[object]] = {"file": list(files), "first": ["a", "b"] * 4, "second": ["c", "c", "d", "d"] * 2}
    with pytest.raises(RequestError) as caught:
        table_columns.guess(str(written(tmp_path, rows, files)), CSV)
    seen, by_hand = caught.value.faults
    assert "'first', 'second'" in seen
    assert "'second' (2 values: 'c', 'd')" in seen
    assert "data.columns.label='first'" in by_hand


def test_words_of_this_field_tell_the_label(tmp_path: Path) -> None:
    files = [f"{number}.png" for number in range(8)]
    rows: dict[str, list[object]] = {
        "file": [*files],
        "Befund": ["normal", "Erguss"] * 4,
        "Gruppe": ["c", "c", "d", "d"] * 2,
    }
    found = table_columns.guess(str(written(tmp_path, rows, files)), CSV)
    assert found.settings["columns"]["label"] == "Befund"
    assert "'Befund'" in found.doubts[0]


def test_a_label_with_a_value_for_each_row_is_none(tmp_path: Path) -> None:
    files = [f"{number}.png" for number in range(30)]
    rows: dict[str, list[object]] = {"file": list(files), "label": [f"report {number}" for number in range(30)]}
    with pytest.raises(RequestError, match="'label' has 30 different values in 30 rows"):
        table_columns.guess(str(written(tmp_path, rows, files)), CSV)
    rows["label"] = ["normal"] * 30
    with pytest.raises(RequestError, match=r"'label' has one value in 30 rows.*\(1 value: 'normal'\)"):
        table_columns.guess(str(written(tmp_path, rows, files)), CSV)


def test_no_column_names_files(tmp_path: Path) -> None:
    rows: dict[str, list[object]] = {"file": ["x", "y", "z"], "label": ["a", "b", "a"]}
    with pytest.raises(RequestError, match=r"t\.csv: (the column .*, but )?no column") as caught:
        table_columns.guess(str(written(tmp_path, rows, ["other.png"])), CSV)
    assert "data.columns.file=COLUMN" in caught.value.faults[1]


def test_a_beginning_that_is_not_there(tmp_path: Path) -> None:
    files = [f"train/{number}.jpg" for number in range(6)]
    rows: dict[str, list[object]] = {"Path": [f"Set-v1/{file}" for file in files], "label": ["a", "b"] * 3}
    found = table_columns.guess(str(written(tmp_path, rows, files)), CSV)
    assert found.settings["columns"]["prefix"] == "Set-v1/"


def test_rows_without_file_are_told_by_a_column_or_left_out(tmp_path: Path) -> None:
    names = [f"{number}.png" for number in range(9)]
    rows: dict[str, list[object]] = {
        "file": list(names),
        "label": ["a", "b", "a"] * 3,
        "modality": ["X-ray"] * 6 + ["CT"] * 3,
        "place": list("xxyyxxzzz"),
    }
    found = table_columns.guess(str(written(tmp_path, rows, names[:6])), CSV)
    assert found.settings["where"] == {"modality": "X-ray"}
    del rows["modality"], rows["place"]
    found = table_columns.guess(str(written(tmp_path / "b", rows, names[:6])), CSV)
    assert found.settings["on_bad_image"] == "skip"
    assert "3 of 9 files" in found.doubts[0]


def test_empty_labels_and_repeated_images(tmp_path: Path) -> None:
    files = [f"{number}.png" for number in range(6)]
    rows: dict[str, list[object]] = {"file": [*files, "0.png"], "label": ["a", "b", "", "a", "b", "a", "a"]}
    found = table_columns.guess(str(written(tmp_path, rows, files)), CSV)
    assert found.settings["leave_out"] == [""]
    assert found.settings["repeated"] == "join"


def test_a_patient_that_is_a_guess_is_a_doubt(tmp_path: Path) -> None:
    files = [f"{number}.png" for number in range(6)]
    rows: dict[str, list[object]] = {"file": list(files), "label": ["a", "b"] * 3, "Fall-Nr": [1, 1, 2, 2, 3, 3]}
    found = table_columns.guess(str(written(tmp_path, rows, files)), CSV)
    assert found.settings["columns"]["patient"] == "Fall-Nr"
    assert "'Fall-Nr'" in found.doubts[0]


def test_what_is_known_is_not_guessed(tmp_path: Path) -> None:
    files = [f"{number}.png" for number in range(6)]
    rows: dict[str, list[object]] = {"file": list(files), "label": ["a", "b"] * 3, "grade": [1, 2] * 3}
    given = schema.Source.model_validate(
        {"source": "csv", "csv": "t.csv", "columns": {"label": "grade", "patient": "label"}}
    )
    assert table_columns.guess(str(written(tmp_path, rows, files)), given).settings["columns"] == {"file": "file"}


@pytest.mark.parametrize(
    ("cells", "mark"),
    [
        (["Edema|Mass", "Edema", "Mass", "No Finding"], "|"),
        (["a, b", "c, d", "e"], ""),
        (["normal", "ill"], ""),
        (["scar;mass", "scar", "mass", "mass;scar"], ";"),
    ],
)
def test_cells_that_list_findings(cells: list[str], mark: str) -> None:
    assert label_columns.listed_by(pd.Series(cells)) == mark
