"""Rows of people's own tables: the cases of the field, painted here, and others of their kind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from contrastive_cxr.data.manifest import Manifest
from contrastive_cxr.data.sources import rows_of
from contrastive_cxr.errors import RequestError
from contrastive_cxr.recipe.schema import Data


def put(root: Path, names: Sequence[str]) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((4, 4), dtype=np.uint8)).save(root / name, format="PNG")


def table(root: Path, rows: list[dict[str, Any]], name: str = "labels.csv", **how: Any) -> None:
    root.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(root / name, index=False, **how)


def rows(root: Path, **settings: Any) -> tuple[Manifest, list[str]]:
    return rows_of(Data.model_validate({"source": "csv", "root": root, "csv": Path("labels.csv")} | settings))


def refused(root: Path, **settings: Any) -> tuple[str, ...]:
    with pytest.raises(RequestError) as caught:
        rows(root, **settings)
    return caught.value.faults


def covid_chestxray(root: Path) -> None:
    findings = ["Pneumonia/Viral/COVID-19", "No Finding", "Pneumonia/Bacterial", "todo"]
    put(root, [f"images/img_{number}.png" for number in range(8)])
    made = [
        {"patientid": number // 2, "finding": findings[number % 4], "modality": "X-ray", "folder": "images",
         "filename": f"img_{number}.png"}
        for number in range(8)
    ]  # fmt: skip
    made += [made[0] | {"patientid": 9, "modality": "CT", "folder": "volumes", "filename": "vol.nii.gz"}]
    table(root, made)


CHOSEN: dict[str, Any] = {"where": {"modality": "X-ray"}, "leave_out": ("todo",)}


def test_covid_chestxray_as_it_is(tmp_path: Path) -> None:
    covid_chestxray(tmp_path)
    found, faults = rows(tmp_path, columns={"file": "{folder}/{filename}"}, **CHOSEN)
    assert faults == []
    assert found.rows[["path", "label", "patient"]].values.tolist() == [
        ["images/img_0.png", "Pneumonia/Viral/COVID-19", "0"],
        ["images/img_1.png", "No Finding", "0"],
        ["images/img_2.png", "Pneumonia/Bacterial", "1"],
        ["images/img_4.png", "Pneumonia/Viral/COVID-19", "2"],
        ["images/img_5.png", "No Finding", "2"],
        ["images/img_6.png", "Pneumonia/Bacterial", "3"],
    ]
    said = " ".join(found.notes)
    for words in (
        "the column 'finding' is read as the label",
        "the column 'patientid' is read as the patient",
        "8 of 9 rows have modality X-ray",
        "2 rows with the label 'todo' are left out",
    ):
        assert words in said
    assert str(tmp_path) not in said, "notes go into reports"


def test_missing_files_that_a_pattern_would_find_are_answered_with_its_line(tmp_path: Path) -> None:
    put(tmp_path, ["images/one/img_1.png"])
    table(tmp_path, [{"finding": "a", "folder": "images", "filename": "one/img_1.png"}])
    _, faults = rows(tmp_path)
    assert "data.columns.file='{folder}/{filename}'" in faults[0]
    put(tmp_path / "new", ["train/a.png"])
    table(tmp_path / "new", [{"file": "Set-v1/train/a.png", "label": "x"}])
    _, faults = rows(tmp_path / "new")
    assert "data.columns.prefix=Set-v1/" in faults[0]
    assert rows(tmp_path / "new", columns={"prefix": "Set-v1/"})[1] == []


def test_chexperts_patients_and_studies_are_in_the_path(tmp_path: Path) -> None:
    paths = [f"CheXpert-v1.0-small/train/patient{n // 2:05d}/study{n % 2 + 1}/view1.jpg" for n in range(4)]
    put(tmp_path, paths)
    table(tmp_path, [{"Path": path, "Pneumonia": [1.0, 0.0, -1.0, None][n]} for n, path in enumerate(paths)])
    found, faults = rows(tmp_path, columns={"split": {"column": "Path", "match": "/(train|valid)/"}})
    assert faults == []
    assert found.column("patient").tolist() == ["patient00000"] * 2 + ["patient00001"] * 2
    assert found.column("study").tolist() == ["study1", "study2"] * 2
    assert set(found.column("split")) == {"train"}
    assert "read from the files' folders" in " ".join(found.notes)
    before = rows(tmp_path, columns={"recognise": False, "file": "Path"})[0]
    assert set(before.column("patient")) == {""}, "nothing is recognised where that is said"


@pytest.mark.parametrize(
    "name",
    ["patientid", "patient_id", "Patient ID", "PatientID", "patientId", "subject_id", "Subject", "participant", "MRN"],
)
def test_a_column_that_looks_like_the_patient_is_read_as_it_and_told(tmp_path: Path, name: str) -> None:
    put(tmp_path, ["1.png", "2.png"])
    table(tmp_path, [{name: 7.0, "file": "1.png", "label": 1.0}, {name: None, "file": "2.png", "label": 0.0}])
    found, _ = rows(tmp_path)
    assert found.column("patient").tolist() == ["7", ""], "1, not 1.0"
    assert found.column("label").tolist() == ["1", "0"]
    assert f"the column '{name}' is read as the patient" in " ".join(found.notes)
    assert set(rows(tmp_path, columns={"recognise": False})[0].column("patient")) == {""}


def test_what_looks_like_a_role_and_cannot_be_used_is_named(tmp_path: Path) -> None:
    put(tmp_path, ["1.png", "2.png"])
    made = {"file": "1.png", "diagnosis": "x", "class": "y", "set": "NIH", "StudyInstanceUID": "1.2"}
    table(tmp_path, [made, made | {"file": "2.png", "set": "train"}])
    found, faults = rows(tmp_path)
    said = " ".join(found.notes)
    assert faults == []
    assert "several that may be it, ['class', 'diagnosis']" in said
    assert "'set' that may be a split, but its values ['nih', 'train']" in said
    assert "data.columns.patient='StudyInstanceUID' keeps those of one study together" in said
    table(tmp_path, [made | {"set": "Training"}, made | {"file": "2.png", "set": "test"}])
    assert rows(tmp_path)[0].column("split").tolist() == ["train", "test"], "where its words are those of a split"


def test_two_columns_of_one_name_but_for_case_are_refused_with_the_line(tmp_path: Path) -> None:
    table(tmp_path, [{"file": "1.png", "label": "x", "patient_id": 1, "PatientID": 2}])
    (fault,) = refused(tmp_path)
    assert "['patient_id', 'PatientID'], which all look like the patient" in fault
    assert "data.columns.patient='patient_id'" in fault


def test_wrong_columns_come_all_at_once_with_the_nearest_and_the_line(tmp_path: Path) -> None:
    table(tmp_path, [{"folder": "a", "picture": "1.png", "finding": "x"}])
    wrong = {"file": "{foldr}/{picture}", "label": "Findin", "patient": {"column": "pictur", "match": "."}}
    found = refused(tmp_path, columns=wrong, where={"view": "PA"})
    assert len(found) == 4
    for fault, line in zip(
        found,
        ("data.columns.file='{folder}/{picture}'", "data.columns.label='finding'",
         "data.columns.patient.column='picture'", "data.where"),
        strict=True,
    ):  # fmt: skip
        assert line in fault
        assert "['folder', 'picture', 'finding']" in fault
    (fault,) = refused(tmp_path)
    assert "no column that is known to name the images" in fault


def test_rows_without_a_label_are_left_out_when_asked_and_refused_otherwise(tmp_path: Path) -> None:
    put(tmp_path, [f"x{number}.png" for number in range(6)])
    made = [{"file": f"x{n}.png", "label": [0, 1, None][n % 3], "patient": float(n)} for n in range(6)]
    table(tmp_path, made, encoding="utf-8-sig")
    found, faults = rows(tmp_path)
    assert [fault.split("labels.csv ")[1].split(":")[0] for fault in faults] == ["row 3", "row 6"]
    assert """data.leave_out="['']\"""" in faults[0]
    found, faults = rows(tmp_path, leave_out=("",))
    assert faults == []
    assert found.column("label").tolist() == ["0", "1", "0", "1"]
    assert found.column("patient").tolist() == ["0", "1", "3", "4"]
    assert "2 rows without a label are left out" in " ".join(found.notes)
    assert "every one of the 6 rows" in refused(tmp_path, leave_out=("", 0, 1))[0]
    assert "(did you mean" not in " ".join(rows(tmp_path, leave_out=("", "tood"))[0].notes)


