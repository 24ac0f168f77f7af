"""The parts of a run (seeds or folds), several at once: each is a process of its own with its share of the cores."""

from __future__ import annotations

import os
import re
import subprocess  # nosec B404  # for this program alone
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from contrastive_cxr import cores, terminal
from contrastive_cxr import recipe as recipes
from contrastive_cxr.errors import CcxrError, RequestError, Signalled, raise_faults
from contrastive_cxr.recipe.schema import Recipe
from contrastive_cxr.run import processes

EVERY = 0.5
"""Seconds between two looks at the processes."""
TAIL = 4096
"""Bytes at the end of a log that are read for what it says last."""
_EPOCH = re.compile(r"\w+ epoch \d+/\d+")


def check(parallel: int) -> None:
    """Refuse more processes than cores, and processes within those of torchrun.

    Raises
    ------
    RequestError
    """
    if parallel == 1:
        return
    free = cores.threads()
    faults = []
    if processes.count() > 1:
        faults.append("--parallel: torchrun has started several processes already; leave one of the two out")
    if parallel > free:
        faults.append(
            f"--parallel {parallel}: this process may use {free} core{'' if free == 1 else 's'}; give at most {free}"
        )
    raise_faults(faults)


@dataclass
class _Part:
    """A part at work.

    Attributes
    ----------
    name : str
    log : Path
        What its process says.
    process : Popen
    """

    name: str
    log: Path
    process: subprocess.Popen[bytes]

    def last(self) -> str:
        """The last line of its log; empty before it says anything."""
        with self.log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
            lines = file.read().decode("utf-8", "replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def words(self) -> str:
        """Its name and where it is, such as `seed0 pretrain epoch 3/24`."""
        found = _EPOCH.search(self.last())
        return f"{self.name} {found.group()}" if found else self.name


def run_side_by_side(parts: Mapping[str, Recipe], out: Path, parallel: int) -> None:
    """Run every part into its own folder below `out`, `parallel` at a time, each with an equal share of the cores.

    A part goes on where it was interrupted; a finished one is left as it is. What a part says stands in `out/NAME.log`.
    After a failure no further part begins, those at work come to their end, and the same command with --resume goes on.

    Raises
    ------
    RequestError, CcxrError
        A part was refused, or failed; with its last words.
    Signalled
        A signal came. Every part had it too, and has written its checkpoint.
    """
    waiting, working, failed = list(parts), list[_Part](), list[_Part]()
    share = max(1, cores.threads() // parallel)
    terminal.note(f"{len(parts)} parts, {parallel} at a time with {share} thread{'' if share == 1 else 's'} each")
    with tempfile.TemporaryDirectory() as scratch, terminal.Stages("training", 1, first="beginning") as line:
        try:
            while working or (waiting and not failed):
                while waiting and not failed and len(working) < parallel:
                    name = waiting.pop(0)
                    working.append(start(parts[name], out, name, Path(scratch), share))
                time.sleep(EVERY)
                for part in [each for each in working if each.process.poll() is not None]:
                    working.remove(part)
                    failed += [part] if part.process.returncode else []
                    terminal.note(f"{part.name}: {'finished' if not part.process.returncode else 'failed'}")
                line.reword(", ".join(part.words() for part in working) or "the last part")
                line.share(len(parts) - len(waiting) - len(working), len(parts))
        except Signalled as signalled:
            stop(working, signalled.number)
            raise
        except BaseException:
            stop(working, 15)
            raise
    if failed:
        raise failure(failed, out)


def start(recipe: Recipe, out: Path, name: str, scratch: Path, threads: int) -> _Part:
    """Begin a part, or go on with it, as `ccxr run` does."""
    file, log = scratch / f"{name}.yaml", out / f"{name}.log"
    file.write_text(recipes.record(recipe), encoding="utf-8")
    command = [sys.executable, "-m", "contrastive_cxr", "--threads", str(threads), "run", str(file)]
    command += ["--out", str(out / name), "--resume", "auto"]
    with log.open("ab") as said:  # a session of its own: signals come from this process alone, once
        process = subprocess.Popen(  # nosec B603  # words of this file, no shell
            command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True
        )
    return _Part(name, log, process)


def stop(working: list[_Part], number: int) -> None:
    """Hand a signal on and wait until every part has written its checkpoint."""
    for part in working:
        if part.process.poll() is None:
            part.process.send_signal(number)
    for part in working:
        part.process.wait()


def failure(failed: list[_Part], out: Path) -> CcxrError:
    """The error that names each part that failed, with its last words and its log."""
    words = [
        f"{part.name} ended with exit code {part.process.returncode}: {part.last() or 'it said nothing'} "
        f"(all of it: {part.log}); the same command with --resume goes on"
        for part in failed
    ]
    refused = all(part.process.returncode == RequestError.exit_code for part in failed)
    return RequestError(*words) if refused else CcxrError("\n".join(words))
