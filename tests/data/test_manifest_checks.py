"""Files of a manifest that are not there, and images and patients in two parts of a split."""

from __future__ import annotations

from pathlib import Path

from contrastive_cxr.data.manifest_checks import check_files, check_leaks
from tests.data.test_manifest import make


def test_check_files_names_missing_empty_and_folders(tmp_path: Path) -> None:
    rows = make(["a"] * 4, root=[str(tmp_path)] * 4)
    (tmp_path / "0.png").write_bytes(b"x")
    (tmp_path / "1.png").write_bytes(b"")
    (tmp_path / "2.png").mkdir()
    faults = check_files(rows)
    assert [name in fault for name, fault in zip(("1.png", "2.png", "3.png"), faults, strict=True)] == [True] * 3, (
        faults
    )
    assert ["empty" in faults[0], "folder" in faults[1], "missing" in faults[2]] == [True] * 3, faults
    many = check_files(make(["a"] * 50, root=[str(tmp_path / "none")] * 50))
    assert len(many) == 21, "20 are listed and the rest is counted"
    assert "30 more" in many[-1], many[-1]


def test_leaks_by_content_and_by_patient_are_found() -> None:
    split = ["train", "train", "val", "test", "val", "unused", "train"]
    digests = ["a", "b", "a", "c", "d", "b", ""]
    patients = ["p", "q", "", "q", "r", "p", ""]
    faults = check_leaks(digests, patients, split, [f"{n}.png" for n in range(7)])
    assert len(faults) == 2, faults
    assert faults[0].startswith("1 images"), faults[0]
    assert "0.png in train = 2.png in val" in faults[0], faults[0]
    assert "patient 'q' in test and train" in faults[1], faults[1]
    assert check_leaks(digests, patients, ["train"] * 7) == [], "one part cannot leak"
