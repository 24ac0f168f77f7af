"""Freed memory: kept for the next step, where the C library would hand it back, or handed back, where it is kept."""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import suppress

# glibc's numbers of the two settings, from malloc.h; what it takes is a C int
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_MOST = 2**31 - 1
# The user's own words about glibc's allocator; with any of them it is left alone.
_VARIABLES = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_", "MALLOC_MMAP_MAX_")


def keep_freed_memory() -> bool:
    """Let glibc keep large blocks that are freed, for the whole process and from now on; elsewhere nothing is done.

    By itself glibc takes every block of more than 32 MiB from the kernel and gives it back when it is freed, so a
    training step meets its activations as new pages that the kernel first has to fill with zeros. Results are the same
    bit for bit; the process keeps the most that it has ever held. `benchmarks/allocator.py` measures both.

    Returns
    -------
    bool
        Whether glibc took the settings: not on another C library, nor on an older glibc that limits the first one to 32
        MiB, nor where a variable of the environment
        (`MALLOC_TRIM_THRESHOLD_`, `GLIBC_TUNABLES`, ...) has set them, which stays as it is.
    """
    if any(name in os.environ for name in _VARIABLES) or "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return False
    if "glibc" not in _library():
        return False
    mallopt = ctypes.CDLL(None).mallopt
    # In this order: the second alone stops the first from growing with use, and halves the speed.
    return bool(mallopt(_MMAP_THRESHOLD, _MOST)) and bool(mallopt(_TRIM_THRESHOLD, _MOST))


def hand_back_freed_memory() -> None:
    """Give the kernel what Arrow and glibc keep of memory that was freed; elsewhere nothing is done.

    Reading the names and labels of 100,000 files leaves some 50 MiB behind it, gathering the rows of a million vectors
    of 512 numbers half a GiB. Not for every step: the next one would meet new pages.
    """
    arrow = sys.modules.get("pyarrow")
    if arrow is not None:
        arrow.default_memory_pool().release_unused()
    with suppress(AttributeError, OSError, TypeError):  # another C library, or Windows
        ctypes.CDLL(None).malloc_trim(0)


def _library() -> str:
    """Name and version of the C library, `glibc 2.36`; '' where the system does not say."""
    try:
        return os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (AttributeError, OSError, ValueError):  # Windows has no confstr, macOS and musl not this name
        return ""
