"""A command on a pseudo-terminal: what a user sees of it, and keys that the user presses."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyte

PACKAGE = Path(__file__).resolve().parents[2]
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>78]")


@dataclass(frozen=True)
class Seen:
    """What a terminal showed of a command.

    Attributes
    ----------
    code : int
        Exit code.
    raw : str
        All that was written, with what steers the terminal.
    lines : list of str
        What stays on the screen, and above it, at the end.
    """

    code: int
    raw: str
    lines: list[str]

    @property
    def text(self) -> str:
        """The lines that stay, as one text."""
        return "\n".join(self.lines)

    @property
    def drawn(self) -> list[str]:
        """Each line as it was written, also those that were drawn over; without what steers the terminal."""
        plain = CONTROL.sub("", self.raw).replace("^C", "")  # the key, as the terminal shows it
        return [part.rstrip() for part in re.split(r"[\r\n]+", plain) if part.strip()]


def ccxr(
    *words: object, folder: Path, width: int = 80, keys_at: tuple[str, bytes] | None = None, seconds: float = 900,
    **environment: str,
) -> Seen:  # fmt: skip
    """Run `ccxr` with these words on a terminal of `width` columns and 40 lines.

    Parameters
    ----------
    folder : Path
        Where it is started.
    keys_at : (str, bytes), optional
        As soon as the first is to be seen, the second is pressed: `("epoch 2/", b"\\x03")` is Ctrl-C in the second
        epoch.
    seconds : float
        After which it is killed.
    **environment
        Variables beside those of this process.
    """
    command = [sys.executable, "-m", "contrastive_cxr", *map(str, words)]
    return shown(command, folder=folder, width=width, keys_at=keys_at, seconds=seconds, environment=environment)


def shown(
    command: list[str], *, folder: Path, width: int, keys_at: tuple[str, bytes] | None, seconds: float,
    environment: Mapping[str, str],
) -> Seen:  # fmt: skip
    """Run a command on a terminal; parameters as `ccxr`."""
    screen = pyte.HistoryScreen(width, 40, history=10_000, ratio=0.5)
    stream = pyte.ByteStream(screen)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    keep = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder, start_new_session=True, close_fds=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        env={**keep, "TERM": "xterm-256color", "PYTHONPATH": str(PACKAGE), **environment},
    )  # fmt: skip
    os.close(theirs)
    raw = bytearray()
    try:
        _read(ours, process, raw, keys_at, seconds, stream.feed)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        os.close(ours)
    above = ["".join(line[column].data for column in range(width)).rstrip() for line in screen.history.top]
    lines = [*above, *(line.rstrip() for line in screen.display)]
    while lines and not lines[-1]:
        lines.pop()
    return Seen(process.returncode, raw.decode(errors="replace"), lines)


def _read(
    terminal: int, process: subprocess.Popen[bytes], raw: bytearray, keys_at: tuple[str, bytes] | None,
    seconds: float, feed: Callable[[bytes], None],
) -> None:  # fmt: skip
    """All that the command writes, until it ends."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        ready, _, _ = select.select([terminal], [], [], 0.1)
        if not ready:
            if process.poll() is not None:
                return
            continue
        try:
            part = os.read(terminal, 65536)
        except OSError:  # the command has closed its side
            process.wait(10)
            return
        raw.extend(part)
        feed(part)
        if keys_at is not None and keys_at[0].encode() in raw:
            os.write(terminal, keys_at[1])
            keys_at = None
