"""What is seen of a training while it runs: one live table on a terminal, otherwise a short line an epoch."""

from __future__ import annotations

import logging
import sys
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from contrastive_cxr import terminal

log = logging.getLogger(__name__)
WIDTH = 120
SHOWN = 6
"""Finished epochs in the table: the newest ones, and the best one above them where it is older."""


@dataclass(frozen=True)
class Best:
    """The best epoch so far, from 1, and its value of the chosen metric."""

    epoch: int
    value: float


@dataclass(frozen=True)
class Row:
    """A finished epoch, from 1: training loss, the chosen metric, the best so far, images a second."""

    epoch: int
    loss: float
    value: float | None
    best: Best | None
    speed: float


class Display:
    """The epochs of a phase as they are seen; nothing on other processes than the first, nor where all shall be quiet.

    Parameters
    ----------
    name : str
        Of the phase.
    epochs : int
        Of the phase.
    images : int
        Images of an epoch.
    seen : int
        Images of earlier sittings.
    metric : str
        Validation metric that is shown: the one that chooses the checkpoint; of `last`, which is none, the loss.
    shown : bool
        Whether this process shows anything.
    """

    def __init__(self, name: str, epochs: int, images: int, seen: int, metric: str, shown: bool) -> None:
        self._shown = shown and not terminal.is_quiet()
        self._first = shown
        self._console = Console(stderr=True, quiet=not self._shown, highlight=False)
        self._name, self._epochs, self._images = name, epochs, images
        self._metric = "loss" if metric == "last" else metric
        self._seen, self._done = seen, seen
        self._loss: float | None = None
        self._rows: deque[Row] = deque(maxlen=SHOWN)
        self._ended = seen // images  # epochs, those of earlier sittings too
        self._within = seen - self._ended * images  # images of the epoch that runs
        self._kept: Row | None = None  # the best epoch
        self._running = True
        self._began = time.monotonic()
        live = self._shown and sys.stderr.isatty()
        own = sys.stdout.isatty()  # what is printed to a file meanwhile stays in the file
        self._live = Live(get_renderable=self.table, console=self._console, redirect_stdout=own) if live else None

    def __enter__(self) -> Display:
        self._began = time.monotonic()
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running = False
        if self._live is not None:
            self._live.stop()

    def step(self, images: int, loss: float | None) -> None:
        """Another step was done; `loss` where it was read from the device."""
        self._done += images
        self._within += images
        self._loss = self._loss if loss is None else loss

    def epoch(
        self, epoch: int, splits: Mapping[str, Mapping[str, float]], speed: float, best: tuple[int, float | None]
    ) -> None:
        """An epoch ended.

        Parameters
        ----------
        epoch : int
            From 0.
        splits : mapping
            Values of `train` and perhaps `val`.
        speed : float
            Images a second, validation left out.
        best : (int, float or None)
            Best epoch so far, from 1, and its value; 0 and None where there is none.
        """
        top = None if best[1] is None else Best(best[0], best[1])
        row = Row(epoch + 1, splits["train"]["loss"], splits.get("val", {}).get(self._metric), top, speed)
        self._rows.append(row)
        self._ended, self._within = row.epoch, 0
        if top is not None and top.epoch == row.epoch:
            self._kept = row
        if self._first:
            values = [f"{split} {name} {value:.4g}" for split in splits for name, value in splits[split].items()]
            log.debug("%s epoch %d: %s", self._name, epoch + 1, ", ".join(values))
        if self._live is None:
            self._console.print(self.line(row), soft_wrap=True, markup=False)

    def line(self, row: Row) -> str:
        """The essentials of an epoch in at most `WIDTH` letters; all values are in `metrics.jsonl`."""
        parts = [f"{self._name} epoch {row.epoch}/{self._epochs}: train loss {row.loss:.4g}"]
        if row.value is not None:
            parts.append(f"val {self._metric} {row.value:.4g}")
        if row.best is not None:
            parts.append(f"best {row.best.value:.4g} (epoch {row.best.epoch})")
        parts.append(f"{row.speed:.0f} images/s")
        if row.epoch < self._epochs:
            parts.append(f"{duration(self.left())} left")
        while len(", ".join(parts)) > WIDTH:
            parts.pop()
        return ", ".join(parts)

    def left(self) -> float:
        """Seconds until the phase ends, at the pace of this sitting so far, validation included."""
        done = self._done - self._seen
        return (time.monotonic() - self._began) / max(done, 1) * max(0, self._epochs * self._images - self._done)

    def table(self) -> Table:
        """The best epoch, the newest ones, and the one that runs."""
        header = bool(self._rows) or self._running
        grid = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", show_header=header)
        grid.add_column("phase", no_wrap=True, min_width=8)
        titles = {
            "epoch": 5,
            "train loss": 6,
            f"val {self._metric.replace('_', ' ')}": 12,
            "best so far": 11,
            "images/s": 8,
            "time left": 9,
        }
        for title, width in titles.items():  # the same widths in each phase
            grid.add_column(title, justify="right", min_width=width)
        rows = list(self._rows)
        if self._kept is not None and self._kept not in rows:
            rows.insert(0, self._kept)
        for row in rows:
            chosen = row.best is not None and row is self._kept
            grid.add_row(*self._cells(row), style="bold" if chosen else None)
        if self._running and self._ended < self._epochs:
            grid.add_row(*self._now())
        return grid

    def _cells(self, row: Row) -> list[Text]:
        """A finished epoch."""
        value = "" if row.value is None else f"{row.value:.4g}"
        best = "" if row.best is None else f"{row.best.value:.4g} ({row.best.epoch})"
        words = (self._name, f"{row.epoch}/{self._epochs}", f"{row.loss:.4g}", value, best, f"{row.speed:.0f}", "")
        return [Text(each) for each in words]

    def _now(self) -> list[Text]:
        """The epoch that runs, with the share of its images that is done and the loss of its last step."""
        loss = "" if self._loss is None else f"{self._loss:.4g}"
        left = duration(self.left()) if self._done > self._seen else ""
        share = f"{100 * self._within // self._images} %" if self._within < self._images else "validating"
        words = (self._name, f"{self._ended + 1}/{self._epochs}", loss, share, "", "", left)
        return [Text(each, style="dim") for each in words]


def duration(seconds: float) -> str:
    """A span of time in two units at most.

    Examples
    --------
    >>> duration(42), duration(200), duration(7500)
    ('42 s', '3 min', '2 h 5 min')
    """
    minutes = round(seconds / 60)
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
