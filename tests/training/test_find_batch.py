"""The search for the largest batch: against every possible limit, and by real trials."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from contrastive_cxr.errors import CcxrError, RequestError
from contrastive_cxr.preflight.model_checks import steps
from contrastive_cxr.training import find_batch as finding
from contrastive_cxr.training import trial
from contrastive_cxr.training.find_batch import Found, find_batch, largest
from contrastive_cxr.training.trial import TrialConfig
from tests.small import small_recipe


def searched(limit: int, first: int, most: int) -> tuple[int, list[int]]:
    """What the search finds where values up to `limit` fit, and what it tried."""
    tried: list[int] = []

    def fits(value: int) -> bool:
        assert 1 <= value <= most
        assert value not in tried, "no value twice"
        tried.append(value)
        return value <= limit

    return largest(fits, first, 1, most), tried


def test_the_search_finds_every_limit_to_a_sixteenth() -> None:
    for most in (1, 5, 40, 333):
        for limit in range(most + 5):
            for first in {1, min(7, most), most}:
                found, tried = searched(limit, first, most)
                assert len(tried) <= 2 * np.log2(most + 1) + 5
                if limit == 0:
                    assert found == 1
                    continue
                assert found <= min(limit, most)
                assert found in tried
                assert min(limit, most) - found < max(1, found // 16)


def test_each_phases_batch_is_bounded_by_its_images(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[TrialConfig] = []

    def isolated(asked: TrialConfig) -> float | str:
        seen.append(asked)
        return 100.0 + asked.value if asked.value <= 10 else "too little memory; make it smaller"

    monkeypatch.setattr(finding, "isolated", isolated)
    recipe = small_recipe(cache)  # 36 training images in three classes
    told: list[str] = []
    assert find_batch(recipe, told.append) == [
        Found("pretrain.batch_size", 10, 10, 36, "too little memory; make it smaller", 110.0),
        Found("embed.images_per_class", 10, 30, 12, "too little memory; make it smaller", 110.0),
        Found("finetune.batch_size", 10, 10, 36, "too little memory; make it smaller", 110.0),
    ]
    assert len(told) == len(seen)
    assert "pretrain.batch_size=8: trains, 108 MiB" in told
    assert "pretrain.batch_size=16: too little memory; make it smaller" in told


def test_a_trial_is_two_steps_of_the_whole_batch(cache: Path) -> None:
    recipe = small_recipe(cache, "pretrain.imbalance=oversample", "pretrain.initial_image_size=32", "pretrain.epochs=7")
    images = np.zeros((5, 1, 32, 32), np.uint8)
    for name, value, size in (("pretrain", 11, 11), ("embed", 4, 12), ("finetune", 9, 9)):
        asked = TrialConfig(recipe, name, value, images, 6, None)  # type: ignore[arg-type]
        changed = trial.two_steps(recipe, asked.name, value)
        data = trial.stand_in(changed, asked)
        phase = getattr(changed, name)
        assert (phase.epochs, phase.initial_image_size) == (2, None)
        assert (len(data.rows("train")), len(data.rows("val"))) == (size, 6)
        assert set(data.labels[data.rows("val")]) == {0, 1, 2}
        assert steps(changed, data, asked.name) == (1, size)


def test_several_processes_are_refused(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RequestError, match="without torchrun"):
        find_batch(small_recipe(cache))


def test_where_not_even_one_image_trains_the_reason_is_said(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "isolated", lambda asked: "the device is on fire")
    with pytest.raises(CcxrError, match="not even batch_size=1 trains here: the device is on fire"):
        find_batch(small_recipe(cache))


@pytest.mark.slow
def test_real_trials_end_where_the_memory_does(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A free memory of 900 MiB lets some batches of ResNet-18 at 64 pixels train and larger ones not."""
    monkeypatch.setattr(trial, "free_memory", lambda: 900 * 2**20)
    words = ("model.image_size=64", "data.cache_size=64", "data.images=600", "embed=null", "finetune=null")
    (found,) = find_batch(small_recipe(cache, *words, "model.backbone=resnet18"))
    assert 8 <= found.value < found.most == 360
    assert found.limit != "images", "the memory ended it, in the step or in writing the checkpoint"
    assert not list(Path.cwd().glob("pretrain"))
