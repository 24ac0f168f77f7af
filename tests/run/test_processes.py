"""run/processes: what torchrun says in the environment."""

from __future__ import annotations

import pytest

from contrastive_cxr.run import processes


def test_alone_where_torchrun_started_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE", "RANK"):
        monkeypatch.delenv(name, raising=False)
    assert (processes.count(), processes.count_here(), processes.is_first()) == (1, 1, True)


def test_two_machines_of_four(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4", "RANK": "4", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    assert (processes.count(), processes.count_here()) == (8, 4)
    assert not processes.is_first(), "the first of the second machine is not the first"