def test_where_chooses_rows_by_text_number_and_truth(tmp_path: Path) -> None:
    put(tmp_path, [f"{number}.png" for number in range(4)])
    table(
        tmp_path, [{"file": f"{n}.png", "label": "x", "n": float(n), "ok": n > 1, "s": "ab"[n % 2]} for n in range(4)]
    )

    def kept(**where: Any) -> list[str]:
        return [str(path) for path in rows(tmp_path, where=where)[0].column("path")]

    assert kept(n=2) == ["2.png"]
    assert kept(n=(1, 3), s="b") == ["1.png", "3.png"]
    assert kept(ok=True) == ["2.png", "3.png"]
    assert "no row of" in refused(tmp_path, where={"s": "c"})[0]
    assert "are ['a', 'b']" in refused(tmp_path, where={"s": "c"})[0]


def test_two_files_that_fit_a_name_are_a_fault(tmp_path: Path) -> None:
    put(tmp_path, ["a.png", "a.jpg", "b.jpg"])
    table(tmp_path, [{"file": "a", "label": "x"}, {"file": "b", "label": "x"}])
    found, faults = rows(tmp_path)
    assert any("2 files fit it (a.jpg, a.png)" in fault for fault in faults)
    assert "'b' is 'b.jpg'" in " ".join(found.notes)


