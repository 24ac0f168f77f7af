"""What a dry run prints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from contrastive_cxr.training import step_time
from contrastive_cxr.training.plan_words import images_words, time_words
from tests.small import overrides

Call = Callable[..., tuple[int, str, str]]


def test_it_is_a_few_lines_and_the_rest_with_verbose(ccxr: Call, cache: Path, tmp_path: Path, amount: None) -> None:
    words = ("run", "phantom", *overrides(cache), "--out", tmp_path / "out", "--dry-run")
    code, said, _ = ccxr(*words)
    assert code == 0
    lines = said.splitlines()
    assert [line.partition(":")[0] for line in lines[:6]] == [
        "Images", "Weights", "Device", "Steps", "Time", "Results",
    ]  # fmt: skip
    assert lines[0].startswith("Images:  60 (train 36, val 12, test 12), normal 20, nodule 20, opacity 20; ")
    # 36 images in batches of 8, 12 and 8; 2 epochs each
    assert lines[3] == "Steps:   22 (pretrain 8 of 8 images, embed 6 of 12 images, finetune 8 of 8 images)"
    assert lines[4].startswith("Time:    about ")
    assert f"{tmp_path / 'out'}: up to " in lines[5]
    assert len(lines) <= 11
    assert lines[-2] == "Next:"
    assert lines[-1].startswith("  train  ccxr run phantom model.backbone=timm/test_resnet ")
    assert lines[-1].endswith(f" --out {tmp_path / 'out'}")
    assert "images_per_class" not in "\n".join(lines[:-1])
    assert not (tmp_path / "out").exists()
    code, more, _ = ccxr("--verbose", *words)
    assert code == 0
    for part in ("images_per_class: 4", "embed: 2 epochs x", "projection", *lines[:4]):
        assert part in more


def test_a_device_that_is_not_here_is_no_fault(ccxr: Call, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(step_time, "timed_phase", lambda *_: pytest.fail("there is nothing to time on"))
    code, said, _ = ccxr("run", "phantom", *overrides(cache, "runtime.device=cuda"), "--dry-run")
    assert code == 0
    assert "Device:  GPU, which this machine has not" in said
    assert "Time:    not measured: runtime.device is 'cuda' and torch finds no CUDA device here" in said


def test_seeds_are_as_many_runs(ccxr: Call, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_time, "seconds", lambda *_: {"pretrain": 60.0})
    _, said, _ = ccxr("run", "phantom", *overrides(cache), "--seeds", "3", "--dry-run")
    assert "Runs:    3; steps, time and disk above are those of one" in said.splitlines()
    assert "Runs:" not in ccxr("run", "phantom", *overrides(cache), "--dry-run")[1]


def test_the_time_is_the_sum_of_the_phases() -> None:
    assert time_words({"pretrain": 3000.0, "embed": 600.0}).startswith(
        "about 60 min of training (pretrain 50 min, embed "
    )
    assert time_words("no memory") == "not measured: no memory"


def test_patients_are_counted_and_their_absence_is_told() -> None:
    train = {"split": "train", "ill": 4, "well": 1, "images": 5, "patients": 0, "without patient": 5}
    assert images_words([train]) == "5 (train 5), ill 4, well 1; patients unknown"
    assert images_words([train | {"patients": 3, "without patient": 0}]).endswith("; 3 patients")
    assert images_words([train | {"patients": 3, "without patient": 2}]).endswith(
        "3 patients, and 2 images of unknown ones"
    )
