"""A recipe that an earlier version recorded reads its images as it did then."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from contrastive_cxr import recipe
from contrastive_cxr.errors import RequestError
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
    assert (data.find_by, data.decoding) == ("content", 3)
    by_hand: dict[str, object] = {"source": "folders", "root": "images", "outside": False, "seed": 3}
    assert written(by_hand, tmp_path).data.find_by == "content"


def test_a_url_is_recorded_as_it_is_and_a_folder_as_an_absolute_one(tmp_path: Path) -> None:
    for root, wanted in (("s3://bucket/x", "s3://bucket/x"), ("here", str(Path.cwd() / "here"))):
        loaded = recipe.load("xray/label-free", [f"data.root={root}"])
        file = tmp_path / "r.yaml"
        file.write_text(recipe.record(loaded))
        assert str(recipe.load(file).data.root) == wanted


OLD = """
task: xray/three-class
data: {source: folders, root: images}
pretrain: {average: 0.9, grow_from: 64}
embed: {memory: 32, mining: hard}
finetune: {thawed_lr: 0.001}
runtime: {encode_batch: 8}
"""


def test_earlier_names_of_settings_are_read_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text(OLD)
    found = recipe.load(file, ["embed.average=0.5"])
    assert (found.pretrain.ema_decay, found.pretrain.initial_image_size) == (0.9, 64)
    assert (found.embed.ema_decay, found.embed.memory_bank_size) == (0.5, 32)
    assert (found.finetune.backbone_lr, found.runtime.eval_batch_size) == (0.001, 8)
    told = [line for line in caplog.messages if "earlier name" in line]
    assert len(told) == 6
    assert "recipe: embed.average is called embed.ema_decay now; the earlier name is read as before" in told


def test_what_a_run_wrote_out_is_read_without_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "recipe.yaml").write_text(OLD)
    tree = yaml.safe_load(recipe.dump(recipe.load(tmp_path / "recipe.yaml")))
    tree["pretrain"]["average"] = tree["pretrain"].pop("ema_decay")
    (tmp_path / "recorded.yaml").write_text(yaml.safe_dump(tree))
    caplog.clear()
    assert recipe.load(tmp_path / "recorded.yaml").pretrain.ema_decay == 0.9
    assert not caplog.messages


def test_an_override_by_an_earlier_name_wins_over_the_recipe(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(
        "task: xray/three-class\ndata: {source: folders, root: images}\npretrain: {ema_decay: 0.9}\n"
    )
    assert recipe.load(tmp_path / "recipe.yaml", ["pretrain.average=0.5"]).pretrain.ema_decay == 0.5
    with pytest.raises(RequestError, match="both are given; keep pretrain"):
        recipe.load(tmp_path / "recipe.yaml", ["pretrain={average: 0.5, ema_decay: 0.9}"])
