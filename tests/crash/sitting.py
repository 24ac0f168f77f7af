"""One sitting of a command: in a process forked from this one, or in a new one, killed as planned or left alone.

A new process imports for seconds; a forked one has everything there, so that hundreds of kills are affordable. The
caller of `forked` must have one thread.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.crash.moments import Plan, Seen, install

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 600.0
"""Seconds after which a sitting counts as hanging."""


@dataclass(frozen=True)
class Ended:
    """How a sitting ended: its exit code (negative: the signal that killed it), its words, and what `Seen` counted."""

    code: int
    said: str
    calls: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    @property
    def killed(self) -> bool:
        """Whether the plan was carried out."""
        return self.code == -signal.SIGKILL


WANTED = (
    "contrastive_cxr.training.run", "contrastive_cxr.training.finished", "contrastive_cxr.evaluation.external",
    "contrastive_cxr.inference.gallery", "contrastive_cxr.inference.encode",
    "contrastive_cxr.cli.app", "kornia", "pytorch_metric_learning.losses", "matplotlib.backends.backend_svg",
    "sklearn.manifold",
)  # fmt: skip
"""What the commands import, some of it when it is first wanted."""


def ready() -> None:
    """Import in this process what every fork of it would import again."""
    for name in WANTED:
        importlib.import_module(name)


def forked(words: Sequence[str], log: Path, plan: Plan | None = None) -> Ended:
    """Run `ccxr words...` in a fork of this process."""
    ready()
    listen, told = os.pipe()
    number = os.fork()
    if not number:
        os.close(listen)
        _child(words, log, plan, told)
    os.close(told)
    try:
        if plan is not None:
            watch(number, listen, plan)
        status = os.waitpid(number, 0)[1]
    finally:
        os.close(listen)
    return ended(os.waitstatus_to_exitcode(status), log, plan)


def fresh(words: Sequence[str], log: Path, plan: Plan | None = None) -> Ended:
    """Run `ccxr words...` in a new process."""
    listen, told = os.pipe()
    program = [sys.executable, "-m", "tests.crash.sitting", str(told), plan.dump() if plan else "", str(log), *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    process = subprocess.Popen(program, cwd=ROOT, env=environment, pass_fds=(told,))
    os.close(told)
    try:
        if plan is not None:
            watch(process.pid, listen, plan)
        code = process.wait(LIMIT)
    finally:
        os.close(listen)
    return ended(code, log, plan)


def watch(number: int, listen: int, plan: Plan) -> None:
    """Kill the process when its moment has come, if it does before it ends."""
    begun, _, _ = select.select([listen], [], [], LIMIT)
    if not begun:
        os.kill(number, signal.SIGKILL)
        raise TimeoutError(f"{plan} hangs")
    if os.read(listen, 1):
        time.sleep(plan.share * plan.seconds)
        os.kill(number, plan.number)


def ended(code: int, log: Path, plan: Plan | None) -> Ended:
    """What a sitting left behind."""
    said = log.read_text(errors="replace") if log.exists() else ""
    counts = log.with_suffix(".json")
    if plan is not None or not counts.exists():
        return Ended(code, said)
    calls = json.loads(counts.read_text())
    counts.unlink()
    return Ended(code, said, calls)


def command(words: Sequence[str], log: Path, plan: Plan | None, told: int) -> int:
    """Run the command in this process, its words to `log`; counts go beside it where it is left alone."""
    from contrastive_cxr.cli import main

    seen = Seen()
    if plan is None:
        seen.install()
    else:
        install(plan, told)
    sys.argv = ["ccxr", *words]
    code = 0
    try:
        main()
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else 1
    if plan is None:
        seen.finish()
        log.with_suffix(".json").write_text(json.dumps(seen.calls))
    return code


def _child(words: Sequence[str], log: Path, plan: Plan | None, told: int) -> None:
    """The forked process, which never returns."""
    code = 70
    try:
        with log.open("ab", buffering=0) as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w", buffering=1)
        code = command(words, log, plan, told)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _child(sys.argv[4:], Path(sys.argv[3]), Plan.load(sys.argv[2]) if sys.argv[2] else None, int(sys.argv[1]))
