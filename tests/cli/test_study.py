"""Comparing, sweeping and looking, as a user types them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from tests.cli.next_lines import next_of
from tests.run_folder.scored_runs import a_recipe, drawn, write_run
from tests.small import overrides

Call = Callable[..., tuple[int, str, str]]


def test_runs_are_compared_in_the_terminal_and_in_files(
    ccxr: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [write_run(tmp_path / f"r{k}", a_recipe(f"seed={k}"), *drawn(seed=k)) for k in (1, 2)]
    code, said, told = ccxr("compare", *runs, "--out", tmp_path / "table")
    assert code == 0, told
    for words in ("Scores", "Difference to r1", "What training took", "Settings that differ", "McNemar"):
        assert words in said
    assert (tmp_path / "table" / "compare.html").is_file()
    assert next_of(said)["look"][0] == str(tmp_path / "table" / "compare.html")
    monkeypatch.chdir(tmp_path)
    (words,) = next_of(ccxr("compare", *runs, "--against", runs[1])[1]).values()
    assert ccxr(*words)[0] == 0
    assert "Difference to r2" in (tmp_path / "table" / "compare.md").read_text()
    code, _, told = ccxr("compare", runs[0])
    assert (code, told.count("error: ")) == (2, 1)


def test_other_images_end_with_2(ccxr: Call, tmp_path: Path) -> None:
    runs = [write_run(tmp_path / f"r{n}", a_recipe(), *drawn(n)) for n in (30, 60)]
    code, _, told = ccxr("compare", *runs, "--out", tmp_path / "table")
    assert code == 2
    assert "scored other images than r30: no image only in r30, 30 images" in told
    assert not (tmp_path / "table").exists()


def test_a_sweep_is_planned_and_trains_nothing(ccxr: Call, cache: Path, tmp_path: Path) -> None:
    words = [*overrides(cache), "embed=null", "finetune=null", "pretrain.optimiser.lr=0.1,0.2"]
    code, said, told = ccxr("sweep", "phantom", *words, "--out", tmp_path / "sweep", "--dry-run")
    assert code == 0, told
    assert "2 points, 16 steps" in said, "36 images, 8 a step, 2 epochs, 2 points"
    assert "lr-0.2" in said
    assert next_of(said) == {"train": ["sweep", "phantom", *words, "--out", str(tmp_path / "sweep")]}
    assert not (tmp_path / "sweep").exists()


def test_wrong_points_end_with_2(ccxr: Call, cache: Path, tmp_path: Path) -> None:
    words = [*overrides(cache), "pretrain.optimiser.lr=0,-1", "--out", str(tmp_path / "sweep")]
    code, _, told = ccxr("sweep", "phantom", *words)
    assert code == 2
    assert told.count("error: ") == 2
    assert ccxr("sweep", "phantom", "pretrain.epochs=3")[0] == 2


def test_a_definition_for_wandb_is_written(ccxr: Call, tmp_path: Path) -> None:
    file = tmp_path / "sweep.yaml"
    code, said, told = ccxr("sweep", "phantom", "seed=1,2,3", "--wandb", file)
    assert code == 0, told
    assert f"3 points: wandb sweep {file}" in said
    assert yaml.safe_load(file.read_text())["parameters"] == {"seed": {"values": [1, 2, 3]}}
    assert ccxr("sweep", "phantom", "seed=1,2,3", "--wandb", file)[0] == 2
    assert ccxr("sweep", "phantom", "seed=1,2", "--one-at-a-time", "--wandb", tmp_path / "b.yaml")[0] == 2


@pytest.fixture
def images(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for label in ("[red]a", "b"):
        folder = tmp_path / "images" / label
        folder.mkdir(parents=True)
        for number in range(3):
            Image.fromarray(rng.integers(0, 256, (20, 30), dtype=np.uint8)).save(folder / f"{number}.png")
    return tmp_path / "images"


def test_a_look_at_data(ccxr: Call, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = (f"data.cache_dir={tmp_path / 'cache'}", "data.cache_size=32", "data.workers=1")
    code, said, told = ccxr("data", "look", images, *words)
    assert code == 0, told
    assert "[red]a" in said, "a name in brackets is no colour"
    assert (tmp_path / "runs" / "look-images" / "data-look.html").is_file()
    assert next_of(said) == {"audit": ["audit", str(images), *words], "recipe": ["init", str(images), *words]}
    shutil.rmtree(images / "b")
    assert ccxr("data", "look", images / "nowhere")[0] == 2
    assert "data.resiz" in ccxr("data", "look", images, "data.resiz=pad")[2]


@pytest.mark.parametrize("command", [("compare",), ("sweep",), ("data", "look")])
def test_the_help(ccxr: Call, command: tuple[str, ...]) -> None:
    code, said, _ = ccxr(*command, "--help")
    assert code == 0
    assert "[OPTIONS]" in said
