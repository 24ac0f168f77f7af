"""The disk that a run will need: near what it takes, and refused where there is not enough."""

from __future__ import annotations

from pathlib import Path

import pytest

from contrastive_cxr.data.dataset import open_dataset
from contrastive_cxr.errors import RequestError
from contrastive_cxr.preflight import data_checks, disk
from contrastive_cxr.recipe import Recipe
from contrastive_cxr.training.dry_run import plan
from contrastive_cxr.training.run import run
from tests.small import PHASES, small_recipe

MIB = 2**20


def part(recipe: Recipe) -> disk.Part:
    return recipe, open_dataset(recipe.data, recipe.task), PHASES


def large_recipe(cache: Path, *more: str) -> Recipe:
    """Weights of 45 MB, so that checkpoints are most of what a run takes."""
    return small_recipe(cache, "model.backbone=resnet18", *more)


def size(folder: Path, pattern: str) -> int:
    return sum(path.stat().st_size for path in folder.rglob(pattern) if path.is_file())


def test_what_is_reckoned_is_near_what_a_run_takes(finished: Path, cache: Path) -> None:
    """A finished run's own files, kind by kind: never less than they take, and not much more."""
    needed = disk.needs(*part(small_recipe(cache)))
    taken = size(finished, "model.safetensors")
    assert taken <= needed["models"] < 1.02 * taken + MIB
    tables = sum(size(finished, pattern) for pattern in ("*/arrays/*.npy", "*/arrays/*.csv"))
    assert tables <= needed["arrays and tables"] + needed["report and pictures"]
    assert size(finished, "*.jsonl") <= needed["logs"]
    assert size(finished, "*") <= needed.total()
    assert "Weights & Biases" not in needed


@pytest.mark.slow
def test_checkpoints_that_are_kept_take_what_is_reckoned(cache: Path, tmp_path: Path) -> None:
    words = ("pretrain.epochs=1", "embed.epochs=1", "finetune=null", "runtime.keep_finished=true")
    recipe = small_recipe(cache, *words)
    out = run(recipe, tmp_path / "run")
    needed, taken = disk.needs(recipe, part(recipe)[1], PHASES[:2]), size(out, "*.ckpt")
    assert len(list(out.glob("*/checkpoints/last.ckpt"))) == 2
    assert taken <= needed["checkpoints"] < 1.02 * taken + MIB
    # while a checkpoint is written, its former self is there
    assert needed["checkpoints being replaced"] >= (out / "pretrain" / "checkpoints" / "last.ckpt").stat().st_size


def test_finished_phases_leave_no_checkpoints_unless_they_are_kept(cache: Path) -> None:
    recipe = large_recipe(cache)
    data = part(recipe)[1]
    sizes = [disk.checkpoint_sizes(recipe, data, name, disk.network(recipe, data, name)) for name in PHASES]
    assert disk.needs(*part(recipe))["checkpoints"] == max(last + best for last, best in sizes)
    every = disk.needs(*part(large_recipe(cache, "runtime.keep_finished=true")))["checkpoints"]
    assert every == sum(last + best for last, best in sizes)
    # the best ones of earlier phases stay beside the phase that is trained
    several = disk.needs(*part(large_recipe(cache, "runtime.keep_checkpoints=2")))["checkpoints"]
    (first, best), (second, other), _ = sizes
    assert several == max(first + 2 * best, 2 * best + second + 2 * other)


@pytest.mark.parametrize(("name", "copies"), [("sgd", 1), ("adamw", 2)])
def test_the_optimiser_and_the_average_are_counted(cache: Path, name: str, copies: int) -> None:
    recipe = small_recipe(cache, f"pretrain.optimiser.name={name}", "pretrain.ema_decay=0.9")
    data = open_dataset(recipe.data, recipe.task)
    whole = disk.network(recipe, data, "pretrain")
    weights = sum(value.numel() * 4 for value in whole.parameters())
    last, best = disk.checkpoint_sizes(recipe, data, "pretrain", whole)
    assert last == pytest.approx((2 + copies) * weights, rel=0.02, abs=0.2 * MIB)
    assert best == pytest.approx(weights, rel=0.02, abs=0.2 * MIB)


