"""Which files are images: known by content, and what is none is counted and named."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from contrastive_cxr.data.files import tree
from contrastive_cxr.data.files.kinds import kind_of
from contrastive_cxr.data.sources import read, read_data, rows_of
from contrastive_cxr.recipe.schema import Data, Source
from tests.data.painted import dicom, picture, put, shades

pydicom = pytest.importorskip("pydicom")
TREE = Path(pydicom.__path__[0]) / "data" / "test_files" / "dicomdirtests"


def left_out_silently(root: Path) -> None:
    """The case of that name: 10 PNG files a class, and 14 files of class pos under other names."""
    for seed in range(10):
        put(root / f"neg/{seed}.png", picture(seed))
        put(root / f"pos/{seed}.png", picture(100 + seed))
    for seed in range(10, 13):
        content = dicom(shades(seed).astype(np.uint16) * 16)
        put(root / f"pos/IM-0001-{seed:04d}", content)
        put(root / f"pos/1.2.840.{seed}.ima", content)
    for seed in (13, 14):
        for kind, ending in (("JPEG", "jfif"), ("JPEG", "jpe"), ("WEBP", "webp"), ("GIF", "gif")):
            put(root / f"pos/{seed}.{ending}", picture(seed, kind))


def test_files_of_any_name_are_found_by_their_content(tmp_path: Path) -> None:
    left_out_silently(tmp_path / "images")
    manifest = read(Source(root=tmp_path / "images"), cache_dir=tmp_path / "cache")
    assert manifest.rows["label"].value_counts().to_dict() == {"pos": 24, "neg": 10}
    assert manifest.notes[0].startswith(f"6 DICOM files of {tmp_path / 'images'} have no PatientID, study or series")


def test_what_is_no_image_is_counted_and_named(tmp_path: Path) -> None:
    put(tmp_path / "pos/scan", picture(0, "TIFF"))
    put(tmp_path / "pos/notes.txt", b"BMW drove by")  # begins as a BMP file does
    put(tmp_path / "pos/report", b"%PDF-1.4")
    put(tmp_path / "neg/more.zip", b"PK\3\4")
    put(tmp_path / "neg/1.png", picture(1))
    put(tmp_path / "neg/1.npy", b"\x93NUMPY")
    os.mkfifo(tmp_path / "neg/pipe")
    manifest = read(Source(root=tmp_path), cache_dir=tmp_path / "cache")
    assert list(manifest.rows["path"]) == ["neg/1.png", "pos/scan"]
    assert manifest.notes == (
        f"3 files of {tmp_path} are no images that are known by their content, and are left out "
        "(neg/1.npy, neg/pipe, pos/notes.txt)",
        f"1 PDF file of {tmp_path} is left out (pos/report)",
        f"1 zip file of {tmp_path} is left out (neg/more.zip)",
    )


def test_junk_is_passed_over_without_a_word(tmp_path: Path) -> None:
    put(tmp_path / "a/0.png", picture(0))
    for name in ("a/Thumbs.db", "a/.DS_Store", "a/._0.png", "__MACOSX/a/._0.png", "__MACOSX/a/1.png", "desktop.ini"):
        put(tmp_path / name, b"junk")
    manifest = read(Source(root=tmp_path), cache_dir=tmp_path / "cache")
    assert list(manifest.rows["path"]) == ["a/0.png"]
    assert manifest.notes == ()


def test_a_recorded_recipe_of_before_finds_what_it_found(tmp_path: Path) -> None:
    left_out_silently(tmp_path / "images")
    manifest = read(Source(root=tmp_path / "images", find_by="ending"), cache_dir=tmp_path / "cache")
    assert (len(manifest), manifest.notes) == (20, ())
    assert "ViewPosition" not in manifest.rows


def test_ordinary_endings_are_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a/1.png", "a/2.JPG", "b/3.tiff"):
        put(tmp_path / name, picture(0))
    monkeypatch.setattr(tree.reading, "content", lambda *words: pytest.fail(f"opened {words}"))
    assert tree.listed(str(tmp_path), outside=False).files == ["a/1.png", "a/2.JPG", "b/3.tiff"]


def test_a_name_that_reads_as_an_address_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "a/x.png#frame=3", picture(0))
    (fault,) = tree.listed(str(tmp_path), outside=False).faults
    assert "x.png#frame=3" in fault
    assert "rename it" in fault


def test_the_tree_that_pydicom_ships_gives_31_images_of_2_patients(tmp_path: Path) -> None:
    manifest, faults = rows_of(Data(root=TREE, cache_dir=tmp_path))
    images = {  # by pydicom alone
        str(path.relative_to(TREE)): str(data.PatientID)
        for path in TREE.rglob("*")
        if path.is_file() and path.read_bytes()[128:132] == b"DICM" and "PixelData" in (data := pydicom.dcmread(path))
    }
    assert faults == []
    assert set(manifest.rows["path"]) == set(images)
    groups = manifest.rows.groupby("patient")["path"].agg(set)
    assert sorted(len(group) for group in groups) == [7, 24]
    assert {frozenset(group) for group in groups} == {
        frozenset(path for path, name in images.items() if name == one) for one in set(images.values())
    }
    assert not set(images.values()) & set(manifest.rows["patient"]), "PatientIDs are hashed"
    assert set(manifest.rows["Modality"]) == {"CR", "CT", "MR"}
    assert any("50 DICOM (without pixels) files" in note for note in manifest.notes)
    assert any("8 DICOMDIR files" in note for note in manifest.notes)


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [("PNG", "PNG"), ("JPEG", "JPEG"), ("TIFF", "TIFF"), ("BMP", "BMP"), ("WEBP", "WebP"), ("GIF", "GIF"),
     ("JPEG2000", "JPEG 2000"), ("PPM", "PNM")],
)  # fmt: skip
def test_kinds_are_those_that_pillow_writes(kind: str, wanted: str) -> None:
    assert kind_of(picture(0, kind)[:512]) == wanted


def test_text_is_no_picture() -> None:
    for text in (b"P1 was here\n", b"BM\n", b"file,label\n", b"", b"\x1f\x8b\x08\0broken"):
        assert kind_of(text) in ("", "gzip")


def test_images_in_no_list_of_covid_ct_are_counted(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        put(tmp_path / "CT_COVID" / name, picture(0))
    put(tmp_path / "Data-split/COVID/trainCT_COVID.txt", b"a.png\r\n")
    manifest = read(Source(source="covid-ct", root=tmp_path), cache_dir=tmp_path / "cache")
    assert manifest.notes == (f"1 images of {tmp_path} are in no list, and are left out (CT_COVID/b.png)",)


def test_the_label_may_be_the_outer_folders_alone(tmp_path: Path) -> None:
    for name in ("sick/p1/s1/1.png", "sick/p2/2.png", "well/p3/3.png"):
        put(tmp_path / name, picture(0))
    rows = read(Source(root=tmp_path, label_folders=1), cache_dir=tmp_path / "cache").rows
    assert list(rows["label"]) == ["sick", "sick", "well"]
    assert read_data(Data(root=tmp_path)).rows["label"].tolist() == ["sick/p1/s1", "sick/p2", "well/p3"]
