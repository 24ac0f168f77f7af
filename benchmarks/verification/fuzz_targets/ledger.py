"""What a target's fuzzing has come to, kept in a folder so that it can go on another day."""

from __future__ import annotations

import hashlib
import json
import time
import traceback
from pathlib import Path
from typing import Any

PACKAGE = "contrastive_cxr"


class Ledger:
    """Counts and findings of one target.

    Parameters
    ----------
    folder : Path
        The target's: `corpus/`, `findings/` (an input and its traceback each) and `state.json` lie there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "findings").mkdir(parents=True, exist_ok=True)
        (folder / "corpus").mkdir(exist_ok=True)
        self.state: dict[str, Any] = {"executions": 0, "seconds": 0.0, "cpu_seconds": 0.0, "starts": 0, "findings": {}}
        if (folder / "state.json").is_file():
            self.state = json.loads((folder / "state.json").read_text())
        self._clocks = (time.monotonic(), time.process_time())

    def start(self) -> None:
        """Begin to count time, which is this process's from now on."""
        self.state["starts"] += 1
        self._clocks = (time.monotonic(), time.process_time())

    def save(self) -> None:
        """Add the time since the last call and write the state, whole or not at all."""
        wall, cpu = time.monotonic(), time.process_time()
        self.state["seconds"] += wall - self._clocks[0]
        self.state["cpu_seconds"] += cpu - self._clocks[1]
        self._clocks = (wall, cpu)
        beside = self.folder / "state.json.new"
        beside.write_text(json.dumps(self.state, indent=1))
        beside.replace(self.folder / "state.json")

    def keep(self, signature: str, content: bytes, story: str) -> bool:
        """Keep a finding; of those with one signature the first input only. True where it is new."""
        found = self.state["findings"]
        if signature in found:
            found[signature]["times"] += 1
            return False
        name = hashlib.sha256(signature.encode()).hexdigest()[:12]
        (self.folder / "findings" / f"{name}.bin").write_bytes(content)
        (self.folder / "findings" / f"{name}.txt").write_text(f"{signature}\n\n{story}", encoding="utf-8")
        found[signature] = {"input": f"{name}.bin", "times": 1, "after": self.state["executions"]}
        self.save()
        return True


def signature(error: BaseException) -> str:
    """What makes two findings one: the error's type, and the innermost line of the package that it passed through."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if f"/{PACKAGE}/" in frame.filename] or frames[-1:]
    last = ours[-1]
    place = last.filename.rpartition(f"/{PACKAGE}/")[2] if f"/{PACKAGE}/" in last.filename else Path(last.filename).name
    return f"{type(error).__name__} at {place}:{last.name}"
