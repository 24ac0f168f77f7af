"""What is seen of a training while it runs: a line an epoch, and on a terminal a status line below them."""

from __future__ import annotations

import logging
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

from contrastive_cxr import status_line, terminal
from contrastive_cxr.status_line import Part, duration

if TYPE_CHECKING:
    from rich.live import Live

log = logging.getLogger(__name__)
WIDTH = 120
EVERY = 30.0
"""Seconds of an epoch until another line says how far it is, where no terminal shows a status line."""


@dataclass(frozen=True)
class Place:
    """Where a phase stands in its run.

    Attributes
    ----------
    number, of : int
        Of the phase, from 1, and of all phases of the run.
    later : float
        Work of the later phases, in training images of this one: `left` takes it at this phase's pace.
    """

    number: int = 1
    of: int = 1
    later: float = 0.0


@dataclass(frozen=True)
class Best:
    """The best epoch so far, from 1, and its value of the chosen metric."""

    epoch: int
    value: float


@dataclass(frozen=True)
class Row:
    """A finished epoch, from 1: both losses, the chosen metric, the best epoch so far, images a second."""

    epoch: int
    loss: float
    val_loss: float | None
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
        Validation metric that is shown beside the loss: the one that chooses the checkpoint; of `last` and `loss` none.
    shown : bool
        Whether this process shows anything.
    place : Place
        Of the phase in its run.
    """

    def __init__(
        self, name: str, epochs: int, images: int, seen: int, metric: str, shown: bool, place: Place | None = None
    ) -> None:
        self._shown = shown and not terminal.is_quiet()
        self._first = shown
        self._name, self._epochs, self._images = name, epochs, images
        self._metric = "" if metric in ("last", "loss") else metric
        self._place = place or Place()
        self._seen, self._done = seen, seen
        self._loss: float | None = None
        self._ended = seen // images  # epochs, those of earlier sittings too
        self._within = seen - self._ended * images  # images of the epoch that runs
        self._stepped, self._speed = 0, 0.0  # images of this epoch in this sitting, images a second so far
        self._began = self._epoch_began = self._said = time.monotonic()
        self._live: Live | None = None

    def __enter__(self) -> Display:
        self._began = self._epoch_began = self._said = time.monotonic()
        if self._shown and status_line.is_possible():
            self._live = status_line.started(self.parts)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def step(self, images: int, loss: float | None) -> None:
        """Another step was done; `loss` where it was read from the device."""
        now = time.monotonic()
        self._done += images
        self._within += images
        self._stepped += images
        self._speed = self._stepped / max(now - self._epoch_began, 1e-9)
        self._loss = self._loss if loss is None else loss
        if self._live is None and now - self._said >= EVERY:
            self._say(f"{self._name} epoch {self._ended + 1}/{self._epochs}: {', '.join(self._now())}")

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
        val = splits.get("val", {})
        row = Row(epoch + 1, splits["train"]["loss"], val.get("loss"), val.get(self._metric), top, speed)
        self._ended, self._within, self._stepped, self._speed = row.epoch, 0, 0, speed
        self._epoch_began = time.monotonic()
        if self._first:
            values = [f"{split} {name} {value:.4g}" for split in splits for name, value in splits[split].items()]
            log.debug("%s epoch %d: %s", self._name, epoch + 1, ", ".join(values))
        self._say(self.line(row))

    def line(self, row: Row) -> str:
        """The essentials of an epoch within the terminal's width, `WIDTH` letters elsewhere.

        What does not fit is left out from the end; all values are in `metrics.jsonl`.
        """
        width = min(WIDTH, shutil.get_terminal_size().columns) if self._live is not None else WIDTH
        parts = [f"train loss {row.loss:.4g}"]
        parts += [] if row.val_loss is None else [f"val loss {row.val_loss:.4g}"]
        parts += [] if row.value is None else [f"val {self._metric} {row.value:.4g}"]
        needed = len(parts)
        if row.best is not None:
            parts.append(f"best {row.best.value:.4g} (epoch {row.best.epoch})")
        parts.append(f"{row.speed:.0f} images/s")
        parts += [f"{duration(self.left())} left"] * (self.left() > 0)
        head = f"{self._name} epoch {row.epoch}/{self._epochs}: "
        if len(head + ", ".join(parts[:needed])) > width:
            head = head.replace(" epoch ", " ", 1)
        while len(parts) > 1 and len(head + ", ".join(parts)) > width:
            parts.pop()
        return head + ", ".join(parts)

    def left(self) -> float:
        """Seconds until the run's last phase ends, at the pace of this phase so far, validation included."""
        done = self._done - self._seen
        images = max(0, self._epochs * self._images - self._done) + self._place.later
        return (time.monotonic() - self._began) / max(done, 1) * images

    def parts(self) -> list[Part]:
        """The status line: phase, epoch, share of its images, images a second, time left of the whole run."""
        share, speed, left, loss = [*self._now(), "", "", ""][:4]
        return [
            Part(f"phase {self._place.number}/{self._place.of} {self._name}", 0),
            Part(f"epoch {min(self._ended + 1, self._epochs)}/{self._epochs}", 1),
            Part("", 4, 1.0 if share == "done" else min(1.0, self._within / self._images)),
            Part(share, 3),
            Part(speed, 3),
            Part(left, 2),
            Part(loss, 6),
        ]

    def _now(self) -> list[str]:
        """Of the epoch that runs: share of its images, and after the first step of a sitting the pace and the loss."""
        share = f"{100 * self._within // self._images} %" if self._within < self._images else "validating"
        share = "done" if self._ended >= self._epochs else share
        if self._done == self._seen:
            return [share]
        loss = [] if self._loss is None else [f"train loss {self._loss:.3g}"]
        return [share, f"{self._speed:.0f} images/s", f"{duration(self.left())} left", *loss]

    def _say(self, line: str) -> None:
        """A line to what stderr is now: a status line moves below it."""
        self._said = time.monotonic()
        if self._shown:
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()
