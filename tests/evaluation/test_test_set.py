"""Which rows an evaluation on new images takes, and which it refuses; no model is needed to know."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from contrastive_cxr import recipe as recipes
from contrastive_cxr.errors import RequestError
from contrastive_cxr.evaluation.external import changed_recipe
from contrastive_cxr.evaluation.test_set import TestSet, new_images, without_recorded_table
from contrastive_cxr.run_folder.recorded import recipe_of
from tests.run_folder.recorded_runs import CLASSES, images, move, record, table

PARTS = {"train": 4, "val": 2, "test": 2}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return table(images(tmp_path / "images", PARTS), {"train/nodule/0.png": "p1", "val/nodule/0.png": "p2"})


@pytest.fixture
def run(root: Path, tmp_path: Path) -> Path:
    words = ("data.source=csv", "data.csv=labels.csv", f"data.root={root}")
    return record(tmp_path / "run", tmp_path / "cache", *words)


def asked(run: Path, root: Path, *words: str, split: str = "test", source: str = "folders") -> TestSet:
    csv = "labels.csv" if source == "csv" else "null"
    places = [f"data.source={source}", f"data.csv={csv}", f"data.root={root}", *words]
    return new_images(run, recipe_of(run), places, split)


def refused(run: Path, root: Path, *words: str, split: str = "test", source: str = "folders") -> str:
    with pytest.raises(RequestError) as caught:
        asked(run, root, *words, split=split, source=source)
    return "\n".join(caught.value.faults)


def paths(wanted: TestSet) -> list[str]:
    return list(wanted.data.manifest.column("path")[wanted.data.rows(wanted.split)])


def test_test_folders_alone(run: Path, tmp_path: Path) -> None:
    root = images(tmp_path / "new", {"test": 1}, first=500)
    assert paths(asked(run, root)) == [f"test/{name}/0.png" for name in sorted(CLASSES)]


def test_class_folders_alone_are_scored_whole(run: Path, tmp_path: Path) -> None:
    root = images(tmp_path / "new", {"test": 1}, first=500) / "test"
    assert paths(asked(run, root)) == [f"{name}/0.png" for name in sorted(CLASSES)]


def test_of_a_source_with_parts_only_the_wanted_one_is_read(run: Path, root: Path, tmp_path: Path) -> None:
    new = images(tmp_path / "new", {"test": 1}, first=500)
    shutil.copytree(root / "train", new / "train")  # the run's own training images beside the new test part
    found = asked(run, new)
    assert len(found.data) == 3
    assert found.reference is not None
    assert len(found.reference.rows("train")) == 12


def test_a_table_of_test_rows_alone(run: Path, tmp_path: Path) -> None:
    root = table(images(tmp_path / "new", {"test": 1}, first=500), {})
    assert len(asked(run, root, source="csv").data) == 3
    rows = pd.read_csv(root / "labels.csv")
    rows.drop(columns="split").to_csv(root / "labels.csv", index=False)
    assert len(asked(run, root, source="csv").data) == 3, "without parts all are scored"


def test_a_covid_ct_folder_with_test_lists_alone(run: Path, tmp_path: Path) -> None:
    root = images(tmp_path / "new", {"x": 3}, first=500)
    for label, name, number in (("CT_COVID", "COVID", "nodule"), ("CT_NonCOVID", "NonCOVID", "normal")):
        shutil.copytree(root / "x" / number, root / label)
        (root / "Data-split" / name).mkdir(parents=True)
        (root / "Data-split" / name / f"test{label}.txt").write_text("0.png\n2.png\n")
    words = "task={name: lists, positive: covid, classes: {covid: [CT_COVID], normal: [CT_NonCOVID]}}"
    mine = {"CT_COVID": "nodule", "CT_NonCOVID": "normal"}
    assert mine  # labels of the lists stand for classes of the task
    bare = record(tmp_path / "bare", tmp_path / "cache", *lists_of(tmp_path, words))
    found = new_images(bare, recipe_of(bare), [f"data.root={root}"], "test")
    assert paths(found) == ["CT_COVID/0.png", "CT_COVID/2.png", "CT_NonCOVID/0.png", "CT_NonCOVID/2.png"]


def lists_of(tmp_path: Path, task: str) -> list[str]:
    """Words of a recipe over a COVID-CT folder with train and val lists."""
    root = images(tmp_path / "lists", {"x": 4}, first=800)
    for label, name, number in (("CT_COVID", "COVID", "nodule"), ("CT_NonCOVID", "NonCOVID", "normal")):
        shutil.copytree(root / "x" / number, root / label)
        (root / "Data-split" / name).mkdir(parents=True)
        (root / "Data-split" / name / f"train{label}.txt").write_text("0.png\n1.png\n")
        (root / "Data-split" / name / f"val{label}.txt").write_text("2.png\n3.png\n")
    return ["data.source=covid-ct", f"data.root={root}", task]


def test_a_source_without_the_part_is_refused_with_what_it_has(run: Path, tmp_path: Path) -> None:
    root = images(tmp_path / "new", {"train": 2, "val": 1}, first=500)
    assert "no such part (they have train 6, val 3)" in refused(run, root)


def test_a_folder_that_is_not_there(run: Path, tmp_path: Path) -> None:
    assert "does not exist" in refused(run, tmp_path / "nowhere")


def test_training_images_among_the_new_ones_are_named(run: Path, root: Path, tmp_path: Path) -> None:
    new = images(tmp_path / "new", {"test": 1}, first=500)
    shutil.copy(root / "train" / "nodule" / "3.png", new / "test" / "normal" / "other-name.png")
    shutil.copy(root / "val" / "normal" / "0.png", new / "test" / "opacity" / "again.png")
    said = refused(run, new)
    assert "2 of 5 images" in said
    assert "by content: test/normal/other-name.png, test/opacity/again.png; take them out" in said


def test_a_patient_of_the_training_is_refused_within_one_source_name(run: Path, tmp_path: Path) -> None:
    patients = {"test/nodule/0.png": "p1", "test/normal/0.png": "p9"}
    same = table(images(tmp_path / "second" / "images", {"test": 1}, first=500), patients)
    assert "1 of 3 images" in (said := refused(run, same, source="csv"))
    assert "by patient: test/nodule/0.png" in said
    other = move(same, tmp_path / "hospital")
    found = asked(run, other, source="csv")
    assert "source hospital has names of its own" in found.notes[0]


def test_the_reader_is_told_what_was_compared(run: Path, tmp_path: Path) -> None:
    patients = {"test/nodule/0.png": "p8", "test/normal/0.png": "p9"}
    same = table(images(tmp_path / "second" / "images", {"test": 1}, first=500), patients)
    assert "none the patient" in asked(run, same, source="csv").notes[0]
    unknown = images(tmp_path / "third" / "images", {"test": 1}, first=500)
    assert "they are not known" in asked(run, unknown).notes[0]


def test_the_recorded_rows_in_another_folder_are_the_recorded_part(run: Path, root: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(root, copy)
    assert asked(run, copy, source="csv").reference is None
    there = move(root, tmp_path / "moved")
    found = asked(run, there, source="csv")
    assert found.reference is None
    assert len(found.data.rows("train")) == 12
    assert paths(found) == [f"test/{name}/{i}.png" for name in sorted(CLASSES) for i in (0, 1)]


def test_half_of_the_recorded_part_is_neither_one_nor_the_other(run: Path, root: Path, tmp_path: Path) -> None:
    new = images(tmp_path / "new", {"test": 1}, first=500)
    shutil.copy(root / "test" / "nodule" / "0.png", new / "test" / "nodule" / "known.png")
    said = refused(run, new)
    assert "1 of these images are the test part that the run recorded" in said
    assert "5 are not there (test/nodule/1.png, test/normal/0.png, test/normal/1.png ...)" in said
    assert "3 were never recorded" in said


def test_training_images_that_are_gone_are_said_to_be(run: Path, root: Path, tmp_path: Path) -> None:
    new = images(tmp_path / "new", {"test": 1}, first=500)
    move(root, tmp_path / "moved")
    said = refused(run, new)
    assert f"no longer in {root}" in said


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("model.backbone=resnet34", "settings of data and of evaluation alone"),
        ("data.split.kind=fractions", "leave data.split out"),
        ("evaluation.subgroups=[sx]", "'sx' is not a column whose groups can be scored.*did you mean 'sex'"),
        ("evaluation.subgroups=[patient]", "'patient' is not a column"),
        ("evaluation.nonsense=1", "evaluation.nonsense"),
    ],
)
def test_settings_that_are_refused(run: Path, word: str, said: str) -> None:
    with pytest.raises(RequestError, match=said):
        changed_recipe(run, run, [word])


def test_settings_of_evaluation_are_taken(run: Path) -> None:
    recipe = changed_recipe(
        run, run, ["data.root=/elsewhere", "evaluation.subgroups=[sex]", "evaluation.resamples=300"]
    )
    assert recipe.evaluation.subgroups == ("sex",)
    assert recipe.evaluation.resamples == 300
    assert recipe.data.root != Path("/elsewhere"), "the run's own images stay where they are"


def test_a_table_of_the_run_is_no_setting_of_new_folders(tmp_path: Path) -> None:
    words = [
        "task=phantom",
        "data.source=csv",
        "data.csv=cases.csv",
        "data.columns={label: Finding}",
        "data.root=scans",
    ]
    data = recipes.load("phantom", words).data
    new = ["data.source=folders", "data.root=other"]
    with pytest.raises(RequestError, match="csv"):
        recipes.load("phantom", [*words, *new])
    found = recipes.load("phantom", [*words, *without_recorded_table(data, new), *new]).data
    assert (found.csv, found.columns.label) == (None, None)
    assert without_recorded_table(data, ["data.root=other"]) == [], "the same kind of source: its columns hold"
    assert not any(
        word.startswith("data.csv") for word in without_recorded_table(data, ["data.source=x", "data.csv=b"])
    )
