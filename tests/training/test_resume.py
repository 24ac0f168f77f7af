"""A run that was stopped and resumed ends as one left alone, bit for bit."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from contrastive_cxr.engine.loop import Loop
from contrastive_cxr.engine.stop import Stop
from contrastive_cxr.recipe import Recipe
from contrastive_cxr.training.run import run
from tests.small import PHASES, overrides, same_weights, small_recipe

ROOT = Path(__file__).resolve().parents[2]
MID_EPOCH = ("runtime.checkpoint_minutes=1.0e-9",)  # a checkpoint after every update
THAWED = ("finetune.trainable=[layer4, projection, classifier]", "finetune.augment=xray", "finetune.backbone_lr=0.0001")
MEMORY = ("embed.memory_bank_size=16", "pretrain.accumulate=2", "pretrain.ema_decay=0.9")
TUNED = (
    *THAWED, "finetune.head_epochs=1", "finetune.optimiser.layer_decay=0.5", "finetune.mix.cutmix=1", "embed=null",
    "finetune.trainable=[layer4, classifier]", "pretrain.head_epochs=1", "pretrain.mix.mixup=0.4",
    "pretrain.ema_decay=0.9", "pretrain.optimiser.layer_decay=0.7", "pretrain.optimiser.head_lr=0.01",
    "model.backbone=timm/resnet18", "model.drop_path=0.2",
)  # fmt: skip


class Killed(Exception):
    """Stands for SIGKILL: nothing answers it."""


def killed_at(recipe: Recipe, out: Path, phase: str, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run until `step` steps of `phase` are done, then die without a last word."""
    after = Loop._between_updates

    def dies(self: Loop, stop: Stop, update: int) -> None:
        after(self, stop, update)
        if self.spec.name == phase and self.progress.epoch * self.steps + self.progress.step >= step:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "_between_updates", dies)
        with pytest.raises(Killed):
            run(recipe, out)


def same_runs(first: Path, second: Path) -> None:
    """Assert that two runs have the same logs and weights."""
    for name in PHASES:
        if (first / name).is_dir():
            logs = [(folder / name / "metrics.jsonl").read_bytes() for folder in (first, second)]
            assert logs[0] == logs[1], f"{name}: metrics.jsonl differs"
            assert same_weights(first / name, second / name), f"{name}: weights differ"
    scores = [json.loads((folder / "report.json").read_text())["scores"] for folder in (first, second)]
    assert scores[0] == scores[1]


def test_a_finished_run_has_no_checkpoints_and_is_resumed_without_training(
    finished: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not list(finished.rglob("*.ckpt"))
    shutil.copytree(finished, tmp_path / "run")
    # killed between the mark of the last phase and the removal of its checkpoints
    (tmp_path / "run" / "done.json").unlink()
    left = tmp_path / "run" / "finetune" / "checkpoints" / "last.ckpt"
    left.parent.mkdir()
    left.write_bytes(b"state of an optimiser")
    monkeypatch.setattr(Loop, "train_epoch", lambda *_: pytest.fail("a finished phase was trained again"))
    same_runs(run(small_recipe(cache), tmp_path / "run", resume=True), finished)
    assert not left.parent.exists()


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["pretrain", "embed", "finetune"])
def test_a_run_that_died_in_a_phase_goes_on(
    finished: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, phase: str
) -> None:
    recipe = small_recipe(cache, *MID_EPOCH)
    killed_at(recipe, tmp_path / "run", phase, step=3, monkeypatch=monkeypatch)
    assert (tmp_path / "run" / phase / "checkpoints" / "last.ckpt").is_file()
    assert not (tmp_path / "run" / phase / "model.json").exists()
    same_runs(run(recipe, tmp_path / "run", resume=True), finished)


@pytest.mark.slow
@pytest.mark.parametrize("phase", PHASES)
def test_thawed_blocks_memory_and_averages_go_on(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, phase: str
) -> None:
    recipe = small_recipe(cache, *MID_EPOCH, *THAWED, *MEMORY)
    alone = run(recipe, tmp_path / "alone")
    killed_at(recipe, tmp_path / "run", phase, step=5, monkeypatch=monkeypatch)
    same_runs(run(recipe, tmp_path / "run", resume=True), alone)


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["pretrain", "finetune"])
def test_head_first_rates_by_layer_and_mixed_images_go_on(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, phase: str
) -> None:
    recipe = small_recipe(cache, *MID_EPOCH, *TUNED)
    alone = run(recipe, tmp_path / "alone")
    killed_at(recipe, tmp_path / "run", phase, step=3, monkeypatch=monkeypatch)  # within the head's own epoch
    same_runs(run(recipe, tmp_path / "run", resume=True), alone)


def command(cache: Path, out: Path, *more: str) -> list[str]:
    """A command line of a run with phases long enough to be hit."""
    longer = ("pretrain.epochs=6", "embed.epochs=6", "finetune.epochs=40", *MID_EPOCH)
    words = ["run", "phantom", *overrides(cache, *longer), "--out", str(out), *more]
    return [sys.executable, "-m", "contrastive_cxr", *words]


def started(cache: Path, out: Path) -> subprocess.Popen[str]:
    """A run in a process of its own."""
    return subprocess.Popen(
        command(cache, out), cwd=ROOT, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment()
    )


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def wait_for(process: subprocess.Popen[str], file: Path, rows: int) -> None:
    """Wait until `file` has more than `rows` rows."""
    limit = time.monotonic() + 240
    while not (file.is_file() and file.read_bytes().count(b"\n") > rows):
        assert process.poll() is None, f"the run ended before {file} had {rows} rows: {process.communicate()[1]}"
        assert time.monotonic() < limit, f"{file} never had {rows} rows"
        time.sleep(0.005)


@pytest.fixture(scope="module")
def left_alone(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of `command` without interruption."""
    out = tmp_path_factory.mktemp("alone") / "run"
    done = subprocess.run(command(cache, out), cwd=ROOT, capture_output=True, text=True, env=environment(), check=False)
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.slow
def test_a_run_killed_in_every_phase_ends_as_one_left_alone(left_alone: Path, cache: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    for number, phase in enumerate(PHASES):
        process = subprocess.Popen(
            command(cache, out, *(["--resume"] if number else [])), cwd=ROOT, text=True, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, env=environment(),
        )  # fmt: skip
        wait_for(process, out / phase / "metrics.jsonl", rows=3)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert not (out / phase / "done.json").exists(), f"{phase} was over before it was killed"
    done = subprocess.run(
        command(cache, out, "--resume"), cwd=ROOT, capture_output=True, text=True, env=environment(), check=False
    )
    assert done.returncode == 0, done.stderr
    same_runs(left_alone, out)


@pytest.mark.slow
def test_ctrl_c_saves_and_says_how_to_go_on(left_alone: Path, cache: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    process = started(cache, out)
    wait_for(process, out / "embed" / "metrics.jsonl", rows=2)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "embed interrupted after" in said
    assert "--resume" in said
    assert "Traceback" not in said
    done = subprocess.run(
        command(cache, out, "--resume"), cwd=ROOT, capture_output=True, text=True, env=environment(), check=False
    )
    assert done.returncode == 0, done.stderr
    same_runs(left_alone, out)
