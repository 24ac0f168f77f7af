"""Warnings that must not be overlooked, on a terminal and in a file."""

from __future__ import annotations

import logging
import os
import re

import pytest

from contrastive_cxr import terminal
from contrastive_cxr.alerts import Alert, alert
from tests.streams import Stream

COMMAND = "ccxr audit " + " ".join(f"data.key{number}=value" for number in range(20)) + " --fix clean.csv"
SENTENCE = "5 groups of copies are in more than one of train, val and test: " + "scores would be too good, " * 4
LEAK = Alert("leak", "LEAK: here", (SENTENCE, "Another one."), "Do this:", COMMAND)


@pytest.mark.parametrize("width", [80, 120])
def test_a_terminal_gets_colour_and_lines_and_the_command_stays_whole(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((width, 24)))
    for name in ("NO_COLOR", "JPY_PARENT_PID", "PAGER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    text = LEAK.text(Stream(terminal=True))
    assert text.count("\x1b[1;31m") == 3, "a red line above and below, and the title"
    lines = re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()
    assert lines[0] == lines[-1] == "=" * width
    assert f"  {COMMAND}" in lines
    assert max(len(line) for line in lines if line.strip() != COMMAND) <= width
    assert " ".join(line.strip() for line in lines).count(SENTENCE.strip()) == 1, "no word is lost"
    assert "\x1b[1;33m" in Alert("warning", "WARNING", ("a",)).text(Stream(terminal=True))


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {"JPY_PARENT_PID": "17"}])
def test_no_colour_where_it_would_be_litter(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert "\x1b" not in LEAK.text(Stream(terminal=True))


def test_a_file_gets_whole_plain_lines() -> None:
    text = LEAK.text(Stream(terminal=False))
    assert text.splitlines() == ["LEAK: here", f"- {SENTENCE}", "- Another one.", "Do this:", f"  {COMMAND}"]


def test_it_is_logged_as_one_warning_with_everything(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("contrastive_cxr.somewhere")
    with caplog.at_level(logging.WARNING):
        alert(logger, LEAK)
    (record,) = caplog.records
    assert record.getMessage() == "\n".join(["LEAK: here", SENTENCE, "Another one.", "Do this:", COMMAND])
    assert terminal.Messages().format(record).splitlines()[0] in ("LEAK: here", "=" * 80)
