"""The folder of a run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas
import pytest
import torch

from contrastive_cxr import locks
from contrastive_cxr.errors import CcxrError, RequestError
from contrastive_cxr.files import PARTIAL
from contrastive_cxr.run import folder


def a_run(path: Path) -> Path:
    folder.create(path)
    folder.write_text(path / "recipe.yaml", "name: x\n")
    folder.write_json(path / "pretrain" / "done.json", {})
    return path


def test_an_existing_run_is_refused_without_a_word(tmp_path: Path) -> None:
    run = a_run(tmp_path / "run")
    with pytest.raises(RequestError, match="--resume goes on with it, --overwrite replaces it"):
        folder.create(run)
    folder.create(run, resume=True)
    assert (run / "pretrain" / "done.json").exists()
    with pytest.raises(RequestError, match="exclude each other"):
        folder.create(run, resume=True, overwrite=True)


def test_overwrite_removes_the_run_and_nothing_else(tmp_path: Path) -> None:
    run = a_run(tmp_path / "run")
    (run / "notes.txt").write_text("mine")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").write_text("kept")
    (run / "embed").symlink_to(elsewhere)
    folder.create(run, overwrite=True)
    assert [item.name for item in run.iterdir()] == ["notes.txt"]
    assert (elsewhere / "kept").exists()


@pytest.mark.parametrize("word", ["resume", "overwrite", ""])
def test_a_folder_that_is_no_run_is_never_touched(tmp_path: Path, word: str) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(RequestError, match=r"holds no run .*thesis\.tex"):
        folder.create(tmp_path, **({word: True} if word else {}))
    assert (tmp_path / "thesis.tex").exists()


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(RequestError, match="is a file"):
        folder.create(tmp_path / "file")
    with pytest.raises(RequestError, match="cannot make the folder"):
        folder.create(tmp_path / "file" / "run")


def test_leftovers_of_a_killed_start_do_not_matter(tmp_path: Path) -> None:
    (tmp_path / ".recipe.yaml.123.partial").write_text("x")
    assert folder.create(tmp_path) == tmp_path


def test_writers_leave_what_they_say_and_nothing_beside(tmp_path: Path) -> None:
    values = {"b": np.float32(0.5), "a": [float("nan"), torch.tensor(2)], "path": Path("x"), "array": np.arange(2)}
    folder.write_json(tmp_path / "a.json", values)
    folder.write_array(tmp_path / "a.npy", np.arange(6).reshape(2, 3))
    folder.write_table(tmp_path / "a.csv", pandas.DataFrame({"x": [1], "y": ["é"]}))
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"b": 0.5, "a": [None, 2], "path": "x", "array": [0, 1]}
    assert text.index('"b"') < text.index('"a"')
    assert np.array_equal(np.load(tmp_path / "a.npy"), [[0, 1, 2], [3, 4, 5]])
    assert (tmp_path / "a.csv").read_text(encoding="utf-8") == "x,y\n1,é\n"
    assert sorted(item.name for item in tmp_path.iterdir()) == ["a.csv", "a.json", "a.npy"]


def test_a_failed_write_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(CcxrError, match="nothing was changed"):
        folder.write_text(tmp_path / "taken", "x")
    assert [item.name for item in tmp_path.iterdir()] == ["taken"]


def test_disk_space(tmp_path: Path) -> None:
    folder.require_space(tmp_path / "not" / "yet", 1)
    with pytest.raises(RequestError, match="make room"):
        folder.require_space(tmp_path, 2**60)


def test_a_run_in_use_is_refused_and_a_dead_ones_leftovers_go(tmp_path: Path) -> None:
    run = a_run(tmp_path / "run")
    left = run / "pretrain" / f".model.json.00000000-1{PARTIAL}"
    left.write_text("half")
    (run / "wandb").mkdir()
    (run / "notes").mkdir()
    other = [run / name / left.name for name in ("wandb", "notes")]
    for path in other:
        path.write_text("not ours")
    with folder.held(run):
        assert not left.exists()
        assert all(path.exists() for path in other)
        locks._held.clear()  # as if another process held it
        for ask in (lambda: folder.check(run, resume=True), lambda: folder.held(run).__enter__()):
            with pytest.raises(RequestError, match=r"run folder '.*' is in use by process \d+ on "):
                ask()
    folder.create(run, resume=True)
    assert not (run / locks.NAME).exists()


def test_the_other_processes_of_a_run_hold_nothing(tmp_path: Path) -> None:
    with folder.held(tmp_path / "run", first=False):
        assert not (tmp_path / "run").exists()


def test_a_lock_or_a_half_written_file_alone_is_no_other_thing(tmp_path: Path) -> None:
    """What a process leaves that is killed before it wrote anything."""
    run = tmp_path / "run"
    run.mkdir()
    (run / locks.NAME).write_text("{}")
    (run / f".recipe.yaml.00000000-1{PARTIAL}").write_text("half")
    folder.create(run)
    assert not list(run.iterdir())


def test_an_overwrite_that_is_killed_leaves_what_says_of_which_images_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = a_run(tmp_path / "run")
    for name in ("manifest.csv", "report.json", "split.csv"):
        folder.write_text(run / name, "")
    gone: list[str] = []
    monkeypatch.setattr(folder.shutil, "rmtree", lambda path: gone.append(path.name))
    monkeypatch.setattr(Path, "unlink", lambda path, missing_ok=False: gone.append(path.name))
    folder._remove(list(run.iterdir()))
    assert gone[-2:] == ["manifest.csv", folder.MARK]
    assert set(gone[:-2]) == {"pretrain", "report.json", "split.csv"}
