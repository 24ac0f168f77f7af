"""Decode compressed DICOM pixels in a process of their own: GDCM ends its whole process on some damaged files.

This file is also what that process runs, so it imports nothing of this package.
"""

from __future__ import annotations

import contextlib
import io
import os
import select
import subprocess  # nosec B404  # for this very file alone
import sys
import threading
import weakref
from pathlib import Path
from typing import IO

DAMAGED, WHOLE = b"\0", b"\1"
LENGTH = 8  # bytes of the number that stands before a message
SECONDS = 60.0  # a decoder that takes longer than this for one picture has lost itself
_mine = threading.local()


class Lost(Exception):
    """The decoder ended its process, or never answered."""


class Decoder:
    """A process that unpacks one DICOM file after the other. One thread uses it."""

    def __init__(self) -> None:
        paths = os.pathsep.join(place for place in sys.path if place)
        self.process = subprocess.Popen(  # nosec B603
            [sys.executable, "-P", str(Path(__file__).resolve())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # GDCM writes there what it thinks of a file
            env={**os.environ, "PYTHONPATH": paths},
            start_new_session=True,  # Ctrl-C is for the process that asks
        )
        self.close = weakref.finalize(self, _end, self.process)

    def ask(self, plugin: str, content: bytes) -> bytes | None:
        """The file without compression; None where the decoder says that it is damaged.

        Raises
        ------
        Lost
        """
        assert self.process.stdin is not None, "it is a pipe"
        assert self.process.stdout is not None, "it is a pipe"
        try:
            for part in (plugin.encode(), content):
                self.process.stdin.write(len(part).to_bytes(LENGTH, "big") + part)
            self.process.stdin.flush()
            if not select.select([self.process.stdout], [], [], SECONDS)[0]:
                raise Lost
            answer = _message(self.process.stdout)
        except OSError as error:
            raise Lost from error
        if answer is None:
            raise Lost
        return answer[1:] if answer[:1] == WHOLE else None


def decompressed(content: bytes, plugin: str) -> bytes | None:
    """A compressed DICOM file with its pixels unpacked by one of pydicom's plugins; None where it is damaged.

    Each thread has a process of its own, which starts at the first call and stays; one that a file ended is replaced.
    """
    decoder: Decoder = getattr(_mine, "decoder", None) or Decoder()
    _mine.decoder = decoder
    try:
        return decoder.ask(plugin, content)
    except Lost:
        _mine.decoder = None
        decoder.close()
        return None


def serve(asked: IO[bytes], answers: IO[bytes]) -> None:
    """Unpack what comes in until nothing comes any more."""
    import pydicom

    while True:
        plugin, content = _message(asked), _message(asked)
        if plugin is None or content is None:
            return
        try:
            data = pydicom.dcmread(io.BytesIO(content))
            data.decompress(decoding_plugin=plugin.decode(), generate_instance_uid=False)
            unpacked = io.BytesIO()
            data.save_as(unpacked)
            answer = WHOLE + unpacked.getvalue()
        except Exception:  # whatever a damaged file leads to
            answer = DAMAGED
        answers.write(len(answer).to_bytes(LENGTH, "big") + answer)
        answers.flush()


def _message(pipe: IO[bytes]) -> bytes | None:
    """The next message; None where the pipe has ended."""
    length = pipe.read(LENGTH)
    if len(length) < LENGTH:
        return None
    content = pipe.read(int.from_bytes(length, "big"))
    return content if len(content) == int.from_bytes(length, "big") else None


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and wait for it."""
    process.kill()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    process.wait()


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)
