"""Signals outside of a training's loop: the command leaves with the signal's code, and goes on where it can."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from contrastive_cxr.data import cache as caches
from contrastive_cxr.evaluation import external
from contrastive_cxr.files import PARTIAL
from tests.small import overrides

Call = Callable[..., tuple[int, str, str]]


def painted(tmp_path: Path, ccxr: Call) -> list[object]:
    """A command that decodes ten images into a cache of its own and trains nothing."""
    return ["run", "phantom", *overrides(tmp_path / "cache", "data.images=24", "data.workers=1"), "--overfit", "6"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGUSR1, 138), (signal.SIGINT, 130)])
def test_while_decoding(
    ccxr: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, code: int
) -> None:
    """What is decoded stays; the handlers are what they were."""
    before = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)]
    add, calls = caches.Store.add, []

    def counted(self: caches.Store, record: caches.Record) -> None:
        add(self, record)
        calls.append(record.place)
        if len(calls) == 10:
            signal.raise_signal(number)

    monkeypatch.setattr(caches.Store, "add", counted)
    left, _, told = ccxr(*painted(tmp_path, ccxr))
    assert left == code
    assert told.count(f"stopped by {number.name}; nothing is half-written.") == 1
    assert "Traceback" not in told
    assert [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)] == before
    assert len(calls) == 10
    ccxr(*painted(tmp_path, ccxr))
    assert len(calls) == 24, "no image is decoded twice"


def test_while_evaluating(ccxr: Call, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written that is not whole, and the folder is free again."""

    def stop(*_: object, **__: object) -> None:
        signal.raise_signal(signal.SIGUSR1)

    with monkeypatch.context() as patch:
        patch.setattr(external, "score_split", stop)
        code, _, told = ccxr("evaluate", finished, "--split", "val", "--out", tmp_path / "scores")
    assert code == 138
    assert "stopped by SIGUSR1" in told
    assert not (tmp_path / "scores").exists()
    assert not list(finished.rglob(f"*{PARTIAL}"))


def test_a_second_sigterm_changes_nothing_and_a_second_ctrl_c_leaves(
    ccxr: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tidied = []

    def stop(again: signal.Signals) -> Callable[..., None]:
        def first(*_: object, **__: object) -> None:
            try:
                signal.raise_signal(signal.SIGTERM)
            finally:
                signal.raise_signal(again)
                tidied.append(again)

        return first

    for again, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        monkeypatch.setattr("contrastive_cxr.training.overfit.overfit", stop(again))
        assert ccxr(*painted(tmp_path, ccxr))[0] == code
    assert tidied == [signal.SIGTERM]
