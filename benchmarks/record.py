"""A result is a JSON file: what was measured, on which machine, with which versions, by which command."""

from __future__ import annotations

import argparse
import operator
import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from contrastive_cxr.run import folder
from contrastive_cxr.run.environment import environment

RESULTS = Path(__file__).parent / "results"
Values = float | Sequence[float] | NDArray[Any]
ORDER = {">=": operator.ge, "<=": operator.le}


class Figure(BaseModel):
    """One measured number beside what was wanted of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(description="what was measured")
    value: float = Field(description="the median of the repeats, or the only value")
    unit: str = Field("", description="of the value; empty for a ratio")
    low: float | None = Field(None, description="lower quartile of the repeats")
    high: float | None = Field(None, description="upper quartile of the repeats")
    repeats: int = Field(1, ge=1, description="how often it was measured")
    wanted: str | None = Field(None, pattern=r"^(>=|<=) -?[0-9.]+$", description="the aim, in the value's unit")

    @property
    def met(self) -> bool | None:
        """Whether the value is as wanted; None where nothing was."""
        if self.wanted is None:
            return None
        word, limit = self.wanted.split()
        return bool(ORDER[word](self.value, float(limit)))


class Result(BaseModel):
    """A file of `benchmarks/results`; a benchmark adds fields of its own."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str
    date: str = Field(pattern=r"^\d{4}-\d{2}-\d{2}$")
    commit: str
    command: str
    environment: dict[str, Any] = Field(description="machine and versions, as in a run's environment.json")
    question: str = Field("", description="what the benchmark asks, one sentence")
    figures: tuple[Figure, ...] = ()
    words: str = Field("", description="what a reader has to know: other work on the machine, why an aim is missed")


def parser(doc: str | None) -> argparse.ArgumentParser:
    """The options that every benchmark has."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--quick", action="store_true", help="a small size: does it work, and roughly how fast")
    made.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    made.add_argument("--result", type=Path, help="default: benchmarks/results/NAME.json")
    made.add_argument("--words", default="", help="a remark for the file")
    return made


def figure(name: str, values: Values, unit: str = "", wanted: str | None = None) -> Figure:
    """The figure of one value, or of the median and quartiles of several."""
    each = np.atleast_1d(np.asarray(values, dtype=np.float64))
    low, middle, high = (rounded(float(value)) for value in np.percentile(each, [25, 50, 75]))
    spread = {"low": low, "high": high} if len(each) > 1 else {}
    return Figure(name=name, value=middle, unit=unit, repeats=len(each), wanted=wanted, **spread)


def rounded(value: float) -> float:
    """Five digits; more would be noise.

    Examples
    --------
    >>> rounded(1234.5678), rounded(0.00123456)
    (1234.6, 0.0012346)
    """
    return float(f"{value:.5g}")


def write(path: Path | None, name: str, result: dict[str, Any]) -> Path:
    """Write `result` with machine, versions, commit and command.

    To `path`, by default `benchmarks/results/<name>.json`; where there is a GPU the name ends in `_gpu`.
    """
    name = f"{name}_gpu" if torch.cuda.is_available() else name
    target = path or RESULTS / f"{name}.json"
    head = {
        "name": name,
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit(),
        "command": command(),
        "environment": machine(environment()),
    }
    whole = Result.model_validate({**head, **result})
    folder.write_json(target, whole.model_dump(mode="json", exclude_defaults=True))
    for line in whole.figures:
        say(sentence(line))
    say(f"written: {target}")
    return target


def sentence(line: Figure) -> str:
    """A figure as a line of text.

    Examples
    --------
    >>> sentence(Figure(name="share", value=0.98, low=0.97, high=0.99, repeats=5, wanted=">= 0.97"))
    'share: 0.98 (quartiles 0.97 to 0.99 of 5); wanted >= 0.97: met'
    """
    unit = f" {line.unit}" if line.unit else ""
    spread = "" if line.low is None else f" (quartiles {line.low:g} to {line.high:g} of {line.repeats})"
    aim = "" if line.wanted is None else f"; wanted {line.wanted}: {'met' if line.met else 'missed'}"
    return f"{line.name}: {line.value:g}{unit}{spread}{aim}"


def command() -> str:
    """This process's command, without places on this machine."""
    parts = Path(sys.argv[0]).with_suffix("").parts
    inside = parts[parts.index("benchmarks") + 1 :] if "benchmarks" in parts else parts[-1:]
    return " ".join(["python -m", ".".join(["benchmarks", *inside]), *map(without_place, sys.argv[1:])])


def machine(environment: dict[str, Any]) -> dict[str, Any]:
    """An `environment.json` without the words of the command, which name places on one machine."""
    return {name: value for name, value in environment.items() if name != "command"}


def without_place(word: str) -> str:
    """A word of a command, an absolute path in it cut to its last part.

    Examples
    --------
    >>> without_place("data.root=/home/somebody/images"), without_place("--seeds")
    ('data.root=images', '--seeds')
    """
    name, equals, value = word.rpartition("=")
    return f"{name}{equals}{Path(value).name}" if value.startswith("/") else word


def commit() -> str:
    """Short hash of the working tree's commit, `+` where there are changes.

    `CCXR_COMMIT` says it where git cannot know: in a copy of the tree on another machine.
    """
    if "CCXR_COMMIT" in os.environ:
        return os.environ["CCXR_COMMIT"]
    here = Path(__file__).parent
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty=+"], cwd=here, capture_output=True, text=True, check=False
        )
    except OSError:  # no git here
        return "unknown"
    return done.stdout.strip() or "unknown"


def say(text: str) -> None:
    """One line to the terminal, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
