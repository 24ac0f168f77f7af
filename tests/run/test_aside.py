"""Work that nobody waits for."""

from __future__ import annotations

import threading
import time

import pytest

from contrastive_cxr.run import aside
from contrastive_cxr.run.aside import BackgroundWorker


def test_things_are_done_in_order_and_waited_for_at_the_end() -> None:
    done: list[int] = []
    beside = BackgroundWorker("test", lambda error: None)
    for number in range(100):
        beside.do(lambda number=number: done.append(number))
    assert beside.close(10)
    assert done == list(range(100))
    beside.do(lambda: done.append(-1))
    assert beside.close(10)
    assert done[-1] == 99


def test_the_first_failure_is_told_once_and_ends_it() -> None:
    said: list[Exception] = []
    beside = BackgroundWorker("test", said.append)
    for _ in range(3):
        beside.do(lambda: 1 / 0)
    assert beside.close(10)
    assert [type(error) for error in said] == [ZeroDivisionError]


def test_what_never_answers_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aside, "WAITING", 5)
    said: list[Exception] = []
    never, told = threading.Event(), threading.Event()

    def failed(error: Exception) -> None:
        said.append(error)
        told.set()

    beside = BackgroundWorker("test", failed)
    began = time.monotonic()
    for _ in range(20):
        beside.do(never.wait)
    assert told.wait(10)
    assert not beside.close(0.1)
    assert time.monotonic() - began < 10
    assert [type(error) for error in said] == [TimeoutError]
    never.set()
