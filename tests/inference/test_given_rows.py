"""Files, folders, archives and tables of images, together, and what is known of their images."""

from __future__ import annotations

import logging
from pathlib import Path

import pandas as pd
import pytest

from contrastive_cxr.errors import RequestError
from contrastive_cxr.inference.given_rows import given, given_rows, is_table
from tests.data.painted import picture, put, zipped


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two class folders, and a table that names some of their images and one more."""
    for name in ("sick/a.png", "sick/b.png", "well/c.png", "loose/d.png"):
        put(tmp_path / "images" / name, picture(len(name)))
    pd.DataFrame(
        {"file": ["well/c.png", "sick/a.png"], "label": ["W", "S"], "patient": ["p2", "p1"], "split": ["test", "train"]}
    ).to_csv(tmp_path / "images" / "labels.csv", index=False)
    return tmp_path / "images"


def test_files_folders_and_tables_stand_side_by_side(folder: Path) -> None:
    found = given([folder / "labels.csv", folder / "sick", folder / "loose" / "d.png"])
    names = ["sick/a.png", "well/c.png", "sick/a.png", "sick/b.png", "loose/d.png"]
    assert found == [folder / name for name in names]
    assert given(folder / "loose" / "d.png") == [folder / "loose" / "d.png"]


def test_a_table_tells_labels_patients_and_splits(folder: Path) -> None:
    rows = given_rows(folder / "labels.csv").set_index("file")
    assert list(rows) == ["label", "patient", "split"]
    assert list(rows.loc[str(folder / "well/c.png")]) == ["W", "p2", "test"]


def test_all_images_of_a_folder_come_and_what_its_table_knows_beside_them(folder: Path) -> None:
    rows = given_rows(folder).set_index("file")
    assert [Path(name).name for name in rows.index] == ["d.png", "a.png", "b.png", "c.png"]
    assert list(rows["label"]) == ["", "S", "", "W"]
    assert list(rows["patient"]) == ["", "p1", "", "p2"]


def test_a_relative_path_changes_nothing_but_the_files_names(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = given_rows(folder)
    monkeypatch.chdir(folder)
    for place in (Path(), "./"):
        rows = given_rows(place)
        assert [str(folder / name) for name in rows["file"]] == list(whole["file"])
        assert rows["label"].tolist() == whole["label"].tolist()
    (folder.parent / "lists").mkdir()
    pd.DataFrame({"file": ["../images/sick/a.png", str(folder / "well/c.png")], "label": ["S", "W"]}).to_csv(
        folder.parent / "lists" / "list.csv", index=False
    )
    found = given("../lists/list.csv")
    assert sorted(path.resolve() for path in found) == [folder / "sick/a.png", folder / "well/c.png"]


def test_class_folders_are_labels_and_nothing_else_is_claimed(folder: Path) -> None:
    (folder / "labels.csv").unlink()
    rows = given_rows(folder)
    assert list(rows) == ["file", "label"]
    assert list(rows["label"]) == ["loose", "sick", "sick", "well"]
    assert list(given_rows(folder / "sick")) == ["file"]
    archive = put(folder.parent / "all.zip", zipped({"x/a.png": picture(1), "y/b.png": picture(2)}))
    assert list(given_rows(archive)["label"]) == ["x", "y"]


def test_labels_are_looked_up_silently_and_not_for_a_plain_list(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(folder / "sick" / "notes.txt", b"no image")
    with caplog.at_level(logging.WARNING):
        given_rows(folder)
    assert caplog.text.count("notes.txt") == 1
    monkeypatch.setattr(
        "contrastive_cxr.inference.given_rows.layout_of", lambda *_, **__: pytest.fail("a layout was read")
    )
    assert len(given(folder)) == 4


def test_every_fault_of_every_source_is_told(folder: Path) -> None:
    pd.DataFrame({"file": ["gone.png"], "label": ["a"]}).to_csv(folder / "other.csv", index=False)
    with pytest.raises(RequestError) as caught:
        given([folder / "nowhere", folder / "other.csv", folder / "neither.png"])
    text = "\n".join(caught.value.faults)
    assert all(word in text for word in ("nowhere", "gone.png", "neither.png"))
    with pytest.raises(RequestError, match="no image is given"):
        given([])


def test_what_is_a_table(folder: Path, tmp_path: Path) -> None:
    assert is_table(folder / "labels.csv")
    assert is_table("https://example.org/labels.csv")
    assert not is_table(folder / "gone.csv")
    assert not is_table(folder)
    assert not is_table(put(tmp_path / "x.zip", zipped({"a.png": picture(1)})))
