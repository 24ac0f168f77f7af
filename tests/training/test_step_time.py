"""The time of a training: two real steps are timed, and what they come to is worked out again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from contrastive_cxr import engine
from contrastive_cxr.data.dataset import open_dataset
from contrastive_cxr.errors import CcxrError
from contrastive_cxr.phases.context import PhaseContext
from contrastive_cxr.phases.supervised import ClassStep
from contrastive_cxr.training import step_time
from contrastive_cxr.training.step_time import Timed
from tests.small import small_recipe


class Hands:
    """A clock that only the work moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


def test_two_steps_of_a_phase_are_timed_and_the_first_is_not(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hands, left = Hands(), iter((100.0, 3.0, 5.0))
    step, encode = ClassStep.__call__, PhaseContext.encode

    def slow_step(self: ClassStep, *given: Any) -> Any:
        hands.now += next(left)
        return step(self, *given)

    def slow_encode(self: PhaseContext, *given: Any) -> Any:
        hands.now += 24.0
        return encode(self, *given)

    monkeypatch.setattr(step_time, "time", hands)
    monkeypatch.setattr(ClassStep, "__call__", slow_step)
    monkeypatch.setattr(PhaseContext, "encode", slow_encode)
    recipe = small_recipe(cache, "pretrain.batch_size=24", "pretrain.accumulate=2", "pretrain.ema_decay=0.9")
    data = open_dataset(recipe.data, recipe.task)
    found = step_time.timed_phase(recipe, data, "pretrain", engine.launch(recipe.runtime))
    assert found == Timed(step=4.0, images=16, validated=1.5, encoded=1.5), "steps of 3 s and 5 s; 16 images in 24 s"
    assert next(left, None) is None, "three steps, no more"


def test_a_whole_phase_is_its_steps_and_its_validations(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = small_recipe(cache, "pretrain.epochs=7", "pretrain.validate_every=3", "pretrain.batch_size=8")
    data = open_dataset(recipe.data, recipe.task)
    timed = Timed(step=2.0, images=4, validated=0.5, encoded=0.25)
    monkeypatch.setattr(step_time, "timed_phase", lambda *_: timed)
    train, val = len(data.rows("train")), len(data.rows("val"))
    found = step_time.seconds(recipe, [(recipe, data, ("pretrain", "finetune"))])
    steps = 7 * (train // 8)  # of 8 images, so of 4 seconds; validated after epochs 3, 6 and 7
    assert found["pretrain"] == pytest.approx(steps * 4.0 + 3 * val * 0.5)
    assert recipe.finetune is not None
    assert recipe.finetune.on_vectors, "its vectors are computed once"
    assert found["finetune"] == pytest.approx(2 * (train // 8) * 4.0 + (train + val) * 0.25)
    both = step_time.seconds(recipe, [(recipe, data, ("pretrain",))] * 2)
    assert both["pretrain"] == pytest.approx(2 * found["pretrain"]), "of a cascade all tasks"


def test_every_phase_can_be_timed_and_nothing_is_said(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = small_recipe(cache, "embed.positives=augmented", "embed.choose_by=loss")
    data = open_dataset(recipe.data, recipe.task)
    found = step_time.seconds(recipe, [(recipe, data, recipe.phases)])
    assert list(found) == ["pretrain", "embed", "finetune"]
    assert all(0 < took < 60 for took in found.values())
    out, err = capsys.readouterr()
    stages = [line for line in err.splitlines() if line.startswith("timing: ")]  # of a slow machine alone
    assert (out, err.splitlines()) == ("", stages)


def test_a_step_that_does_not_fit_is_told_in_words(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise RuntimeError("CUDA out of memory. Tried to allocate\nmore")

    monkeypatch.setattr(step_time, "timed_phase", full)
    recipe = small_recipe(cache)
    data = open_dataset(recipe.data, recipe.task)
    with pytest.raises(CcxrError, match=r"^pretrain: CUDA out of memory\. Tried to allocate$"):
        step_time.seconds(recipe, [(recipe, data, ("pretrain",))])
