"""The last line of a terminal: what fits, and where it cannot be shown."""

from __future__ import annotations

import os
import sys

import pytest

from contrastive_cxr import status_line
from contrastive_cxr.status_line import Part, drawn
from tests.streams import Stream

PARTS = [
    Part("phase 1/3 pretrain", 0),
    Part("epoch 12/100", 1),
    Part("", 4, 0.5),
    Part("45 %", 3),
    Part("1234 images/s", 3),
    Part("2 h 35 min left", 2),
]


def test_no_line_is_wider_than_the_terminal() -> None:
    for width in range(4, 200):
        assert len(drawn(PARTS, width).plain) <= width


def test_what_is_needed_least_is_left_out_first() -> None:
    assert drawn(PARTS, 120).plain == (
        "phase 1/3 pretrain  epoch 12/100  ============------------  45 %  1234 images/s  2 h 35 min left"
    )
    assert drawn(PARTS, 80).plain == (
        "phase 1/3 pretrain  epoch 12/100  ====----  45 %  1234 images/s  2 h 35 min left"
    )
    assert drawn(PARTS, 79).plain == "phase 1/3 pretrain  epoch 12/100  45 %  1234 images/s  2 h 35 min left"
    assert drawn(PARTS, 50).plain == "phase 1/3 pretrain  epoch 12/100  2 h 35 min left"
    assert drawn(PARTS, 20).plain == "phase 1/3 pretrain"
    assert drawn(PARTS, 12).plain == "phase 1/3..."


def test_a_long_name_is_cut_before_others_are_left_out() -> None:
    pieces = [Part("audit", 1), Part("45 %", 2), Part("the name of a stage that does not end", 0)]
    assert drawn(pieces, 42).plain == "audit  45 %  the name of a stage that d..."
    assert drawn(pieces, 36).plain == "audit  the name of a stage t..."


def test_the_bar_takes_what_the_words_leave() -> None:
    pieces = [Part("audit", 1), Part("", 2, 0.25)]
    assert drawn(pieces, 20).plain == "audit  ===----------"
    assert len(drawn(pieces, 100).plain) == len("audit  ") + status_line.BAR[1]


def on_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let stderr be a terminal; within a test, as pytest sets stderr anew before it."""
    monkeypatch.setattr(sys, "stderr", Stream(terminal=True))
    for name in ("JPY_PARENT_PID", "PAGER", "GIT_PAGER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    assert status_line.is_possible()


@pytest.mark.parametrize(
    "environment",
    [
        {"TERM": "dumb"},
        {"TERM": ""},
        {"COLUMNS": "20"},
        {"JPY_PARENT_PID": "17"},  # a command that a cell of a notebook starts
        {"PAGER": "cat", "GIT_PAGER": "cat", "TERM": "xterm-color"},  # the same, of a kernel that Jupyter did not start
    ],
)
def test_terminals_that_cannot_draw_over_a_line(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    on_terminal(monkeypatch)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert not status_line.is_possible()


def test_a_pipe_has_no_status_line(monkeypatch: pytest.MonkeyPatch) -> None:
    on_terminal(monkeypatch)
    monkeypatch.setattr(sys, "stderr", Stream(terminal=False))
    assert not status_line.is_possible()


def test_a_terminal_that_does_not_tell_its_width(monkeypatch: pytest.MonkeyPatch) -> None:
    on_terminal(monkeypatch)
    monkeypatch.delenv("COLUMNS")
    monkeypatch.setattr(os, "get_terminal_size", lambda *_: os.terminal_size((0, 0)))
    assert status_line.is_possible()
    status_line.started(lambda: PARTS).stop()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.1, "1 s"),
        (89, "89 s"),
        (101, "2 min"),
        (5399, "90 min"),
        (7500, "2 h 5 min"),
        (47.9 * 3600, "47 h 54 min"),
        (3 * 86400, "3.0 days"),
    ],
)
def test_durations(seconds: float, words: str) -> None:
    assert status_line.duration(seconds) == words
