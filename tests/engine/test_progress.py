"""What is seen of a training: the table on a terminal, the lines elsewhere."""

from __future__ import annotations

import io
import logging
import sys
import time

import pytest
from rich.console import Console

from contrastive_cxr import terminal
from contrastive_cxr.engine.progress import Best, Display, Row
from tests.streams import Stream


def train(display: Display, values: list[float | None], metric: str = "auc") -> None:
    """Epochs of 20 images in two steps, whose losses are 1, 1/2, 1/3, ..."""
    best: tuple[int, float | None] = (0, None)
    for epoch, value in enumerate(values):
        for _ in range(2):
            display.step(10, 1 / (epoch + 1))
        if value is not None and (best[1] is None or value > best[1]):
            best = epoch + 1, value
        other = {"accuracy": 0.5, "a_metric_with_a_long_name": 0.123456789}
        splits = {"train": {"loss": 1 / (epoch + 1), **other}}
        if value is not None:
            splits["val"] = {metric: value, **other}
        display.epoch(epoch, splits, 12.3, best)


def text(display: Display, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(display.table())
    written = console.file
    assert isinstance(written, io.StringIO)
    return written.getvalue().splitlines()


def test_a_line_an_epoch_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Stream(terminal=False)
    monkeypatch.setattr(sys, "stderr", stream)
    with Display("finetune", 3, 20, 0, "balanced_accuracy", True) as display:
        train(display, [0.25, None, 0.123456], "balanced_accuracy")
    first, second, third = stream.getvalue().splitlines()
    assert first.startswith(
        "finetune epoch 1/3: train loss 1, val balanced_accuracy 0.25, best 0.25 (epoch 1), 12 images/s, 0 s left"
    )
    assert second.startswith("finetune epoch 2/3: train loss 0.5, best 0.25 (epoch 1), 12 images/s, ")
    assert third == (
        "finetune epoch 3/3: train loss 0.3333, val balanced_accuracy 0.1235, best 0.25 (epoch 1), 12 images/s"
    )


def test_one_table_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Stream(terminal=True)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    with Display("pretrain", 2, 20, 0, "auc", True) as display:
        train(display, [0.5, 0.75])
    assert "epoch 1/2:" not in stream.getvalue()
    last = stream.getvalue().rpartition("time left")[2]
    assert "0.75 (2)" in last


def test_nothing_is_shown_where_all_shall_be_quiet_or_by_another_process(
    monkeypatch: pytest.MonkeyPatch, amount: None
) -> None:
    for is_terminal in (False, True):
        stream = Stream(is_terminal)
        monkeypatch.setattr(sys, "stderr", stream)
        with Display("pretrain", 1, 20, 0, "auc", False) as display:
            train(display, [0.5])
        terminal.set_amount(quiet=True)
        with Display("pretrain", 1, 20, 0, "auc", True) as display:
            train(display, [0.5])
        terminal.set_amount()
        assert stream.getvalue() == ""


def test_the_table_has_the_newest_epochs_and_the_best_one() -> None:
    display = Display("pretrain", 20, 20, 0, "auc", True)
    train(display, [0.5, 0.9, *[0.6] * 8])
    display.step(10, 0.05)
    title, *rows = (line.split() for line in text(display, 80))
    assert " ".join(title) == "phase epoch train loss val auc best so far images/s time left"
    assert [row[1] for row in rows] == ["2/20", "5/20", "6/20", "7/20", "8/20", "9/20", "10/20", "11/20"]
    assert rows[0][2:] == ["0.5", "0.9", "0.9", "(2)", "12"]
    assert rows[-2][2:] == ["0.1", "0.6", "0.9", "(2)", "12"]
    assert rows[-1][2:5] == ["0.05", "50", "%"]
    display.step(10, 0.04)
    assert "validating" in text(display, 80)[-1]


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_ends_within_the_width(width: int) -> None:
    display = Display("finetune", 1000, 20, 993 * 20, "balanced_accuracy", True)
    row = Row(1000, 0.00123456, 0.123456, Best(1000, 0.123456), 12345.6)
    display._rows.append(row)
    lines = text(display, width)
    assert max(len(line.rstrip()) for line in lines) <= width
    assert "…" not in "".join(lines)
    assert any("1000/1000" in line for line in lines)


def test_a_line_keeps_its_first_parts_where_all_are_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    display = Display("finetune", 100_000, 20, 0, "balanced_accuracy", True)
    monkeypatch.setattr(display, "left", lambda: 123_456.0)
    line = display.line(Row(99_998, 0.00123456, 0.123456, Best(99_998, 0.123456), 12345.6))
    assert line == (
        "finetune epoch 99998/100000: train loss 0.001235, val balanced_accuracy 0.1235, best 0.1235 (epoch 99998)"
    )


def test_a_resumed_phase_goes_on_at_its_epoch_and_its_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    display = Display("pretrain", 10, 20, 50, "auc", True)  # two epochs and a half were seen
    now[0] += 4.0
    display.step(10, 0.5)  # ten images in four seconds, 140 are left
    assert display.left() == pytest.approx(56.0)
    assert text(display, 80)[-1].split() == ["pretrain", "3/10", "0.5", "validating", "56", "s"]


def test_without_a_chosen_metric_the_validation_loss_is_shown() -> None:
    display = Display("embed", 2, 20, 0, "last", True)
    train(display, [0.4], "loss")
    assert "val loss" in text(display, 80)[0]


def test_a_warning_goes_above_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Stream(terminal=True)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    handler = terminal.Messages()
    with Display("pretrain", 2, 20, 0, "auc", True) as display:
        train(display, [0.5])
        handler.emit(logging.makeLogRecord({"msg": "careful", "levelno": logging.WARNING, "levelname": "WARNING"}))
        train(display, [0.75])
    above, _, below = stream.getvalue().rpartition("careful\n")
    assert above
    assert "0.75" in below
