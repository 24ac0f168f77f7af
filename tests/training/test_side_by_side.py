"""Seeds as processes side by side: the same results, a failure told, a signal handed on."""

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

from contrastive_cxr import recipe as recipes
from contrastive_cxr.errors import CcxrError, RequestError
from contrastive_cxr.training import side_by_side
from contrastive_cxr.training.cross_validation import run_seeds
from tests.small import small_recipe

QUICK = ("embed=null", "finetune=null", "pretrain.epochs=1")


def probabilities(run: Path) -> np.ndarray:
    return np.load(run / "pretrain" / "arrays" / "probabilities.npy")


def test_more_processes_than_cores_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    side_by_side.check(1)
    with pytest.raises(RequestError, match=r"--parallel 2: this process may use 1 core; give at most 1"):
        side_by_side.check(2)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    with pytest.raises(RequestError) as caught:
        side_by_side.check(2)
    assert len(caught.value.faults) == 2
    assert "torchrun" in caught.value.faults[0]


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("starting: loading PyTorch\n", "seed3"),
        ("pretrain epoch 2/20: 51 %, 66 images/s\nembed epoch 1/4: 3 %, train loss 2\n\n", "seed3 embed epoch 1/4"),
        ("", "seed3"),
        ("é" * side_by_side.TAIL + "\npretrain epoch 9/9: done", "seed3 pretrain epoch 9/9"),
    ],
)
def test_the_end_of_a_log_says_where_a_part_is(tmp_path: Path, log: str, words: str) -> None:
    (tmp_path / "seed3.log").write_text(log)
    with subprocess.Popen(["true"]) as process:
        assert side_by_side._Part("seed3", tmp_path / "seed3.log", process).words() == words


@pytest.mark.slow
def test_seeds_side_by_side_are_those_in_turn(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = small_recipe(cache, *QUICK)
    run_seeds(recipe, tmp_path / "in-turn", 2)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    run_seeds(recipe, tmp_path / "beside", 2, parallel=2)
    for seed in ("seed0", "seed1"):
        assert (
            probabilities(tmp_path / "beside" / seed).tobytes() == probabilities(tmp_path / "in-turn" / seed).tobytes()
        )
        assert "pretrain epoch 1/1" in (tmp_path / "beside" / f"{seed}.log").read_text()
        assert not (tmp_path / "beside" / seed / "audit.json").exists(), "the whole run audits for its parts"
    both = [json.loads((tmp_path / name / "report.json").read_text())["scores"] for name in ("in-turn", "beside")]
    assert both[0] == both[1]


@pytest.mark.slow
def test_a_part_that_fails_is_named_with_its_last_words(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    recipe = small_recipe(cache, *QUICK)
    parts = {
        "seed0": recipe,
        "seed1": small_recipe(cache, *QUICK, "pretrain.optimiser.lr=1e30", "pretrain.optimiser.clip_norm=0"),
    }
    with pytest.raises(CcxrError) as caught:
        side_by_side.run_side_by_side(parts, tmp_path, 2)
    assert not isinstance(caught.value, RequestError)
    assert "seed1 ended with exit code 1" in str(caught.value)
    assert "seed1.log" in str(caught.value)
    assert "seed0" not in str(caught.value)
    assert (tmp_path / "seed0" / "report.json").is_file(), "the other part came to its end"


@pytest.mark.slow
def test_a_signal_reaches_every_part_and_nothing_is_lost(cache: Path, tmp_path: Path) -> None:
    recipe = small_recipe(cache, "embed=null", "finetune=null", "pretrain.epochs=3")
    (tmp_path / "recipe.yaml").write_text(recipes.record(recipe))
    out = tmp_path / "seeds"
    command = [sys.executable, "-m", "contrastive_cxr", "run", "recipe.yaml", "--seeds", "2", "--parallel", "2"]
    command += ["--out", str(out)]
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) as process:
        logs = [out / "seed0.log", out / "seed1.log"]
        until = time.monotonic() + 240
        while not all(log.is_file() and "epoch 1/3: train loss" in log.read_text() for log in logs):
            assert process.poll() is None, process.stderr and process.stderr.read()
            assert time.monotonic() < until
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGTERM
    subprocess.run([*command, "--resume"], cwd=tmp_path, env=environment, check=True, capture_output=True)
    straight = run_seeds(recipe, tmp_path / "straight", 2)
    for seed in ("seed0", "seed1"):
        assert probabilities(out / seed).tobytes() == probabilities(straight / seed).tobytes()
