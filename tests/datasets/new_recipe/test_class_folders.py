"""Which level of folders is the class."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from contrastive_cxr.datasets.new_recipe import class_folders
from contrastive_cxr.errors import RequestError


def read(pattern: dict[str, str], path: str) -> str:
    found = re.search(pattern["match"], path)
    assert found is not None
    return found.group(1)


@pytest.mark.parametrize(
    "paths",
    [
        ["normal/1.png", "ill/2.png"],
        ["train/normal/1.png", "val/ill/2.png"],
        ["normal/1.png", "infected/covid/2.png", "infected/other/3.png"],
    ],
)
def test_plain_class_folders_need_no_setting(paths: list[str]) -> None:
    assert class_folders.guess(paths, "images").settings == {}


@pytest.mark.parametrize("split", ["", "train/"])
def test_folders_of_patients_and_a_single_folder_are_no_classes(split: str) -> None:
    found = class_folders.guess([f"{split}patient{number}/{view}.png" for number in range(6) for view in "ab"], "x")
    assert found.settings["label_folders"] == 0
    assert read(found.settings["columns"]["patient"], f"{split}patient3/a.png") == "patient3"
    single = class_folders.guess([f"{split}scans/{number}.png" for number in range(10)], "x")
    assert single.settings == {"label_folders": 0}
    assert class_folders.guess([f"{split}scans/{number}.png" for number in range(9)], "x").settings == {}
    numbered = [f"{split}{label}/{number}.png" for label in "012" for number in range(9)]
    assert class_folders.guess(numbered, "x").settings == {}, "few numbers are classes"


@pytest.mark.parametrize("split", ["", "train/"])
def test_patients_below_classes_and_classes_below_patients(split: str) -> None:
    below = [f"{split}{label}/patient{number}/1.png" for number in range(4) for label in ("ok", "sick")]
    found = class_folders.guess(below, "images")
    assert found.settings["label_folders"] == 1
    assert read(found.settings["columns"]["patient"], f"{split}ok/patient3/1.png") == "patient3"
    above = [f"{split}patient{number}/{label}/1.png" for number in range(4) for label in ("ok", "sick")]
    columns = class_folders.guess(above, "images").settings["columns"]
    assert read(columns["label"], f"{split}patient3/sick/1.png") == "sick"
    assert read(columns["patient"], f"{split}patient3/sick/1.png") == "patient3"


def test_hospitals_are_sources_where_the_classes_are_known_words() -> None:
    paths = [f"{place}/{label}/1.png" for place in ("bern", "graz") for label in ("normal", "pneumonia")]
    found = class_folders.guess(paths, "images")
    assert read(found.settings["columns"]["label"], "bern/normal/1.png") == "normal"
    assert read(found.settings["columns"]["source"], "bern/normal/1.png") == "bern"
    assert "'bern', 'graz'" in found.doubts[0]


@pytest.mark.parametrize(
    "paths",
    [
        [f"{a}/{b}/1.png" for a in "xy" for b in "kl"],
        [f"{a}/{b}/{c}/1.png" for a in "xy" for b in "kl" for c in "mn"],
        [f"{number}x/y/1.png" for number in range(30)],
    ],
)
def test_levels_that_nothing_tells_apart_are_refused(paths: list[str]) -> None:
    with pytest.raises(RequestError) as caught:
        class_folders.guess(paths, "images")
    seen, by_hand = caught.value.faults
    assert f"{paths[0].count('/')} levels of folders" in seen
    assert by_hand.startswith("write by hand: ")
    for pattern in re.findall(r'match: "([^"]+)"', by_hand):  # each line that is offered reads a level
        assert re.search(pattern, paths[0])


def test_what_is_seen_of_a_folder(tmp_path: Path) -> None:
    for name in ("a/1.png", "a/2.png", "b/3.PNG", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    said = class_folders.seen(str(tmp_path))
    assert said.startswith("4 files (3 .png, 1 .txt), 3 of them images; ")
    assert "2 in a" in said
    assert class_folders.seen(str(tmp_path / "none")) == "no files"
