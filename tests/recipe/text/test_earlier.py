"""A recipe that an earlier version recorded reads its images as it did then."""

from __future__ import annotations

from pathlib import Path

import yaml

from contrastive_cxr import recipe
from contrastive_cxr.recipe.text.earlier import OF_DATA, OF_SOURCES


def written(data: dict[str, object], folder: Path) -> recipe.Recipe:
    """The recipe of a file with this data section, its other sections those of a shipped one."""
    tree = yaml.safe_load(recipe.dump(recipe.load("xray/label-free", ["data.root=images"])))
    file = folder / "recipe.yaml"
    file.write_text(yaml.safe_dump(tree | {"data": data}))
    return recipe.load(file)


def recorded() -> dict[str, object]:
    """The data section as this version writes it out."""
    tree: dict[str, dict[str, object]] = yaml.safe_load(recipe.dump(recipe.load("xray/label-free", ["data.root=a"])))
    return tree["data"]


def test_settings_that_were_not_there_keep_the_meaning_of_then(tmp_path: Path) -> None:
    before = {key: value for key, value in recorded().items() if key not in OF_SOURCES.keys() | OF_DATA.keys()}
    data = written(before, tmp_path).data
    assert (data.find_by, data.tags, data.decoding, data.columns.recognise) == ("ending", (), 1, True)
    table = written(before | {"source": "csv", "csv": "rows.csv"}, tmp_path).data
    assert not table.columns.recognise, "columns were read by their plain names alone"
    del before["outside"]
    assert written(before, tmp_path).data.find_by == "ending", "the oldest had no such setting either"
    source = {key: before[key] for key in ("source", "root", "csv", "images", "seed")}
    joined = before | {"join": [source, source | {"source": "csv", "csv": "rows.csv"}], "root": None}
    found = written(joined, tmp_path).data.join
    assert [(each.find_by, each.columns.recognise) for each in found] == [("ending", True), ("ending", False)]


def test_a_recipe_of_today_and_one_by_hand_have_the_new_meaning(tmp_path: Path) -> None:
    data = written(recorded(), tmp_path).data
    assert (data.find_by, data.decoding) == ("content", 2)
    by_hand: dict[str, object] = {"source": "folders", "root": "images", "outside": False, "seed": 3}
    assert written(by_hand, tmp_path).data.find_by == "content"


def test_a_url_is_recorded_as_it_is_and_a_folder_as_an_absolute_one(tmp_path: Path) -> None:
    for root, wanted in (("s3://bucket/x", "s3://bucket/x"), ("here", str(Path.cwd() / "here"))):
        loaded = recipe.load("xray/label-free", [f"data.root={root}"])
        file = tmp_path / "r.yaml"
        file.write_text(recipe.record(loaded))
        assert str(recipe.load(file).data.root) == wanted
