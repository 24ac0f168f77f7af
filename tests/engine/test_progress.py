"""What is seen of a training: a line an epoch, and a status line on a terminal."""

from __future__ import annotations

import logging
import sys
import time

import pytest

from contrastive_cxr import status_line, terminal
from contrastive_cxr.engine.progress import Best, Display, Place, Row
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
            splits["val"] = {"loss": 2 / (epoch + 1), metric: value, **other}
        display.epoch(epoch, splits, 12.3, best)


def words(display: Display, width: int = 120) -> str:
    """The status line."""
    return status_line.drawn(display.parts(), width).plain


def on_terminal(monkeypatch: pytest.MonkeyPatch, width: int = 80) -> Stream:
    """Let stderr be a terminal; within a test, as pytest sets stderr anew before it."""
    stream = Stream(terminal=True)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(width))
    for name in ("JPY_PARENT_PID", "PAGER"):
        monkeypatch.delenv(name, raising=False)
    return stream


def test_a_line_an_epoch_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Stream(terminal=False)
    monkeypatch.setattr(sys, "stderr", stream)
    with Display("finetune", 3, 20, 0, "balanced_accuracy", True) as display:
        train(display, [0.25, None, 0.123456], "balanced_accuracy")
    first, second, third = stream.getvalue().splitlines()
    assert first.startswith(
        "finetune epoch 1/3: train loss 1, val loss 2, val balanced_accuracy 0.25, best 0.25 (epoch 1), 12 images/s, "
    )
    assert first.endswith(" s left")
    assert second.startswith("finetune epoch 2/3: train loss 0.5, best 0.25 (epoch 1), 12 images/s, ")
    assert third == (
        "finetune epoch 3/3: train loss 0.3333, val loss 0.6667, val balanced_accuracy 0.1235, best 0.25 (epoch 1), "
        "12 images/s"
    )


def test_on_a_terminal_a_line_an_epoch_above_the_status_line(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = on_terminal(monkeypatch)
    with Display("pretrain", 2, 20, 0, "auc", True, Place(1, 3, 40.0)) as display:
        time.sleep(0.3)
        train(display, [0.5, 0.75])
    said = stream.getvalue()
    assert "pretrain epoch 1/2: train loss 1, val loss 2, val auc 0.5, best 0.5 (epoch 1)" in said
    assert "pretrain epoch 2/2: train loss 0.5, val loss 1, val auc 0.75" in said
    assert "phase 1/3 pretrain  epoch 1/2" in said
    assert said.endswith("\x1b[2K")  # the status line is erased


def test_the_status_line_tells_phase_epoch_share_pace_and_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    display = Display("embed", 5, 20, 0, "auc", True, Place(2, 3, 60.0))
    assert words(display) == "phase 2/3 embed  epoch 1/5  ------------------------  0 %"
    now[0] += 5.0
    display.step(10, 0.5)  # two images a second; 90 are left of this phase and 60 of the last one
    assert words(display) == (
        "phase 2/3 embed  epoch 1/5  ============------------  50 %  2 images/s  75 s left  train loss 0.5"
    )
    assert len(words(display, 79)) == 79  # the bar is shorter, and the loss is left out
    assert words(display, 79).endswith("  50 %  2 images/s  75 s left")
    display.step(10, 0.4)
    assert "  validating  " in words(display)


@pytest.mark.parametrize("width", [20, 40, 80, 120])
def test_no_status_line_is_wider_than_the_terminal(width: int) -> None:
    display = Display("finetune", 1000, 20, 999 * 20 + 10, "balanced_accuracy", True, Place(3, 3))
    for _ in range(2):
        display.step(5, 0.00123456)
        assert len(words(display, width - 1)) < width
    assert words(display, width - 1).startswith("phase 3/3 finetune" if width > 20 else "phase 3/3")


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("metric", ["auc", "balanced_accuracy", "knn_accuracy"])
def test_both_losses_and_the_metric_stay_in_the_line_of_an_epoch(
    monkeypatch: pytest.MonkeyPatch, width: int, metric: str
) -> None:
    on_terminal(monkeypatch, width)
    with Display("finetune", 50, 20, 0, metric, True) as display:
        line = display.line(Row(42, 0.123456, 0.234567, 0.876543, Best(41, 0.888888), 12345.6))
    assert "train loss 0.1235, val loss 0.2346" in line
    assert f"val {metric} 0.8765" in line
    assert len(line) <= width


def test_a_long_epoch_is_told_of_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    stream, now = Stream(terminal=False), [100.0]
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with Display("pretrain", 2, 100, 0, "auc", True) as display:
        for _ in range(8):
            now[0] += 10.0
            display.step(10, 0.5)
    assert stream.getvalue().splitlines() == [
        "pretrain epoch 1/2: 30 %, 1 images/s, 3 min left, train loss 0.5",
        "pretrain epoch 1/2: 60 %, 1 images/s, 2 min left, train loss 0.5",
    ]


def test_in_a_notebook_there_are_lines_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = on_terminal(monkeypatch)
    monkeypatch.setenv("JPY_PARENT_PID", "17")
    with Display("pretrain", 2, 20, 0, "auc", True) as display:
        train(display, [0.5, 0.75])
    assert "\x1b" not in stream.getvalue()
    assert len(stream.getvalue().splitlines()) == 2


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


def test_a_line_keeps_its_first_parts_where_all_are_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    display = Display("finetune", 100_000, 20, 0, "balanced_accuracy", True)
    monkeypatch.setattr(display, "left", lambda: 123_456.0)
    line = display.line(Row(99_998, 0.00123456, 0.00234567, 0.123456, Best(99_998, 0.123456), 12345.6))
    assert line == ("finetune epoch 99998/100000: train loss 0.001235, val loss 0.002346, val balanced_accuracy 0.1235")


def test_a_resumed_phase_goes_on_at_its_epoch_and_its_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    display = Display("pretrain", 10, 20, 50, "auc", True)  # two epochs and a half were seen
    now[0] += 4.0
    display.step(5, 0.5)  # five images in four seconds, 145 are left
    assert display.left() == pytest.approx(116.0)
    assert words(display).startswith("phase 1/1 pretrain  epoch 3/10  ")
    assert "  75 %  1 images/s  2 min left" in words(display)


def test_the_loss_is_not_shown_twice_where_it_chooses() -> None:
    for metric in ("last", "loss"):
        display = Display("embed", 2, 20, 0, metric, True)
        display.epoch(0, {"train": {"loss": 0.5}, "val": {"loss": 0.4}}, 12.0, (0, None))
        row = Row(1, 0.5, 0.4, None, None, 12.0)
        assert display.line(row).startswith("embed epoch 1/2: train loss 0.5, val loss 0.4, 12 images/s")


def test_a_warning_goes_above_the_status_line(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = on_terminal(monkeypatch)
    handler = terminal.Messages()
    with Display("pretrain", 2, 20, 0, "auc", True) as display:
        train(display, [0.5])
        handler.emit(logging.makeLogRecord({"msg": "careful", "levelno": logging.WARNING, "levelname": "WARNING"}))
        train(display, [0.75])
    above, _, below = stream.getvalue().rpartition("careful\n")
    assert above
    assert "0.75" in below
