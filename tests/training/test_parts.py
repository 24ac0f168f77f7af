"""Runs that consist of several: what is checked before anything is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from contrastive_cxr.errors import RequestError
from contrastive_cxr.training import parts
from contrastive_cxr.training.cascade import run_cascade
from contrastive_cxr.training.cross_validation import run_folds, run_seeds
from tests.small import small_recipe

CASCADE = "cascade={stage1: phantom/lesion, stage2: phantom/opacity}"


@pytest.mark.parametrize(
    ("start", "words"),
    [
        (lambda recipe, out: run_folds(recipe, out, 3), ()),
        (lambda recipe, out: run_seeds(recipe, out, 2), ()),
        (run_cascade, (CASCADE,)),
    ],
    ids=["folds", "seeds", "cascade"],
)
def test_batches_that_processes_cannot_share_are_refused_before_anything_is_written(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: Callable[..., Path], words: tuple[str, ...]
) -> None:
    monkeypatch.setattr(parts.engine, "launch", lambda runtime: SimpleNamespace(world_size=2, is_global_zero=True))
    recipe = small_recipe(cache, "pretrain.batch_size=9", *words)
    with pytest.raises(RequestError) as caught:
        start(recipe, tmp_path / "run")
    assert caught.value.faults == (
        "pretrain: a batch of 9 images cannot be shared equally by 2 processes; make it a multiple of them",
    )
    assert not (tmp_path / "run").exists()
