"""Parts of a split that stand in lists of file names, and tables of the parts, against pandas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from contrastive_cxr.data.manifest import Manifest
from contrastive_cxr.data.sources import rows_of
from contrastive_cxr.errors import RequestError
from contrastive_cxr.recipe.schema import Data
from tests.data.painted import picture, put


def rows(root: Path, **settings: Any) -> tuple[Manifest, list[str]]:
    return rows_of(Data.model_validate({"source": "csv", "root": root, "csv": Path("rows.csv")} | settings))


def nine(root: Path) -> pd.DataFrame:
    """Nine images in two folders, of one name in both; the table without their folders but for those two."""
    names = [f"images_{1 + n % 2}/{n:04d}.png" for n in range(8)] + ["images_1/0001.png"]
    for name in names:
        put(root / name, picture(0))
    table = pd.DataFrame({"file": names, "label": list("ababababa")})
    put(root / "rows.csv", table.to_csv(index=False).encode())
    return table


LISTS = {"train": "train_val_list.txt", "test": "test_list.txt"}


def test_each_image_is_of_the_part_whose_list_names_it(tmp_path: Path) -> None:
    table = nine(tmp_path)
    put(
        tmp_path / "train_val_list.txt",
        b"\xef\xbb\xbf0000.png\r\n0002\r\nimages_1\\0004.png\r\n\r\nimages_2/0001.png\r\nIMAGES_1/0006\r\n",
    )
    put(tmp_path / "test_list.txt", b"0003.PNG\n0005.png\n0099.png\n")
    found, faults = rows(tmp_path, split_lists=LISTS)
    assert faults == []
    train, test = [0, 2, 4, 1, 6], [3, 5]
    part = dict.fromkeys(table["file"][train], "train") | dict.fromkeys(table["file"][test], "test")
    assert dict(zip(found.column("path"), found.column("split"), strict=True)) == {
        name: part.get(name, "unused") for name in table["file"]
    }
    said = "\n".join(found.notes)
    assert "train_val_list.txt puts 5 images into train, test_list.txt puts 2 images into test" in said
    assert "test_list.txt: 1 names are of no image that is read ('0099.png')" in said
    assert "2 images are in no list of data.split_lists, and are unused ('images_2/0007.png', " in said


def test_lists_count_for_class_folders_and_over_a_split_of_the_table(tmp_path: Path) -> None:
    nine(tmp_path)
    put(tmp_path / "a.txt", b"0000.png\n0003.png\n")
    found, _ = rows(tmp_path, source="folders", csv=None, split_lists={"train": "a.txt"})
    assert (found.column("split") == "train").sum() == 2
    table = pd.read_csv(tmp_path / "rows.csv").assign(split="val")
    table.to_csv(tmp_path / "rows.csv", index=False)
    found, _ = rows(tmp_path, split_lists={"train": "a.txt"})
    assert set(found.column("split")) == {"train", "unused"}
    assert any("and not the split that the images have besides" in note for note in found.notes)


def test_every_fault_of_lists_at_once(tmp_path: Path) -> None:
    nine(tmp_path)
    put(tmp_path / "test_list.txt", b"0000.png\n0001.png\n")
    put(tmp_path / "train_val_list.txt", b"0000.png\n0002.png\n")
    put(tmp_path / "other.txt", b"x.png\ny.png\n")
    _, faults = rows(tmp_path, split_lists=LISTS | {"val": "other.txt"})
    several, crossing, lost = faults
    assert "'0001.png' fits 2 images, 'images_2/0001.png', 'images_1/0001.png'; write its folder too" in several
    assert "1 images are in two lists of data.split_lists: '0000.png' in train and test" in crossing
    assert "none of its 2 names ('x.png', 'y.png') is an image of" in lost
    put(tmp_path / "empty.txt", b"\n")
    put(tmp_path / "latin.txt", "ö.png".encode("latin-1"))
    with pytest.raises(RequestError) as caught:
        rows(tmp_path, split_lists={"train": "train_val_lst.txt", "val": "empty.txt", "test": "latin.txt"})
    missing, empty, latin = caught.value.faults
    assert "data.split_lists.train: " in missing
    assert "did you mean 'train_val_list.txt'" in missing
    assert "set data.split_lists={}" in missing
    assert "is empty" in empty
    assert "not text in UTF-8" in latin


def test_tables_of_parts_are_read_one_below_the_other(tmp_path: Path) -> None:
    for part, number in (("train", 0), ("train", 1), ("val", 0), ("test", 0)):
        put(tmp_path / part / f"{number}.png", picture(0))
    lists = {"train": "p 0.png positive cohen\nq 1.png negative rsna\n", "val": "r 0.png negative rsna\n",
             "test": "s 0.png positive bimcv\n"}  # fmt: skip
    for part, text in lists.items():
        put(tmp_path / f"{part}.txt", text.encode())
    csv = {part: f"{part}.txt" for part in lists}
    columns = {"file": "{split}/{file}", "patient": "column 1", "label": "column 3", "source": "column 4"}
    found, faults = rows(tmp_path, csv=csv, columns=columns)
    assert faults == []
    wanted = pd.concat([pd.read_csv(tmp_path / f"{part}.txt", sep=" ", header=None).assign(split=part) for part in csv])
    got = found.rows.sort_values("patient")
    assert got["path"].tolist() == (wanted["split"] + "/" + wanted[1]).tolist()
    assert got["split"].tolist() == wanted["split"].tolist()
    assert got["label"].tolist() == wanted[2].tolist()
    assert got["source"].tolist() == wanted[3].tolist()
    put(tmp_path / "val.txt", b"file,label\n0.png,negative\n")
    with pytest.raises(RequestError) as caught:
        rows(tmp_path, csv=csv, columns=columns)
    assert "tables of data.csv have the same columns" in caught.value.faults[0]
    with pytest.raises(RequestError) as caught:
        rows(tmp_path, csv={"train": "none.txt", "test": "no.txt"})
    assert len(caught.value.faults) == 2
