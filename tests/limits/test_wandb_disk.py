"""W&B on a disk that is full, and on one that is read only: the run goes on."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import pytest

from contrastive_cxr.recipe import schema
from contrastive_cxr.run.tracking import Tracker
from tests.limits.small_disk import mounted


@pytest.mark.slow
@pytest.mark.parametrize("state", ["full at once", "full later", "read only"])
def test_wandbs_own_disk(state: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("wandb")
    with mounted(tmp_path / "wandb", 512) as disk, caplog.at_level(logging.WARNING):
        if state == "read only":
            disk.read_only()
        elif state == "full at once":
            disk.fill()
        tracker = Tracker.open({"name": "x"}, tmp_path, schema.Tracking())
        slowest = 0.0
        for step in range(1, 3001):
            if step == 500 and state == "full later":
                time.sleep(10)  # until it has begun
                disk.fill()
            began = time.monotonic()
            tracker.log("pretrain", step, {f"step/value {number}": step / 7 for number in range(5)})
            slowest = max(slowest, time.monotonic() - began)
        began = time.monotonic()
        tracker.close()
        assert time.monotonic() - began < 100
        assert slowest < 2, "the run waited for W&B"
    said = [record.message for record in caplog.records if record.name.startswith("contrastive_cxr")]
    assert len(said) <= 1
    if state == "read only":
        assert "going on without it" in said[0]
