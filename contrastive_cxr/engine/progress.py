"""What is seen of a training while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text


class Speed(ProgressColumn):
    """Images a second."""

    def render(self, task: Task) -> Text:
        """The column's text."""
        return Text(f"{task.speed:.0f} images/s" if task.speed else "")


class Display:
    """A bar on a terminal, otherwise a line an epoch; nothing on other processes than the first.

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
    shown : bool
        Whether this process shows anything.
    """

    def __init__(self, name: str, epochs: int, images: int, seen: int, shown: bool) -> None:
        self._console = Console(stderr=True, quiet=not shown)
        self._name, self._epochs = name, epochs
        self._score = ""
        columns = (TextColumn("{task.description}"), BarColumn(), Speed(), TimeRemainingColumn())
        self._bar = Progress(
            *columns,
            TextColumn("{task.fields[words]}"),
            console=self._console,
            disable=not (shown and self._console.is_terminal),
        )
        self._task = self._bar.add_task(name, total=epochs * images, completed=seen, words="")

    def __enter__(self) -> Display:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def step(self, epoch: int, images: int, loss: float | None) -> None:
        """Another step was done; `loss` where it was read from the device."""
        self._bar.update(self._task, advance=images, description=f"{self._name} epoch {epoch + 1}/{self._epochs}")
        if loss is not None:
            self._bar.update(self._task, words=f"loss {loss:.4g} {self._score}")

    def epoch(self, epoch: int, splits: Mapping[str, Mapping[str, float]], speed: float) -> None:
        """An epoch ended, with these values of `train` and perhaps `val`."""
        self._score = ", ".join(f"{name} {value:.4g}" for name, value in splits.get("val", {}).items())
        words = f"train loss {splits['train']['loss']:.4g}" + (f"; val {self._score}" if self._score else "")
        if not self._console.is_terminal:
            self._console.print(
                f"{self._name} epoch {epoch + 1}/{self._epochs}: {words} ({speed:.0f} images/s)",
                soft_wrap=True,
                highlight=False,
                markup=False,
            )
