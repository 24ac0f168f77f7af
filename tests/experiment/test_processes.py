"""Several processes: one run, one set of outputs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from contrastive_cxr.data.dataset import open_dataset
from contrastive_cxr.experiment.prepare import sharing_faults
from contrastive_cxr.experiment.run import run
from tests.small import PHASES, metrics, overrides, small_recipe

ROOT = Path(__file__).resolve().parents[2]
# Without batch norm two processes of half a batch compute what one computes of the whole.
NO_NORM = (
    "model.backbone=timm/convnext_atto", "model.image_size=32", "pretrain.augment=none", "embed.augment=none",
    "pretrain.batch_size=12", "finetune.trainable=[projection, classifier]",
)  # fmt: skip


def torchrun(cache: Path, out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """`ccxr run` in two processes that speak through gloo."""
    words = ["run", "phantom", *overrides(cache, *more), "--out", str(out)]
    program = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "contrastive_cxr"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *program, *words], cwd=ROOT, capture_output=True, text=True, env=environment, check=False,
        timeout=500,
    )  # fmt: skip


def test_batches_that_processes_cannot_share_are_told_beforehand(cache: Path) -> None:
    recipe = small_recipe(cache, "pretrain.batch_size=9")
    data = open_dataset(recipe.data, recipe.task)
    assert not sharing_faults(recipe, data, PHASES, 1)
    assert sharing_faults(recipe, data, PHASES, 2) == [
        "pretrain: a batch of 9 images cannot be shared equally by 2 processes; make it a multiple of them"
    ]
    assert len(sharing_faults(recipe, data, PHASES, 5)) == 3


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


@pytest.mark.slow
def test_two_processes_refuse_a_wrong_request(cache: Path, tmp_path: Path) -> None:
    done = torchrun(cache, tmp_path / "run", "pretrain.batch_size=9")
    assert done.returncode != 0
    assert "a batch of 9 images cannot be shared equally by 2 processes" in done.stderr
    assert not (tmp_path / "run").exists()
