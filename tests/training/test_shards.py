"""Training from shards: with a buffer that holds everything as from the memory map, resumed as left alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from contrastive_cxr.data.shards.pack import pack
from contrastive_cxr.evaluation.external import evaluate
from contrastive_cxr.training.run import run
from tests.small import PHASES, metrics, overrides, same_weights, small_recipe
from tests.training.test_resume import MID_EPOCH, killed_at, same_runs

ROOT = Path(__file__).resolve().parents[2]
SMALL_BUFFER = ("data.shuffle_buffer=14", "data.shard_slices=2")
BOTH = ("embed.positives=both", "pretrain.mix.mixup=0.4", "pretrain.imbalance=oversample")
"""Two views of an image in a step, partners in the batch, images that come twice."""
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def shards(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small phantom recipe's images in shards of 8, row groups of 3."""
    out, recipe = tmp_path_factory.mktemp("packed") / "shards", small_recipe(cache)
    pack(recipe.data, recipe.task, out, shard_images=8, group=3)
    return out


def test_a_buffer_that_holds_everything_trains_and_scores_as_the_memory_map(
    finished: Path, cache: Path, shards: Path, tmp_path: Path
) -> None:
    same_runs(run(small_recipe(cache, f"data.shards={shards}"), tmp_path / "run"), finished)


def test_scores_of_the_validation_rows_are_those_from_the_memory_map(
    finished: Path, cache: Path, shards: Path, tmp_path: Path
) -> None:
    """The same model, its images read from shards."""
    import shutil

    copy = shutil.copytree(finished, tmp_path / "run")
    recipe = (copy / "recipe.yaml").read_text()
    assert "  shards: null\n" in recipe
    (copy / "recipe.yaml").write_text(recipe.replace("  shards: null\n", f"  shards: {shards}\n"))
    for split in ("val", "test"):
        outs = [evaluate(folder, split=split, out=tmp_path / f"{split}-{folder.name}") for folder in (finished, copy)]
        scores = [json.loads((out / "report.json").read_text())["scores"] for out in outs]
        assert scores[0] == scores[1]


def test_a_small_buffer_draws_otherwise_and_sees_as_much(
    finished: Path, cache: Path, shards: Path, tmp_path: Path
) -> None:
    out = run(small_recipe(cache, f"data.shards={shards}", *SMALL_BUFFER), tmp_path / "run")
    for name in PHASES[:2]:
        assert not same_weights(out / name, finished / name)
        then, now = (json.loads((each / name / "done.json").read_text()) for each in (finished, out))
        assert (then["steps"], then["images_seen"]) == (now["steps"], now["images_seen"])


@pytest.mark.parametrize("phase", ["pretrain", "embed"])
def test_a_run_that_died_within_an_epoch_goes_on_to_the_same_weights(
    cache: Path, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, phase: str
) -> None:
    only = ("embed=null",) if phase == "pretrain" else ("pretrain=null",)
    recipe = small_recipe(cache, f"data.shards={shards}", *SMALL_BUFFER, *MID_EPOCH, *only, "finetune=null")
    alone = run(recipe, tmp_path / "alone")
    killed_at(recipe, tmp_path / "run", phase, step=5, monkeypatch=monkeypatch)
    same_runs(run(recipe, tmp_path / "run", resume=True), alone)


def command(cache: Path, shards: Path, out: Path, *more: str) -> list[str]:
    """A run from shards in a process of its own, with epochs of many steps."""
    longer = ("pretrain.epochs=4", "pretrain.batch_size=2", "embed=null", "finetune=null", *MID_EPOCH, *SMALL_BUFFER)
    words = ["run", "phantom", *overrides(cache, *longer, f"data.shards={shards}"), "--out", str(out), *more]
    return [sys.executable, "-m", "contrastive_cxr", *words]


@pytest.mark.slow
def test_a_sigkill_within_an_epoch_and_a_resume_end_as_a_run_left_alone(
    cache: Path, shards: Path, tmp_path: Path
) -> None:
    for out in ("alone", "run"):
        process = subprocess.Popen(
            command(cache, shards, tmp_path / out), cwd=ROOT, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True
        )
        if out == "run":
            log = tmp_path / "run/pretrain/metrics.jsonl"
            while not (log.is_file() and log.read_bytes().count(b'"train"') > 1):
                assert process.poll() is None, process.communicate()[1]
                time.sleep(0.003)
            process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == (-signal.SIGKILL if out == "run" else 0)
    assert (tmp_path / "run/pretrain/checkpoints/last.ckpt").is_file()
    done = subprocess.run(command(cache, shards, tmp_path / "run", "--resume"), cwd=ROOT, env=ENVIRONMENT, check=False)
    assert done.returncode == 0
    same_runs(tmp_path / "alone", tmp_path / "run")


@pytest.mark.slow
def test_two_processes_see_the_batches_of_one(cache: Path, shards: Path, tmp_path: Path) -> None:
    """Without batch norm two processes compute what one computes, also of mixed images and of two views."""
    words = (
        "model.backbone=timm/convnext_atto", "model.image_size=32", "pretrain.batch_size=12", f"data.shards={shards}",
        *SMALL_BUFFER, *BOTH, "embed.augment=none", "pretrain.augment=none", "finetune=null",
    )  # fmt: skip
    alone = run(small_recipe(cache, *words), tmp_path / "alone")
    program = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "contrastive_cxr"]
    done = subprocess.run(
        [sys.executable, *program, "run", "phantom", *overrides(cache, *words), "--out", str(tmp_path / "two")],
        cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    for name in ("pretrain", "embed"):
        for one, two in zip(metrics(alone / name), metrics(tmp_path / "two" / name), strict=True):
            assert one["loss"] == pytest.approx(two["loss"], rel=1e-3)
