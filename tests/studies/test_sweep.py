"""A sweep trains what is not finished, compares all, and refuses before it trains."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import contrastive_cxr.studies.sweep as sweeps
from contrastive_cxr.engine import Interrupted
from contrastive_cxr.errors import CcxrError, RequestError
from contrastive_cxr.recipe import Recipe
from contrastive_cxr.studies.compare import compare
from contrastive_cxr.studies.sweep import plan_points, sweep
from contrastive_cxr.studies.sweep_folder import sweep_door
from contrastive_cxr.studies.sweep_points import points_of, read_words
from tests.run_folder.scored_runs import CLASSES, drawn, rows_of, write_pool, write_run
from tests.small import overrides


@pytest.fixture
def words(cache: Path) -> list[str]:
    """The small phantom recipe's one supervised phase, one epoch."""
    return [*without([*overrides(cache), "embed=null", "finetune=null"], "pretrain.epochs"), "pretrain.epochs=1"]


def without(words: list[str], *keys: str) -> list[str]:
    """The words less those of `keys`, which a test sweeps."""
    return [word for word in words if word.partition("=")[0] not in keys]


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the points that were 'trained': a run is written by hand instead, better with each call."""
    calls: list[str] = []

    def run(recipe: Recipe, out: Path, *, resume: bool = False) -> Path:
        calls.append(f"{out.name}{' on' if resume else ''}")
        return write_run(out, recipe, *drawn(seed=len(calls), skill=0.2 * len(calls)))

    def run_seeds(recipe: Recipe, out: Path, seeds: int, *, resume: bool = False) -> Path:
        calls.append(f"{out.name} x{seeds}{' on' if resume else ''}")
        _, labels = drawn()
        rows = rows_of(labels, CLASSES)
        parts = {f"seed{s}": (drawn(seed=s)[0], labels, rows) for s in range(recipe.seed, recipe.seed + seeds)}
        return write_pool(out, recipe, parts)

    monkeypatch.setattr(sweeps, "run", run)
    monkeypatch.setattr(sweeps, "run_seeds", run_seeds)
    return calls


def states(out: Path) -> dict[str, str]:
    return {point["name"]: point["state"] for point in json.loads((out / "sweep.json").read_text())["points"]}


@pytest.mark.slow
def test_a_sweep_of_real_runs(words: list[str], tmp_path: Path) -> None:
    """Two points, trained; the second call trains nothing, and its table is that of `compare`."""
    out = tmp_path / "sweep"
    said: list[str] = []
    asked = [*words, "pretrain.optimiser.lr=0.001,0.01"]
    facts = sweep("phantom", asked, out, say=said.append)
    assert said == ["point 1 of 2: lr-0.001", "point 2 of 2: lr-0.01"]
    assert states(out) == {"lr-0.001": "finished", "lr-0.01": "finished"}
    record = json.loads((out / "sweep.json").read_text())
    done = json.loads((out / "lr-0.01" / "pretrain" / "done.json").read_text())
    assert record["points"][1]["steps"] == done["steps"]
    assert record["factors"] == {"pretrain.optimiser.lr": [0.001, 0.01]}
    assert facts["settings"] == {"pretrain.optimiser.lr": {"lr-0.001": 0.001, "lr-0.01": 0.01}}
    cost = facts["runs"][0]["cost"]
    assert 0 < cost["trainable"] == cost["parameters"]
    again = compare([out / "lr-0.001", out / "lr-0.01"])
    for mine, theirs in zip(facts["runs"], again["runs"], strict=True):
        assert mine["against"] == theirs["against"]
        assert mine["scores"] == theirs["scores"]
    assert json.loads((out / "compare.json").read_text()) == facts

    before = {path: path.stat().st_mtime_ns for path in out.rglob("model.safetensors")}
    assert sweep("phantom", asked, out) == facts
    assert {path: path.stat().st_mtime_ns for path in out.rglob("model.safetensors")} == before
    with pytest.raises(RequestError) as caught:
        sweep("phantom", [*asked, "pretrain.batch_size=4"], out)
    assert len(caught.value.faults) == 2, "each point's run has another recipe"
    assert all("batch_size: 8 -> batch_size: 4" in fault for fault in caught.value.faults)


def test_the_plan_counts_every_phase_stage_and_seed(words: list[str], cache: Path, tmp_path: Path) -> None:
    def steps(asked: list[str], seeds: int | None = None, **more: Any) -> list[int]:
        points = points_of("phantom", read_words(asked), **more)
        return [each.steps for each in plan_points(points, tmp_path / "new", seeds)]

    (one, four) = steps([*words[:-1], "pretrain.epochs=1,4"])
    assert four == 4 * one
    assert steps([*words, "seed=0,1"], seeds=3) == [3 * one, 3 * one]
    staged = [*words, "cascade={stage1: phantom/lesion, stage2: phantom/opacity}", "seed=0,1"]
    train, lesions = 36, 24  # of 60 phantoms, a third each normal, nodule, opacity, 60 % train
    assert one == train // 8
    assert steps(staged) == [2 * (train // 8) + lesions // 8] * 2
    assert not (tmp_path / "new").exists()


def test_faults_of_all_points_come_before_any_training(words: list[str], trained: list[str], tmp_path: Path) -> None:
    layers = "pretrain.trainable=[layer9],[layer4, classifier]"
    asked = [*without(words, "model.backbone"), layers, "model.backbone=resnet18,resnet81"]
    with pytest.raises(RequestError) as caught:
        sweep("phantom", asked, tmp_path / "sweep")
    text = "\n".join(caught.value.faults)
    assert "'layer9'" in text
    assert "did you mean 'resnet18'" in text
    assert trained == []
    assert not (tmp_path / "sweep").exists()


def test_points_that_score_other_images_are_refused(words: list[str], trained: list[str], tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="points seed-0 and seed-1 would be scored on different images"):
        sweep("phantom", [*words, "data.split.seed=0,1"], tmp_path / "sweep")
    assert trained == []


def test_an_interrupted_sweep_goes_on(
    words: list[str], trained: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, asked = tmp_path / "sweep", [*words, "seed=0,1,2"]
    run = sweeps.run

    def interrupted(recipe: Recipe, folder: Path, *, resume: bool = False) -> Path:
        if recipe.seed == 1:
            folder.mkdir(parents=True)
            from contrastive_cxr import recipe as recipes

            (folder / "recipe.yaml").write_text(recipes.dump(recipe))
            raise Interrupted("pretrain interrupted after 3 of 4 steps")
        return run(recipe, folder, resume=resume)

    monkeypatch.setattr(sweeps, "run", interrupted)
    with pytest.raises(
        CcxrError, match=r"interrupted in point seed-1; 1 of 3 points are finished.*same command"
    ) as caught:
        sweep("phantom", asked, out)
    assert caught.value.exit_code == 130
    assert states(out) == {"seed-0": "finished", "seed-1": "started", "seed-2": "new"}
    assert trained == ["seed-0"]

    def going_on(recipe: Recipe, folder: Path, *, resume: bool = False) -> Path:
        trained.append(f"{folder.name}{' on' if resume else ''}")
        (folder / "recipe.yaml").unlink(missing_ok=True)
        return write_run(folder, recipe, *drawn(seed=9))

    monkeypatch.setattr(sweeps, "run", going_on)
    facts = sweep("phantom", asked, out)
    assert trained == ["seed-0", "seed-1 on", "seed-2"]
    assert [line["name"] for line in facts["runs"]] == ["seed-0", "seed-1", "seed-2"]


def test_a_point_that_fails_is_left_behind_and_tried_again(
    words: list[str], trained: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, asked = tmp_path / "sweep", [*words, "pretrain.optimiser.lr=0.9,0.1,0.01"]
    run = sweeps.run

    def failing(recipe: Recipe, folder: Path, *, resume: bool = False) -> Path:
        if recipe.pretrain is not None and recipe.pretrain.optimiser.lr == 0.9:
            raise CcxrError("pretrain: the loss is nan in epoch 1")
        return run(recipe, folder, resume=resume)

    monkeypatch.setattr(sweeps, "run", failing)
    facts = sweep("phantom", asked, out)
    assert facts["failed"] == [{"name": "lr-0.9", "error": "pretrain: the loss is nan in epoch 1"}]
    assert [line["name"] for line in facts["runs"]] == ["lr-0.1", "lr-0.01"]
    assert states(out)["lr-0.9"] == "failed"
    assert "the loss is nan" in (out / "compare.md").read_text()
    monkeypatch.setattr(sweeps, "run", run)
    assert sweep("phantom", asked, out)["failed"] == []
    assert trained == ["lr-0.1", "lr-0.01", "lr-0.9"]


def test_a_sweep_without_a_score_ends_with_its_fault(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(recipe: Recipe, folder: Path, *, resume: bool = False) -> Path:
        raise CcxrError("the disk is full")

    monkeypatch.setattr(sweeps, "run", failing)
    with pytest.raises(CcxrError, match="seed-0 failed: the disk is full"):
        sweep("phantom", [*words, "seed=0,1"], tmp_path / "sweep")


def test_more_seeds_and_more_points_are_added(words: list[str], trained: list[str], tmp_path: Path) -> None:
    out = tmp_path / "sweep"
    sweep("phantom", [*words[:-1], "pretrain.epochs=1,2"], out, seeds=2)
    sweep("phantom", [*words[:-1], "pretrain.epochs=1,2,3"], out, seeds=2)
    assert trained == ["epochs-1 x2", "epochs-2 x2", "epochs-3 x2"]
    points = points_of("phantom", read_words([*words[:-1], "pretrain.epochs=1,2"]))
    assert [each.state for each in plan_points(points, out, 3)] == ["started", "started"]
    with pytest.raises(RequestError, match="holds a run over seeds"):
        sweep("phantom", [*words[:-1], "pretrain.epochs=1,2"], out)
    assert len(trained) == 3


def test_one_at_a_time_compares_with_the_recipe_itself(words: list[str], trained: list[str], tmp_path: Path) -> None:
    fixed = [word for word in words if not word.startswith("pretrain.augment=")]
    asked = [*fixed, "pretrain.optimiser.lr=0.5,0.25", "pretrain.augment=none,xray"]
    facts = sweep("phantom", asked, tmp_path / "sweep", one_at_a_time=True)
    assert trained == ["base", "lr-0.5", "lr-0.25", "augment-xray"]
    assert facts["against"] == "base"
    first = np.array([line["scores"]["accuracy"]["value"] for line in facts["runs"]])
    gains = [line["against"]["paired"]["accuracy"]["difference"] for line in facts["runs"][1:]]
    np.testing.assert_allclose(gains, first[1:] - first[0])


def test_folders_that_are_not_the_sweeps_are_refused(words: list[str], tmp_path: Path) -> None:
    points = points_of("phantom", read_words([*words, "seed=0,1"]))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("mine")
    with pytest.raises(RequestError, match="holds no sweep"):
        sweep_door(points, tmp_path / "mine")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RequestError, match="is a file"):
        sweep_door(points, tmp_path / "file")
    one_class = points_of(
        "chest/label-free",
        read_words(["data.join.0.root=/x", "data.join.1.root=/x", "data.join.2.root=/x", "seed=0,1"]),
    )
    with pytest.raises(RequestError) as caught:
        sweep_door(one_class, tmp_path / "new")
    assert any("no scores to compare" in fault for fault in caught.value.faults)
    assert sum("/x does not exist" in fault for fault in caught.value.faults) >= 1
