"""How many cores: the scheduler's, the container's quota, and what the user says."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from contrastive_cxr import cores, engine
from contrastive_cxr.recipe import schema


@pytest.fixture
def many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of 64 cores, and the folder of its control group, which is empty."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    monkeypatch.setattr(cores, "CGROUP", tmp_path)
    for name in cores.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("max 100000\n", 64), ("200000 100000\n", 2), ("150000 100000\n", 2), ("50000 100000\n", 1),
        ("9900000 100000\n", 64), ("", 64), ("nothing 100000\n", 64), ("100000\n", 64),
    ],
)  # fmt: skip
def test_a_quota_of_version_2(many: Path, words: str, expected: int) -> None:
    (many / "cpu.max").write_text(words)
    assert cores.available() == expected


@pytest.mark.parametrize(("words", "expected"), [("-1", 64), ("300000", 3), ("30000", 1)])
def test_a_quota_of_version_1(many: Path, words: str, expected: int) -> None:
    (many / "cpu").mkdir()
    (many / "cpu" / "cpu.cfs_quota_us").write_text(words + "\n")
    (many / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert cores.available() == expected


def test_without_control_groups_the_scheduler_decides(many: Path) -> None:
    assert cores.quota() == math.inf
    assert cores.available() == 64


def test_threads_are_as_many_as_the_environment_says(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (many / "cpu.max").write_text("400000 100000")
    for word, expected in (("1", 1), ("3", 3), ("16", 4), ("many", 4), ("0", 4), ("", 4)):
        monkeypatch.setenv("OMP_NUM_THREADS", word)
        assert cores.threads() == expected, word


def test_the_libraries_are_told_of_a_quota_and_of_a_wish(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {})
    cores.set_threads(None)
    assert os.environ == {}, "without a quota they count the cores themselves"
    (many / "cpu.max").write_text("400000 100000")
    cores.set_threads(None)
    assert os.environ == dict.fromkeys(cores.VARIABLES, "4")
    cores.set_threads(3)
    assert os.environ == dict.fromkeys(cores.VARIABLES, "3")
    cores.set_threads(None)
    assert os.environ == dict.fromkeys(cores.VARIABLES, "3"), "what is set stays"


def test_training_uses_no_more_threads_than_the_quota_allows(many: Path) -> None:
    before = torch.get_num_threads()
    (many / "cpu.max").write_text("100000 100000")
    try:
        torch.set_num_threads(2)
        engine.launch(schema.Runtime(device="cpu"))
        assert torch.get_num_threads() == 1
        (many / "cpu.max").write_text("800000 100000")
        engine.launch(schema.Runtime(device="cpu"))
        assert torch.get_num_threads() == 1, "a smaller number that was chosen stays"
    finally:
        torch.set_num_threads(before)


def test_the_option_reaches_torch() -> None:
    words = (
        "import sys; from contrastive_cxr.cli.app import app; assert 'numpy' not in sys.modules, 'loaded too early'\n"
        "try: app(['--threads', '1', 'recipes', 'list'])\nexcept SystemExit: pass\n"
        "import torch; print('threads', torch.get_num_threads())"
    )
    environment = {name: value for name, value in os.environ.items() if name not in cores.VARIABLES}
    found = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, env=environment, check=True)
    assert found.stdout.endswith("threads 1\n")


def test_no_thread_is_refused() -> None:
    command = [sys.executable, "-m", "contrastive_cxr", "--threads", "0", "recipes", "list"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 2
    assert "threads" in found.stderr