def test_more_checkpoints_and_wandb_take_more(cache: Path) -> None:
    plain, more, limited, tracked = (
        disk.needs(*part(large_recipe(cache, *words)))
        for words in (
            ("runtime.keep_finished=true",),
            ("runtime.keep_finished=true", "runtime.keep_checkpoints=3"),
            ("runtime.keep_finished=true", "runtime.keep_checkpoints=9", "runtime.checkpoint_mib=300"),
            ("tracking.wandb=offline",),
        )
    )
    best = 44.8e6
    assert more["checkpoints"] - plain["checkpoints"] == pytest.approx(4 * best, rel=0.02)  # the head's are small
    assert limited["checkpoints"] < plain["checkpoints"] + 2 * 300 * MIB
    assert 2 * plain["logs"] < tracked["Weights & Biases"] < plain["models"] / 10  # W&B copies no model


def test_a_disk_without_room_refuses_before_anything_is_written(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = large_recipe(cache)
    parts = [part(recipe)]
    total = disk.total(parts).total()
    monkeypatch.setattr(disk, "free", lambda path: total)
    disk.require(tmp_path / "out", parts)
    monkeypatch.setattr(disk, "free", lambda path: total - 1)
    with pytest.raises(RequestError, match=r"\d MiB more \(checkpoints .*\) and its disk has \d+\.\d MiB free"):
        disk.require(tmp_path / "out", parts)
    # what a resumed run has written already is no longer needed
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "last.ckpt").write_bytes(bytes(100))
    disk.require(tmp_path / "out", parts)
    monkeypatch.setattr(disk, "free", lambda path: 2 * total - 1)
    disk.require(tmp_path / "cascade", parts)
    with pytest.raises(RequestError, match="make room"):
        disk.require(tmp_path / "cascade", parts * 2)


def test_a_limit_below_what_always_stays_is_refused(cache: Path, tmp_path: Path) -> None:
    recipe = large_recipe(cache, "runtime.checkpoint_mib=100")
    with pytest.raises(RequestError) as caught:
        disk.require(tmp_path / "out", [part(recipe)])
    assert [fault.split(" and ")[1].split("'s")[0] for fault in caught.value.faults] == ["pretrain", "embed"]
    assert "come to 213 MiB; set it to at least that, or to 0" in caught.value.faults[0]


def test_the_plan_tells_the_disk(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = small_recipe(cache)
    found = plan(recipe, out=tmp_path / "out")
    assert found.disk == dict(disk.needs(*part(recipe)))
    folder, held = found.cache
    assert folder.is_relative_to(cache)
    assert held > 60 * 32 * 32
    cascade = small_recipe(cache, "embed=null", "cascade={stage1: phantom/lesion, stage2: phantom/opacity}")
    three, one = (sum(plan(each, ("pretrain",)).disk.values()) for each in (cascade, recipe))
    assert three == pytest.approx(3 * one, rel=0.02)
    monkeypatch.setattr(disk, "free", lambda path: 0)
    with pytest.raises(RequestError, match="its disk has 0 bytes free"):
        plan(recipe, out=tmp_path / "out")


def test_the_first_door_asks_for_room_for_the_decoded_images(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = small_recipe(cache)
    elsewhere = recipe.model_copy(update={"data": recipe.data.model_copy(update={"cache_dir": tmp_path})})
    data_checks.check_data_and_folder(elsewhere)
    monkeypatch.setattr(data_checks, "free", lambda path: 60 * 32 * 32 - 1)
    with pytest.raises(RequestError, match=r"the 60 decoded images need 60\.0 KiB more in .* its disk has 60\.0 KiB"):
        data_checks.check_data_and_folder(elsewhere)
    open_dataset(recipe.data, recipe.task)
    monkeypatch.setattr(data_checks, "free", lambda path: 0)
    data_checks.check_data_and_folder(recipe)
