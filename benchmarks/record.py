"""A result is a JSON file: what was measured, on which machine, with which versions, by which command."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from contrastive_cxr.run import folder


def write(path: Path | None, name: str, result: dict[str, Any]) -> Path:
    """Write `result` with machine, versions, commit and command to `path`, default `benchmarks/results/<name>.json`."""
    target = path or Path(__file__).parent / "results" / f"{name}.json"
    folder.write_json(
        target,
        {
            "name": name,
            "date": datetime.now(UTC).date().isoformat(),
            "commit": commit(),
            "command": command(),
            "environment": machine(folder.environment()),
            **result,
        },
    )
    say(f"written: {target}")
    say(json.dumps(result, indent=2)[:2000])
    return target


def command() -> str:
    """This process's command, without places on this machine."""
    return " ".join(["python -m", f"benchmarks.{Path(sys.argv[0]).stem}", *map(without_place, sys.argv[1:])])


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
    """Short hash of the working tree's commit, `+` where there are changes."""
    here = Path(__file__).parent
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty=+"], cwd=here, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"


def say(text: str) -> None:
    """One line to the terminal, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
