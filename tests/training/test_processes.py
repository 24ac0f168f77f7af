"""Several processes: one run, one set of outputs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from contrastive_cxr.data.dataset import open_dataset
from contrastive_cxr.preflight.model_checks import sharing_faults
from contrastive_cxr.run import checkpoint
from contrastive_cxr.training.run import run
from tests.small import PHASES, metrics, overrides, small_recipe

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "contrastive_cxr"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
# Without batch norm two processes of half a batch compute what one computes of the whole.
NO_NORM = (
    "model.backbone=timm/convnext_atto", "model.image_size=32", "pretrain.augment=none", "embed.augment=none",
    "pretrain.batch_size=12", "finetune.trainable=[projection, classifier]",
)  # fmt: skip


def ccxr(*words: object) -> subprocess.CompletedProcess[str]:
    """`ccxr` in two processes that speak through gloo."""
    return subprocess.run(
        [sys.executable, *PROGRAM, *map(str, words)], cwd=ROOT, capture_output=True, text=True, env=ENVIRONMENT,
        check=False, timeout=500,
    )  # fmt: skip


def torchrun(cache: Path, out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """`ccxr run` in two processes."""
    return ccxr("run", "phantom", *overrides(cache, *more), "--out", out)


def test_batches_that_processes_cannot_share_are_told_beforehand(cache: Path) -> None:
    recipe = small_recipe(cache, "pretrain.batch_size=9")
    data = open_dataset(recipe.data, recipe.task)
    assert not sharing_faults(recipe, data, PHASES, 1)
    assert sharing_faults(recipe, data, PHASES, 2) == [
        "pretrain: a batch of 9 images cannot be shared equally by 2 processes; make it a multiple of them"
    ]
    assert len(sharing_faults(recipe, data, PHASES, 5)) == 3
    (more,) = sharing_faults(recipe, data, ("pretrain",), 16)
    assert more == (
        "pretrain: a batch of 9 images cannot be shared equally by 16 processes; "
        "start at most 9, or make the batch larger"
    )


def test_a_share_of_one_image_is_enough_where_batch_norm_is_synchronised(cache: Path) -> None:
    recipe = small_recipe(cache, "pretrain.batch_size=8", "runtime.device=cuda")
    data = open_dataset(recipe.data, recipe.task)
    assert len(sharing_faults(recipe, data, ("pretrain",), 8)) == 1
    synchronised = small_recipe(cache, "pretrain.batch_size=8", "runtime.device=cuda", "runtime.sync_batchnorm=true")
    assert sharing_faults(synchronised, data, ("pretrain",), 8) == []


@pytest.mark.slow
def test_two_processes_run_the_three_phases_into_one_folder(cache: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    done = torchrun(cache, out)
    assert done.returncode == 0, done.stderr[-3000:]
    for name in PHASES:
        facts = json.loads((out / name / "done.json").read_text())
        for split in ("train", "val"):
            assert [row["epoch"] for row in metrics(out / name) if row["split"] == split] == [1, 2]
        assert facts["epochs"] == 2
        assert (out / name / "model.safetensors").is_file()
    facts = json.loads((out / "report.json").read_text())
    assert facts["budget"]["processes"] == 2
    probabilities = np.load(out / "finetune" / "arrays" / "probabilities.npy")
    assert len(probabilities) == facts["n"]
    assert not list(out.rglob("*.partial"))
    assert done.stdout.count("Report: ") == 1


@pytest.mark.slow
def test_two_processes_compute_what_one_does(cache: Path, tmp_path: Path) -> None:
    alone = run(small_recipe(cache, *NO_NORM), tmp_path / "alone")
    done = torchrun(cache, tmp_path / "run", *NO_NORM)
    assert done.returncode == 0, done.stderr[-3000:]
    for name in PHASES:
        one, two = metrics(alone / name), metrics(tmp_path / "run" / name)
        assert [row["split"] for row in one] == [row["split"] for row in two]
        np.testing.assert_allclose([row["loss"] for row in two], [row["loss"] for row in one], rtol=2e-3, atol=1e-4)
        for mine, other in zip(two, one, strict=True):
            assert mine.keys() == other.keys()
            for score in {"accuracy", "auc", "map_at_r", "knn_accuracy"} & mine.keys():
                assert mine[score] == pytest.approx(other[score], abs=0.1), "a validation of 12 images"


@pytest.mark.slow
def test_two_processes_refuse_a_wrong_request(cache: Path, tmp_path: Path) -> None:
    done = torchrun(cache, tmp_path / "run", "pretrain.batch_size=9")
    assert done.returncode != 0
    assert "a batch of 9 images cannot be shared equally by 2 processes" in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_two_processes_stop_at_a_sigterm_and_go_on_with_resume_auto(cache: Path, tmp_path: Path) -> None:
    """torchrun passes the signal on; the same command line begins the run and goes on with it."""
    out, log = tmp_path / "run", tmp_path / "run" / "embed" / "metrics.jsonl"
    longer = overrides(cache, "embed.epochs=60", "pretrain=null", "finetune=null", "runtime.checkpoint_minutes=0")
    words = ["-m", "contrastive_cxr", "run", "phantom", *longer, "--out", str(out), "--resume", "auto"]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, text=True, stderr=subprocess.PIPE)
    limit = time.monotonic() + 500
    while not (log.is_file() and log.read_bytes().count(b"\n") > 3):
        assert process.poll() is None, process.communicate()[1][-3000:]
        assert time.monotonic() < limit
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=120)
    assert process.returncode != 0
    assert "embed interrupted after" in said
    assert "Traceback" not in said.split("torch/distributed")[0]
    saved = checkpoint.load(out / "embed" / "checkpoints" / "last.ckpt")["progress"]
    assert (0, 0) < (saved["epoch"], saved["step"]) < (60, 0)
    assert not (out / "done.json").exists()
    again = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=500)
    assert again.returncode == 0, again.stderr[-3000:]
    epochs = [row["epoch"] for row in metrics(out / "embed") if row["split"] == "train"]
    assert epochs == list(range(1, 61)), "no epoch twice, none left out"
    assert (out / "done.json").is_file()
