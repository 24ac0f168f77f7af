"""Space on disks: how much is free, what a full one is called, bytes in words."""

from __future__ import annotations

import errno
import re
import shutil
from pathlib import Path

from contrastive_cxr.errors import CcxrError

# no space left, over the quota, over the largest file that is allowed
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# NumPy's words, without a number, where an array was written in part
IN_PART = re.compile(r"\d+ requested and \d+ written")


def unwritable(path: Path, error: OSError, needed: int = 0, then: str = "") -> CcxrError:
    """The error to raise where a file cannot be written; of a full disk it says how full, and what to do.

    Parameters
    ----------
    path : Path
        The file or folder.
    error : OSError
        What the system said.
    needed : int
        Bytes that were to be written; 0: not known.
    then : str
        What has become of what was there.
    """
    why = "No space left on device" if error.errno is None and is_full(error) else error.strerror or error
    said = [f"cannot write '{path}': {why}", *([then] if then else [])]
    if is_full(error):
        wanted = f"{size_words(needed)} needed, " if needed else ""
        said[0] += f" ({wanted}{size_words(free(path))} free on its disk)"
        said.append("make room, then the same command goes on (a run: with --resume)")
    return CcxrError("; ".join(said))


def is_full(error: OSError) -> bool:
    """Whether an error means that the disk, or what the user may have of it, is full."""
    return error.errno in FULL or (error.errno is None and IN_PART.fullmatch(str(error)) is not None)


def free(path: Path) -> int:
    """Free bytes of the disk that `path` lies on, or would lie on."""
    here = Path(path).absolute()
    place = next((folder for folder in (here, *here.parents) if folder.exists()), Path("/"))
    return shutil.disk_usage(place).free


def size_words(size: int) -> str:
    """Bytes in words.

    Examples
    --------
    >>> size_words(812), size_words(52_400), size_words(3_500_000_000)
    ('812 bytes', '51.2 KiB', '3.26 GiB')
    """
    if size < 2**10:
        return f"{size} bytes"
    if size < 2**20:
        return f"{size / 2**10:.1f} KiB"
    return f"{size / 2**20:.1f} MiB" if size < 2**30 else f"{size / 2**30:.2f} GiB"
