"""A log of one JSON row a line, which a resumed run can wind back to a checkpoint."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contrastive_cxr.errors import RequestError
from contrastive_cxr.files import sync_folder
from contrastive_cxr.run.folder import plain
from contrastive_cxr.space import unwritable


class MetricsLog:
    """`metrics.jsonl` (values only, so that a resumed run's equals an uninterrupted one's) or `timing.jsonl`.

    Parameters
    ----------
    path : Path
        The file; made when the first row comes.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._named = False  # whether its name is on the disk

    def append(self, row: Mapping[str, Any]) -> None:
        """Add one row; keys in their order, floats in full, NaN and infinity as null."""
        line = (json.dumps(plain(row), allow_nan=False, ensure_ascii=False) + "\n").encode()
        try:
            with self.path.open("ab") as file:
                file.write(line)
        except OSError as error:
            # half a row may stand there: a resumed run winds back to its checkpoint, which is before it
            raise unwritable(self.path, error, len(line)) from error

    def sync(self) -> int:
        """Bring what was added to the disk and return the file's size, bytes: a place to wind back to.

        Raises
        ------
        CcxrError
            The disk is full: some systems say so only here.
        """
        if not self.path.exists():
            return 0
        try:
            with self.path.open("rb") as file:
                os.fsync(file.fileno())
            if not self._named:
                sync_folder(self.path.parent)
                self._named = True
        except OSError as error:
            raise unwritable(self.path, error) from error
        return self.size()

    def size(self) -> int:
        """The file's size, bytes; 0 where there is none."""
        return self.path.stat().st_size if self.path.exists() else 0

    def truncate_to(self, size: int) -> None:
        """Forget what was added after the file was `size` bytes long.

        Raises
        ------
        RequestError
            The file is shorter than that: it was changed since.
        """
        if self.size() < size:
            raise RequestError(
                f"'{self.path}' has {self.size()} bytes, its checkpoint knows {size}; it was changed: "
                "start again with --overwrite"
            )
        if self.path.exists():
            os.truncate(self.path, size)

    def rows(self) -> list[dict[str, Any]]:
        """All rows."""
        if not self.path.exists():
            return []
        return [json.loads(line) for line in self.path.read_text(encoding="utf-8").splitlines()]
