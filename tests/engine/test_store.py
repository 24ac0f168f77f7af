"""What a finished phase keeps of its checkpoints."""

from __future__ import annotations

from pathlib import Path

import pytest

from contrastive_cxr.engine.store import drop_checkpoints


@pytest.fixture
def phase(tmp_path: Path) -> Path:
    (tmp_path / "checkpoints").mkdir()
    for name in ("last.ckpt", "best-2.ckpt", "best-5.ckpt"):
        (tmp_path / "checkpoints" / name).write_bytes(b"weights")
    (tmp_path / "done.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"model")
    return tmp_path


def left(phase: Path) -> set[str]:
    return {str(path.relative_to(phase)) for path in phase.rglob("*")}


def test_nothing_is_left_but_the_model(phase: Path) -> None:
    drop_checkpoints(phase, best=False)
    assert left(phase) == {"done.json", "model.safetensors"}
    drop_checkpoints(phase, best=False)
    assert left(phase) == {"done.json", "model.safetensors"}


def test_best_checkpoints_stay_when_told_and_what_is_not_ours_always(phase: Path) -> None:
    (phase / "checkpoints" / "mine.txt").write_text("mine")
    drop_checkpoints(phase, best=True)
    assert {path.name for path in (phase / "checkpoints").iterdir()} == {"best-2.ckpt", "best-5.ckpt", "mine.txt"}
    drop_checkpoints(phase, best=False)
    assert {path.name for path in (phase / "checkpoints").iterdir()} == {"mine.txt"}


def test_a_phase_that_is_not_finished_loses_nothing(phase: Path) -> None:
    (phase / "done.json").unlink()
    with pytest.raises(AssertionError, match="not finished"):
        drop_checkpoints(phase, best=False)
    assert (phase / "checkpoints" / "last.ckpt").exists()
