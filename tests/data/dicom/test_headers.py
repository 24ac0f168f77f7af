"""Headers: whose an image is, and what its file says of it; people's names as keyed digests."""

from __future__ import annotations

import hashlib
import hmac
import stat
from pathlib import Path

import pytest

from contrastive_cxr.data.dicom import headers
from contrastive_cxr.data.sources import read
from contrastive_cxr.errors import RequestError
from contrastive_cxr.recipe.schema import Source
from tests.data.painted import dicom, picture, put, shades

pytest.importorskip("pydicom")


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(headers.KEY_VARIABLE, raising=False)


def one(root: Path, name: str = "a/1", **tags: object) -> None:
    put(root / name, dicom(shades(1), **tags))


def test_tags_are_columns_and_an_empty_one_is_an_absent_one(tmp_path: Path) -> None:
    one(tmp_path, ViewPosition="PA", Manufacturer="", BurnedInAnnotation="YES", PatientID="p1", ImageType=["A", "B"])
    put(tmp_path / "a/2.png", picture(2))
    source = Source(root=tmp_path, tags=("ViewPosition", "Manufacturer", "BurnedInAnnotation", "ImageType"))
    rows = read(source, cache_dir=tmp_path / "cache").rows
    assert rows.iloc[:, 6:].to_dict("list") == {
        "ViewPosition": ["PA", ""], "Manufacturer": ["", ""], "BurnedInAnnotation": ["YES", ""],
        "ImageType": ["A/B", ""],
    }  # fmt: skip


def test_patients_are_hashed_with_a_key_unless_asked_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one(tmp_path / "images", PatientID="MRN 12345")
    source = Source(root=tmp_path / "images", tags=("PatientID", "PatientName"))
    monkeypatch.setenv(headers.KEY_VARIABLE, "our key")
    rows = read(source, cache_dir=tmp_path / "cache").rows
    wanted = hmac.new(b"our key", b"MRN 12345", hashlib.sha256).hexdigest()[:16]
    assert rows[["patient", "PatientID", "PatientName"]].values.tolist() == [[wanted, wanted, ""]]
    assert not (tmp_path / "cache").exists()
    monkeypatch.delenv(headers.KEY_VARIABLE)
    first = read(source, cache_dir=tmp_path / "cache").rows["patient"][0]
    assert first not in ("MRN 12345", wanted)
    assert read(source, cache_dir=tmp_path / "cache").rows["patient"][0] == first, "the key is kept"
    assert stat.S_IMODE((tmp_path / "cache" / "patient.key").stat().st_mode) == 0o600
    assert read(source, cache_dir=tmp_path / "other").rows["patient"][0] != first, "each computer has its own"
    plain = source.model_copy(update={"patient_ids": "plain"})
    assert read(plain, cache_dir=tmp_path / "cache").rows["patient"][0] == "MRN 12345"


def test_a_study_stands_for_a_patient_without_a_name_and_it_is_said(tmp_path: Path) -> None:
    one(tmp_path, "a/1", StudyInstanceUID="1.2", PatientID="")
    one(tmp_path, "a/2", StudyInstanceUID="1.2")
    one(tmp_path, "a/3", SeriesInstanceUID="1.3")
    one(tmp_path, "a/4")
    manifest = read(Source(root=tmp_path, patient_ids="plain"), cache_dir=tmp_path / "cache")
    assert list(manifest.rows["patient"]) == ["1.2", "1.2", "1.3", ""]
    assert manifest.notes == (
        f"3 DICOM files of {tmp_path} have no PatientID; the study, else the series, stands for the patient",
        f"1 DICOM file of {tmp_path} has no PatientID, study or series, so nothing is known of the patient",
    )


def test_a_tables_own_columns_count(tmp_path: Path) -> None:
    one(tmp_path, "1.dcm", PatientID="of the file", ViewPosition="AP")
    (tmp_path / "labels.csv").write_text("file,label,patient,ViewPosition\n1.dcm,x,of the table,PA\n")
    rows = read(Source(source="csv", csv=Path("labels.csv"), root=tmp_path), cache_dir=tmp_path / "cache").rows
    assert rows[["patient", "ViewPosition"]].values.tolist() == [["of the table", "PA"]]
    (tmp_path / "labels.csv").write_text("file,label\n1.dcm,x\n")
    source = Source(source="csv", csv=Path("labels.csv"), root=tmp_path, patient_ids="plain")
    rows = read(source, cache_dir=tmp_path / "cache").rows
    assert rows[["patient", "ViewPosition"]].values.tolist() == [["of the file", "AP"]]


def test_a_word_that_is_no_tag_is_refused_with_the_nearest(tmp_path: Path) -> None:
    one(tmp_path)
    with pytest.raises(RequestError, match=r"'ViewPostion' is no attribute of DICOM \(did you mean 'ViewPosition'\?\)"):
        read(Source(root=tmp_path, tags=("ViewPostion",)), cache_dir=tmp_path / "cache")


def test_reports_are_no_images_and_damaged_headers_are_left_to_decoding(tmp_path: Path) -> None:
    one(tmp_path, "a/1", PatientID="p")
    put(tmp_path / "a/report", dicom(None, PatientID="p"))
    put(tmp_path / "a/cut.dcm", dicom(shades(1))[:200])
    manifest = read(Source(root=tmp_path), cache_dir=tmp_path / "cache")
    assert list(manifest.rows["path"]) == ["a/1", "a/cut.dcm"]
    assert f"1 DICOM (without pixels) file of {tmp_path} is left out (a/report)" in manifest.notes


def test_a_header_is_read_once_and_a_changed_file_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pydicom

    one(tmp_path, PatientID="p1")
    file, opened = str(tmp_path / "a/1"), []
    plain = pydicom.dcmread
    monkeypatch.setattr(pydicom, "dcmread", lambda *words, **named: opened.append(1) or plain(*words, **named))
    for _ in range(3):
        found = headers.header_of(file, ())
        assert found is not None
        assert found.patient == "p1"
    assert len(opened) == 1
    one(tmp_path, PatientID="another")
    found = headers.header_of(file, ())
    assert found is not None
    assert found.patient == "another"


def test_a_header_longer_than_the_first_bytes_and_a_deflated_one_are_read_whole(tmp_path: Path) -> None:
    from tests.data.corpus.writers import dicom as deflated

    one(
        tmp_path,
        PatientID="p1",
        DeviceDescription="x" * 10,
        PatientComments="x" * 2 * headers.HEADER,
        ViewPosition="PA",
    )
    found = headers.header_of(str(tmp_path / "a/1"), ("ViewPosition", "DeviceDescription"))
    assert found is not None
    assert (found.patient, found.image, found.values) == ("p1", True, ("PA", "x" * 10))
    whole = deflated(shades(1, 300), "1.2.840.10008.1.2.1.99", PatientID="p2")
    assert len(whole) > headers.HEADER, "noise does not shrink"
    found = headers.header_of(str(put(tmp_path / "a/2", whole)), ())
    assert found is not None
    assert (found.patient, found.image) == ("p2", True)


def test_a_place_along_the_axis_is_the_position_in_the_direction_of_the_normal(tmp_path: Path) -> None:
    one(tmp_path, ImagePositionPatient=[3, 4, 5], ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
    found = headers.header_of(str(tmp_path / "a/1"), ())
    assert found is not None
    assert found.along == pytest.approx(-3.0)  # (0,1,0) x (0,0,-1) = (-1,0,0)
