"""A study of a real Orthanc is searched, and its report and pictures come back into it."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from contrastive_cxr.dicomweb.request import Login, StudyRequest
from contrastive_cxr.dicomweb.search import SearchSettings, search_study
from contrastive_cxr.errors import RequestError
from contrastive_cxr.inference.predict import predict
from contrastive_cxr.inference.search import search
from contrastive_cxr.retrieval import Gallery
from tests.dicomweb.conftest import PASSWORD, USER, Orthanc, Sent, pydicom, written

pytestmark = pytest.mark.slow
K3 = SearchSettings(k=3)


def validated(*files: Path) -> None:
    """`dciodvfy` finds no error in these files."""
    program = shutil.which("dciodvfy")
    if program is None:
        pytest.skip("dciodvfy is not installed (Debian: dicom3tools)")
    for file in files:
        done = subprocess.run([program, str(file)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "Error" not in done.stdout + done.stderr, done.stderr


def found(entry: dict[str, Any]) -> list[tuple[int, float]]:
    """Rows and distances of the neighbours."""
    return [(line["position"], round(line["distance"], 5)) for line in entry["neighbours"]]


def items(node: Any) -> list[Any]:
    """All content items of a structured report."""
    inner = [each for item in node.get("ContentSequence", []) for each in items(item)]
    return [node, *inner]


def test_both_objects_say_what_the_search_found_and_are_in_the_study(
    orthanc: Orthanc, sent: Sent, finished: Path, gallery: Path, pixels: list[NDArray[np.uint8]], tmp_path: Path
) -> None:
    study, out = sent(), tmp_path / "dicom"
    facts = search_study(gallery, StudyRequest(orthanc.url, study, out=out, store=True), K3)
    files = [tmp_path / f"{number}.dcm" for number in range(len(pixels))]
    for file, each in zip(files, pixels, strict=True):
        file.write_bytes(written(each, study))
    alone = search(gallery, files, k=3)
    assert sorted(map(found, facts["queries"])) == sorted(map(found, alone["queries"])), "as of the same files"
    told = predict(finished, files, tmp_path / "p.csv")
    assert sorted(each["prediction"]["decision"] for each in facts["queries"]) == sorted(told["decision"])

    assert sorted(path.name for path in out.iterdir()) == ["capture-0001.dcm", "capture-0002.dcm", "report.dcm"]
    held = {str(each.SOPInstanceUID): each for each in orthanc.instances(study)}
    assert len(held) == 6
    for file in out.iterdir():
        mine = pydicom.dcmread(file)
        assert str(mine.SOPInstanceUID) in held
        assert (mine.PatientID, str(mine.PatientName), mine.StudyInstanceUID) == ("QUERY-7", "Muster^Jörg", study)
    assert sorted(facts["stored"]) == sorted(str(pydicom.dcmread(file).SOPInstanceUID) for file in out.iterdir())

    tree = items(pydicom.dcmread(out / "report.dcm"))
    gaps = [float(each.MeasuredValueSequence[0].NumericValue) for each in tree if named(each, "distance")]
    assert gaps == pytest.approx([line["distance"] for one in facts["queries"] for line in one["neighbours"]], abs=1e-6)
    labels = [each.ConceptCodeSequence[0].CodeMeaning for each in tree if named(each, "neighbour-label")]
    assert labels == [line["label"] for one in facts["queries"] for line in one["neighbours"]]
    asked = {each.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for each in tree if each.ValueType == "IMAGE"}
    assert asked == {one["file"] for one in facts["queries"]}
    texts = " ".join(each.TextValue for each in tree if each.get("ValueType") == "TEXT")
    assert Gallery.load(gallery).model_digest in texts

    again = search_study(gallery, StudyRequest(orthanc.url, study), K3)
    assert sorted(map(found, again["queries"])) == sorted(map(found, facts["queries"])), "its own pictures are left out"
    assert "OT (2), SR (2)" in again["notes"][0]
    validated(*out.iterdir())


def named(item: Any, code: str) -> bool:
    """Whether the item's name is this code of ours."""
    return "ConceptNameCodeSequence" in item and item.ConceptNameCodeSequence[0].get("CodeValue") == code


def test_no_neighbours_patient_nor_file_is_in_the_objects(
    orthanc: Orthanc, sent: Sent, finished: Path, gallery: Path, tmp_path: Path
) -> None:
    held = Gallery.load(gallery)
    rows = held.rows.assign(patient=[f"SECRET^{number}" for number in range(len(held))])
    Gallery.build(held.vectors, rows, held.model_digest, kind="exact", preprocessing=held.about.preprocessing).save(
        tmp_path / "gallery"
    )
    out = tmp_path / "dicom"
    settings = SearchSettings(k=3, run=finished, where={"patient": [f"SECRET^{number}" for number in range(9)]})
    facts = search_study(tmp_path / "gallery", StudyRequest(orthanc.url, sent(), out=out), settings)
    assert "No patient of the gallery is known" in facts["notes"][1]
    near = [line for one in facts["queries"] for line in one["neighbours"]]
    assert all(line["patient"].startswith("SECRET") for line in near)
    for file in out.iterdir():
        content = file.read_bytes()
        for secret in ("SECRET", str(tmp_path), *(Path(line["path"]).name for line in near)):
            assert secret.encode() not in content, f"{secret} in {file.name}"


