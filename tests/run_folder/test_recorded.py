"""A run's rows as they were recorded, and every way in which they may have changed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from contrastive_cxr import recipe as recipes
from contrastive_cxr.errors import RequestError
from contrastive_cxr.evaluation.test_set import recorded_split
from contrastive_cxr.run_folder.recorded import recipe_of, reopen, rows_of
from tests.run_folder.recorded_runs import CLASSES, images, paint, record

PARTS = {"train": 4, "val": 2, "test": 2}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return images(tmp_path / "images", PARTS)


@pytest.fixture
def run(root: Path, tmp_path: Path) -> Path:
    return record(tmp_path / "run", tmp_path / "cache", "data.source=folders", f"data.root={root}")


def changed(run: Path) -> str:
    with pytest.raises(RequestError) as caught:
        reopen(run, recipe_of(run), "test")
    return "\n".join(caught.value.faults)


def test_unchanged_rows_are_opened_as_they_were(run: Path) -> None:
    data = reopen(run, recipe_of(run), "test")
    assert {part: len(data.rows(part)) for part in PARTS} == {part: 3 * count for part, count in PARTS.items()}
    assert data.manifest_table().astype(str).to_csv() == rows_of(run).to_csv()


def test_added_removed_and_altered_rows_are_named(run: Path, root: Path) -> None:
    test = root / "test"
    for number in range(4):
        paint(test / "nodule" / f"new{number}.png", 900 + number)
    (test / "normal" / "1.png").unlink()
    paint(test / "opacity" / "0.png", 999)
    said = changed(run)
    names = ", ".join(f"test/nodule/new{number}.png" for number in range(3))
    assert f"4 added ({names} ...)" in said
    assert "1 removed (test/normal/1.png)" in said
    assert "1 of other content (test/opacity/0.png)" in said
    assert "of another class" not in said
    assert str(run) in said


def test_training_images_may_be_added_but_not_altered(run: Path, root: Path) -> None:
    paint(root / "train" / "nodule" / "new.png", 998)
    data = reopen(run, recipe_of(run), "test")
    assert "train/nodule/new.png" not in set(data.manifest.column("path")[data.rows("train")])
    paint(root / "val" / "nodule" / "0.png", 999)
    assert "the val part has changed: 1 of other content (val/nodule/0.png)" in changed(run)


def test_another_label_of_the_same_file_is_a_change(tmp_path: Path) -> None:
    root = images(tmp_path / "images", PARTS)
    lines = [f"{path.relative_to(root).as_posix()},{path.parent.name},{path.parts[-3]}" for path in root.rglob("*.png")]
    (root / "labels.csv").write_text("\n".join(["file,label,split", *sorted(lines)]))
    words = ("data.source=csv", "data.csv=labels.csv", f"data.root={root}")
    run = record(tmp_path / "run", tmp_path / "cache", *words)
    text = (root / "labels.csv").read_text()
    (root / "labels.csv").write_text(text.replace("test/nodule/0.png,nodule", "test/nodule/0.png,opacity"))
    assert "1 of another class (test/nodule/0.png)" in changed(run)


def test_rows_keep_their_part_where_a_new_division_would_move_them(tmp_path: Path) -> None:
    root = images(tmp_path / "images", {"all": 20})
    words = ("data.source=folders", f"data.root={root / 'all'}", "data.split={kind: fractions, val: 0.2, test: 0.2}")
    run = record(tmp_path / "run", tmp_path / "cache", *words)
    for number in range(6):
        paint(root / "all" / "normal" / f"new{number}.png", 900 + number)
    data = reopen(run, recipe_of(run), "test")
    then, now = rows_of(run), data.manifest_table()
    places = dict(zip(now["path"], now["split"], strict=True))
    assert [places[path] for path in then["path"]] == list(then["split"])
    assert sorted({places[f"normal/new{number}.png"] for number in range(6)}) == ["unused"]


def test_a_part_that_was_never_recorded_is_an_external_test(run: Path, root: Path, tmp_path: Path) -> None:
    shutil.rmtree(root / "test")
    bare = record(tmp_path / "bare", tmp_path / "cache", "data.source=folders", f"data.root={root}")
    with pytest.raises(RequestError, match="no such rows; it has train, val"):
        recorded_split(bare, recipe_of(bare), "test")
    images(root, {"test": 2}, first=500)
    wanted = recorded_split(bare, recipe_of(bare), "test")
    assert wanted.reference is not None
    assert list(wanted.data.manifest.column("path")) == [
        f"test/{name}/{i}.png" for name in sorted(CLASSES) for i in (0, 1)
    ]
    assert recorded_split(bare, recipe_of(bare), None).split == "val", "what was recorded comes first"


def test_a_relative_folder_is_found_from_anywhere(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = record(tmp_path / "run", Path("cache"), "data.source=folders", "data.root=images")
    recipe = recipe_of(run)
    assert recipe.data.root == root
    assert recipe.data.cache_dir == tmp_path / "cache"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert len(reopen(run, recipe_of(run), "test").rows("test")) == 6


def test_joined_folders_are_absolute_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["data.join=[{source: folders, root: a}, {source: folders, root: /b}]"]
    (tmp_path / "recipe.yaml").write_text(recipes.record(recipes.load("phantom", words)))
    roots = [source.root for source in recipes.load(tmp_path / "recipe.yaml").data.join]
    assert roots == [tmp_path / "a", Path("/b")]


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="is no run folder"):
        recipe_of(tmp_path)
