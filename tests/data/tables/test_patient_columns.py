"""Columns that may be the patient's are named; words that name no patient, and rounded numbers, are told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from contrastive_cxr.data.sources import rows_of
from contrastive_cxr.data.tables.columns import Named
from contrastive_cxr.data.tables.patient_columns import looks_like_patients
from contrastive_cxr.recipe.schema import Data
from tests.data.painted import dicom, put, shades

GROUPS = ["1", "1", "2", "2", "3", "3"]


@pytest.mark.parametrize(
    "name", ["Patient Code (hospital)", "Nº paciente", "ptes / case", "患者番号", "Fallnummer", "id"]
)
def test_a_column_that_may_be_the_patients_is_named_with_the_line(tmp_path: Path, name: str) -> None:
    for number in range(6):
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / f"{number}.png")
    pd.DataFrame({"file": [f"{number}.png" for number in range(6)], "label": list("ababab"), name: GROUPS}).to_csv(
        tmp_path / "labels.csv", index=False
    )
    notes = rows_of(Data.model_validate({"source": "csv", "root": tmp_path}))[0].notes
    assert notes == (
        "labels.csv has no column that is known as the patient, so images of one patient may stand in train, val and "
        f"test; data.columns.patient='{name}' keeps those of one together, if it is the patient",
    )


def test_facts_of_patients_and_numbers_of_images_are_no_patients() -> None:
    table = pd.DataFrame(
        {
            "patient_age": GROUPS,
            "Patient Gender": list("mfmfmf"),
            "id": list("123456"),
            "view": GROUPS,
            "kV no": ["1"] * 6,
        }
    )
    named = Named({"file": None, "label": None, "study": None})
    assert looks_like_patients(table, named) == []
    assert looks_like_patients(table.assign(subject_key=GROUPS, scan_id=GROUPS), named) == ["subject_key", "scan_id"]


def test_words_that_name_nobody_and_numbers_that_were_rounded(tmp_path: Path) -> None:
    people = ["NA", "unknown", "p1", "1.23E+09", "1,5E+10", "-"]
    for number in range(6):
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / f"{number}.png")
    (tmp_path / "labels.csv").write_text(
        "file;label;patient\n" + "".join(f"{number}.png;a;{name}\n" for number, name in enumerate(people))
    )
    found = rows_of(Data.model_validate({"source": "csv", "root": tmp_path}))[0]
    assert list(found.rows["patient"]) == ["", "", "p1", "1.23E+09", "1,5E+10", ""]
    assert found.notes[1:] == (
        "labels.csv: 3 rows have 'NA', 'unknown', '-' as their patient, which is read as not known",
        "labels.csv: 2 patients are numbers that a spreadsheet has rounded, such as '1.23E+09', so different patients "
        "may have the same one; take the table from before that, or another column",
    )


def test_nothing_is_said_where_headers_name_the_patients(tmp_path: Path) -> None:
    pytest.importorskip("pydicom")
    for number in range(2):
        put(tmp_path / f"{number}.dcm", dicom(shades(number), PatientID=f"p{number}"))
    (tmp_path / "labels.csv").write_text("file,label,study\n0.dcm,a,s\n1.dcm,b,t\n")
    settings = Data.model_validate({"source": "csv", "root": tmp_path, "cache_dir": tmp_path / "cache"})
    said = rows_of(settings)[0]
    assert (said.rows["patient"] != "").all()
    assert not any("is known as the patient" in note for note in said.notes)
    put(tmp_path / "1.dcm", dicom(shades(1)))
    assert any("data.columns.patient='study' keeps those of one study" in note for note in rows_of(settings)[0].notes)