def test_images_of_the_studys_own_patient_are_no_neighbours(
    orthanc: Orthanc, sent: Sent, finished: Path, gallery: Path, tmp_path: Path
) -> None:
    study = sent()
    nearest = search_study(gallery, StudyRequest(orthanc.url, study), K3)["queries"][0]["neighbours"][0]["position"]
    held = Gallery.load(gallery)
    names = ["QUERY-7" if row == nearest else f"P{row}" for row in range(len(held))]
    rows = held.rows.assign(patient=names)
    Gallery.build(held.vectors, rows, held.model_digest, kind="exact", preprocessing=held.about.preprocessing).save(
        tmp_path / "gallery"
    )
    facts = search_study(tmp_path / "gallery", StudyRequest(orthanc.url, study), SearchSettings(k=3, run=finished))
    assert all(row != nearest for one in facts["queries"] for row, _ in found(one))


def test_a_login_is_wanted_shown_and_never_repeated(
    guarded: Orthanc, gallery: Path, pixels: list[NDArray[np.uint8]]
) -> None:
    study = str(pydicom.uid.generate_uid())
    guarded.send(written(pixels[0], study))
    with pytest.raises(RequestError, match=r"wants a login \(401\); set CCXR_DICOMWEB_USER"):
        search_study(gallery, StudyRequest(guarded.url, study), K3)
    with pytest.raises(RequestError, match=r"refuses the login \(401\)") as refused:
        search_study(gallery, StudyRequest(guarded.url, study, login=Login(USER, "wrong-word")), K3)
    assert "wrong-word" not in str(refused.value)
    assert len(search_study(gallery, StudyRequest(guarded.url, study, login=Login(USER, PASSWORD)), K3)["queries"]) == 1


def test_what_is_not_there_or_cannot_be_read_is_named_at_once(
    orthanc: Orthanc, gallery: Path, pixels: list[NDArray[np.uint8]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    with pytest.raises(RequestError, match="no such study"):
        search_study(gallery, StudyRequest(orthanc.url, "1.2.3.4"), K3)
    study = str(pydicom.uid.generate_uid())
    orthanc.send(written(None, study), written(None, study, Modality="KO"))
    with pytest.raises(RequestError, match=r"holds no images; what it holds is KO \(1\), SR \(1\)"):
        search_study(gallery, StudyRequest(orthanc.url, study), K3)
    bad = [written(each, study, PixelData=b"\0" * 8) for each in pixels]
    orthanc.send(*bad, written(pixels[0], study, PatientID="ANOTHER", PatientName="Other^One"))
    out = tmp_path / "dicom"
    with pytest.raises(RequestError) as refused:
        search_study(gallery, StudyRequest(orthanc.url, study, out=out), SearchSettings(k=0))
    faults = refused.value.faults
    assert any("-k 0" in each for each in faults)
    assert any("name 2 patients" in each for each in faults)
    with pytest.raises(RequestError) as refused:
        search_study(gallery, StudyRequest(orthanc.url, study), K3)
    for content in bad:
        name = str(pydicom.dcmread(pydicom.filebase.DicomBytesIO(content)).SOPInstanceUID)
        assert sum(f"instance {name}: is a DICOM file that is cut short" in each for each in refused.value.faults) == 1
    assert not out.exists()
    assert not list(Path(tempfile.gettempdir()).iterdir()), "no image stays behind"


def test_frames_are_referenced_by_their_number(
    orthanc: Orthanc, gallery: Path, pixels: list[NDArray[np.uint8]], tmp_path: Path
) -> None:
    study = str(pydicom.uid.generate_uid())
    orthanc.send(written(np.stack(pixels), study, SOPClassUID="1.2.840.10008.5.1.4.1.1.7.2", Modality="OT"))
    with pytest.raises(RequestError, match=r"instance [\d.]+.* frames"):
        search_study(gallery, StudyRequest(orthanc.url, study), K3)
    settings = SearchSettings(k=2, frames="all")
    facts = search_study(gallery, StudyRequest(orthanc.url, study, out=tmp_path / "d", kinds="sr"), settings)
    assert [one["file"].rpartition("#")[2] for one in facts["queries"]] == ["frame=0", "frame=1"]
    (file,) = (tmp_path / "d").iterdir()
    tree = items(pydicom.dcmread(file))
    frames = {each.ReferencedSOPSequence[0].ReferencedFrameNumber for each in tree if each.ValueType == "IMAGE"}
    assert frames == {1, 2}
    validated(file)


@pytest.mark.filterwarnings("ignore")  # pydicom's, of what is written here
def test_a_header_that_dicom_does_not_allow_neither_ends_the_search_nor_is_repeated(
    orthanc: Orthanc, gallery: Path, pixels: list[NDArray[np.uint8]], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    study = str(pydicom.uid.generate_uid())
    wrong = {
        "PatientSex": "X",
        "PatientBirthDate": "19",
        "StudyDate": "yesterday",
        "PatientName": f"One\\Two^{'x' * 90}",
    }
    orthanc.send(written(pixels[0], study, **wrong))
    capfd.readouterr()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        search_study(gallery, StudyRequest(orthanc.url, study, out=tmp_path / "d"), K3)
    assert "Two" not in "".join(capfd.readouterr())
    assert not [str(each.message) for each in told if "pydicom" in each.filename or "highdicom" in each.filename]
    for file in (tmp_path / "d").iterdir():
        made = pydicom.dcmread(file)
        assert (str(made.PatientName), made.PatientSex, made.PatientBirthDate or "", made.StudyDate or "") == (
            "One",
            "",
            "",
            "",
        )
    validated(*(tmp_path / "d").iterdir())
    other = str(pydicom.uid.generate_uid())
    orthanc.send(written(pixels[1], other, SOPClassUID="1.2.3.4.5"))
    with pytest.raises(RequestError, match=r"knows no SOP Class 1\.2\.3\.4\.5.*--dicom-as sc"):
        search_study(gallery, StudyRequest(orthanc.url, other, out=tmp_path / "e"), K3)
    assert not (tmp_path / "e").exists()