def test_a_folder_a_row_by_its_own_column(tmp_path: Path) -> None:
    put(tmp_path, ["one/x/1.png", "two/1.png"])
    made = [{"file": "1.png", "label": "x", "hospital": "A"}, {"file": "1.png", "label": "y", "hospital": "B"}]
    table(tmp_path, made)
    found, faults = rows(tmp_path, columns={"folder": "hospital", "folders": {"A": "one/x", "B": "two"}})
    assert (faults, found.column("path").tolist()) == ([], ["one/x/1.png", "two/1.png"])
    assert (
        "nothing of the values ['B']" in refused(tmp_path, columns={"folder": "hospital", "folders": {"A": "one/x"}})[0]
    )
    source = rows(tmp_path, columns={"folder": "hospital", "folders": {"A": "one/x", "B": "two"}, "source": "hospital"})
    assert source[0].column("source").tolist() == ["A", "B"]


def test_rows_of_one_image_become_one_where_that_is_asked(tmp_path: Path) -> None:
    put(tmp_path, ["1.png", "2.png"])
    made = [("1", "Edema", 3), ("2", "Mass", 4), ("1", "Mass", 3), ("1", "Edema", 5)]
    table(tmp_path, [{"image_id": image, "class_name": finding, "rad": rad} for image, finding, rad in made])
    assert any("'1.png' has 3 rows" in fault for fault in rows(tmp_path)[1])
    found, faults = rows(tmp_path, repeated="join")
    assert faults == []
    assert found.rows[["path", "label", "rad"]].values.tolist() == [
        ["1.png", "Edema|Mass", "3|5"],
        ["2.png", "Mass", "4"],
    ]
    assert "3 rows of 1 images are joined" in " ".join(found.notes)


def test_labels_that_differ_by_case_or_blanks_alone_are_named(tmp_path: Path) -> None:
    put(tmp_path, [f"{number}.png" for number in range(4)])
    labels = ["COVID 19", "covid19", "normal", "COVID 19"]
    table(tmp_path, [{"file": f"{number}.png", "label": label} for number, label in enumerate(labels)])
    assert "the labels 'COVID 19' (2) and 'covid19' (1) differ by case or blanks alone" in " ".join(
        rows(tmp_path)[0].notes
    )


def test_columns_that_have_a_name_of_the_manifest_are_kept_beside_it(tmp_path: Path) -> None:
    put(tmp_path, ["1.png"])
    table(tmp_path, [{"file": "1.png", "finding": "x", "label": "y", "source": "s", "root": "r", "path": "p"}])
    found = rows(tmp_path, columns={"label": "finding"})[0].rows
    assert found[["label", "finding", "label (table)", "source (table)", "root (table)"]].values.tolist() == [
        ["x", "x", "y", "s", "r"]
    ]
    assert found["root"][0] == str(tmp_path)


def test_a_pattern_takes_the_beginning_of_a_column(tmp_path: Path) -> None:
    put(tmp_path, ["p10/p1000/s5/a.jpg"])
    table(tmp_path, [{"id": "a", "who": "1000", "study": "5", "label": "x", "odd:.1": "z"}])
    found, faults = rows(tmp_path, columns={"file": "p{who:.2}/p{who}/s{study}/{id}.jpg"})
    assert faults == []
    assert found.column("path").tolist() == ["p10/p1000/s5/a.jpg"]
    (fault,) = refused(tmp_path, columns={"file": "p{whom:.2}/{odd:.1}"})
    assert "has no column 'whom'" in fault, "a column that is called so is meant itself"
