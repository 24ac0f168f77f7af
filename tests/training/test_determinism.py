"""The same recipe gives the same weights: twice in one process, and in one that differs where it may."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from contrastive_cxr.training.run import run
from tests.small import PHASES, overrides, same_weights, small_recipe

ROOT = Path(__file__).resolve().parents[2]
TINY = (
    "model.backbone=cnn2", "pretrain.epochs=1", "embed.epochs=1", "finetune.epochs=2", "embed.projection=[16]",
    "data.images=24", "embed.images_per_class=2", "pretrain.batch_size=4", "finetune.batch_size=4",
    "data.split.val=0.3", "data.split.test=0.3", "finetune.trainable=[projection, classifier]",
    "finetune.augment=strong", "model.dropout=0.2", "embed.memory_bank_size=12",
)  # fmt: skip


def same(first: Path, second: Path) -> None:
    """Assert that two runs have the same weights, logs, vectors and scores, bit for bit."""
    for name in PHASES:
        assert same_weights(first / name, second / name), name
        assert (first / name / "metrics.jsonl").read_bytes() == (second / name / "metrics.jsonl").read_bytes(), name
        for array in sorted((first / name / "arrays").glob("*.npy")):
            assert (second / name / "arrays" / array.name).read_bytes() == array.read_bytes(), array
    scores = [json.loads((folder / "report.json").read_text())["scores"] for folder in (first, second)]
    assert scores[0] == scores[1]


@pytest.mark.slow
def test_twice_in_one_process(cache: Path, tmp_path: Path) -> None:
    """Whatever the global generators have been through in between."""
    recipe = small_recipe(cache, *TINY)
    first = run(recipe, tmp_path / "first")
    torch.manual_seed(99)
    random.seed(99)
    np.random.seed(99)
    same(first, run(recipe, tmp_path / "second"))
    other = run(small_recipe(cache, *TINY, "seed=1"), tmp_path / "other", only=("pretrain",))
    assert not same_weights(first / "pretrain", other / "pretrain")


@pytest.mark.slow
def test_in_a_process_of_its_own(cache: Path, tmp_path: Path) -> None:
    """Another folder, cache, hash seed, number of decoding threads, and W&B beside it."""
    first = run(small_recipe(cache, *TINY), tmp_path / "first")
    out = tmp_path / "elsewhere" / "second"
    words = overrides(tmp_path / "cache", *TINY, "data.workers=3", "tracking.wandb=offline")
    path = os.pathsep.join([str(ROOT), *sys.path])
    environment = {**os.environ, "PYTHONHASHSEED": "4711", "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-m", "contrastive_cxr", "run", "phantom", *words, "--out", str(out)], cwd=tmp_path,
        env={name: value for name, value in environment.items() if name != "WANDB_SERVICE"}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads((out / "environment.json").read_text())["threads"] == 1
    if torch.get_num_threads() == 1:
        same(first, out)
