"""The stages of long work, and how much is said."""

from __future__ import annotations

import io
import logging
import sys
import time

import pytest

from contrastive_cxr import terminal
from contrastive_cxr.terminal import Stages, share, stage
from tests.streams import Stream


def test_stages_and_shares_add_up() -> None:
    with Stages("scoring", 4, shown=False) as work:
        assert work.done == 0
        stage("one")
        assert work.done == 0
        share(3, 4)
        assert work.done == pytest.approx(0.75 / 4)
        stage("two")
        assert work.done == pytest.approx(1 / 4)
        share(9, 4)  # a last batch may be cut
        assert work.done == pytest.approx(2 / 4)
        assert work.name == "two"
    stage("nothing is open")
    share(1, 2)


def test_a_stage_is_named_before_it_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    with Stages("starting", 2, shown=False, first="loading PyTorch") as work:
        assert work.name == "loading PyTorch"
        assert [part.words for part in work.parts()] == ["starting", "0:00:00", "loading PyTorch"]  # no bar at 0 %
        stage("reading the images")
        assert work.name == "reading the images"
        assert [part.share for part in work.parts()] == [None, 0.5, None, None, None]


def test_a_warning_is_broken_between_words_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Stream(terminal=True)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("COLUMNS", "30")
    words = "data: 60 files are found in a folder-of-images that the table leaves out"
    terminal.Messages().emit(logging.makeLogRecord({"msg": words, "levelno": logging.WARNING}))
    assert stream.getvalue().splitlines() == [
        "data: 60 files are found in a",
        "folder-of-images that the",
        "table leaves out",
    ]


def test_work_inside_of_work_moves_the_outer_one() -> None:
    with Stages("scoring", 2, shown=False) as outer:
        stage("benign changes")
        with Stages("changes", 10, shown=False) as inner:
            stage("crop")
            share(1, 2)
            assert inner.done == pytest.approx(0.05)
            assert outer.done == pytest.approx(0.025)
            assert outer.name == "benign changes (crop)"
        assert outer.name == "benign changes"
        stage("report")
        assert outer.done == pytest.approx(0.5)


def test_lines_name_a_stage_soon_and_then_less_and_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Stream(terminal=False)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(terminal, "SOON", 0.1)
    monkeypatch.setattr(terminal, "EVERY", 0.3)
    with Stages("scoring", 4):
        stage("short")  # over before the first line
        stage("long")
        time.sleep(1.1)
        stage("last")
        share(1, 2)
        time.sleep(0.25)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "scoring: long, 25 %"
    assert set(lines[1:-1]) == {"scoring: long, 25 %, 1 s so far"}
    assert 2 <= len(lines[:-1]) <= 3  # after 0.1, 0.4 and 1.0 seconds
    assert lines[-1] == "scoring: last, 62 %"


def test_a_bar_on_a_terminal_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Stream(terminal=True)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("JPY_PARENT_PID", "PAGER"):
        monkeypatch.delenv(name, raising=False)
    with Stages("audit", 2):
        stage("copies of [images]")
        share(1, 2)
        time.sleep(0.6)
    said = stream.getvalue()
    assert "copies of [images]" in said
    assert " 25 %" in said
    assert said.endswith("\x1b[2K")  # the line is erased


def test_nothing_is_shown_where_all_shall_be_quiet(monkeypatch: pytest.MonkeyPatch, amount: None) -> None:
    monkeypatch.setattr(terminal, "EVERY", 0.02)
    terminal.set_amount(quiet=True)
    for is_terminal in (False, True):
        stream = Stream(is_terminal)
        monkeypatch.setattr(sys, "stderr", stream)
        with Stages("scoring", 1):
            stage("one")
            time.sleep(0.1)
        assert stream.getvalue() == ""


def test_work_that_fails_is_closed() -> None:
    with pytest.raises(ValueError, match="wrong"), Stages("scoring", 1, shown=False):
        raise ValueError("wrong")
    with Stages("scoring", 1, shown=False) as work:
        assert work._outer is None


def test_messages_go_where_stderr_is_now(monkeypatch: pytest.MonkeyPatch, amount: None) -> None:
    log = logging.getLogger("contrastive_cxr.somewhere")
    handler = terminal.Messages()
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(log, "propagate", False)
    log.addHandler(handler)
    try:
        log.debug("unseen")
        terminal.set_amount(verbose=True)
        log.debug("seen")
        log.warning("careful")
    finally:
        log.removeHandler(handler)
    first, second = stream.getvalue().splitlines()
    assert first.endswith(" contrastive_cxr.somewhere: seen")
    assert second == "careful"


def test_a_further_line_of_a_stage_says_how_long_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Stream(terminal=False)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(terminal, "SOON", 0.1)
    monkeypatch.setattr(terminal, "EVERY", 0.3)
    with Stages("starting", 1, first="loading PyTorch"):
        time.sleep(0.7)
    assert stream.getvalue().splitlines()[:2] == ["starting: loading PyTorch", "starting: loading PyTorch, 1 s so far"]
