"""The start of a run says what it does before it does it."""

from __future__ import annotations

from pathlib import Path

import pytest

from contrastive_cxr.training import train
from tests.announced import Announced
from tests.small import small_recipe


def test_the_start_of_a_run(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = Announced(monkeypatch)
    said.watch(train, "open_dataset", "check_model_and_batches", "check_weights", "open_folder", "audit_images")
    monkeypatch.setattr(train, "train", lambda *_: None)
    said.watch(train, "train")
    train.run_single(small_recipe(cache), tmp_path / "run")
    assert said == {
        "open_dataset": "reading the images",
        "check_model_and_batches": "checking the network",
        "check_weights": "loading the weights",
        "open_folder": "writing the run folder",
        "audit_images": "looking for copies, leaks and shortcuts",
        "train": "",  # which shows its epochs itself
    }
