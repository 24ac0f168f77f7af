"""A run folder as an evaluation leaves it: arrays, logs and images, small enough to read."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.report.small import write_run


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A run of 40 scored and 60 training images."""
    return write_run(tmp_path)
