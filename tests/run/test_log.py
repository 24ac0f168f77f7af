"""A log that can be wound back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from contrastive_cxr.errors import RequestError
from contrastive_cxr.run.log import MetricsLog


def test_rows_are_lines_with_whole_floats(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl")
    assert (log.size(), log.rows()) == (0, [])
    log.append({"step": 1, "loss": 0.1, "auc": float("nan")})
    log.append({"step": 2, "loss": np.float32(0.1)})
    assert log.path.read_bytes() == (
        b'{"step": 1, "loss": 0.1, "auc": null}\n{"step": 2, "loss": 0.10000000149011612}\n'
    )
    assert log.rows()[1] == {"step": 2, "loss": float(np.float32(0.1))}


def test_winding_back_gives_the_same_bytes(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl")
    log.append({"step": 1})
    size = log.sync()
    log.append({"step": 2})
    whole = log.path.read_bytes()
    with log.path.open("ab") as file:
        file.write(b'{"step": 3, "lo')
    MetricsLog(log.path).truncate_to(size)
    log.append({"step": 2})
    assert log.path.read_bytes() == whole
    with pytest.raises(RequestError, match="was changed"):
        log.truncate_to(10**6)
