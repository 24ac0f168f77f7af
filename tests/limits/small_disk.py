"""A small disk of its own: a tmpfs, where the tests may mount one."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

KIB = 1024


class SmallDisk:
    """A file system whose size can be changed, in KiB."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def resize(self, size: int) -> None:
        subprocess.run(["mount", "-o", f"remount,size={size}k", str(self.place)], check=True)

    def read_only(self) -> None:
        subprocess.run(["mount", "-o", "remount,ro", str(self.place)], check=True)

    def used(self) -> int:
        """KiB that are taken."""
        facts = os.statvfs(self.place)
        return (facts.f_blocks - facts.f_bfree) * facts.f_frsize // KIB

    def free(self) -> int:
        """KiB that are left."""
        facts = os.statvfs(self.place)
        return facts.f_bfree * facts.f_frsize // KIB

    def fill(self, leave: int = 0) -> Path:
        """Let somebody else's file take all but `leave` KiB."""
        ballast = self.place / "somebody-elses"
        # a process that writes meanwhile may take some of it first: the disk is full all the same
        with suppress(OSError), ballast.open("ab") as file:
            file.write(bytes(max(0, self.free() - leave) * KIB))
        return ballast


@contextmanager
def mounted(place: Path, size: int) -> Iterator[SmallDisk]:
    """A tmpfs of `size` KiB at `place`; the test is skipped where none may be mounted."""
    place.mkdir(parents=True, exist_ok=True)
    try:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}k", "none", str(place)], capture_output=True, check=False
        )
    except OSError:
        pytest.skip("needs the command mount, to make a small tmpfs")
    if done.returncode:
        pytest.skip("needs the right to mount a small tmpfs (root, CAP_SYS_ADMIN)")
    try:
        yield SmallDisk(place)
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=False)
