"""Whether two lives left the same behind, but for clocks: every file of one against that of the other."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch

CLOCKS = {"seconds", "epoch_seconds", "minutes", "peak_memory_mib", "stamps", "timing", "made"}
"""Keys whose values are times of a clock, of a file, or sizes of what holds such."""


def differences(one: Path, two: Path) -> list[str]:
    """What differs between the folders, in words; nothing: they are the same."""
    names = [{path.relative_to(each).as_posix() for path in each.rglob("*") if path.is_file()} for each in (one, two)]
    found = [f"{name}: only in {one.name}" for name in sorted(names[0] - names[1])]
    found += [f"{name}: only in {two.name}" for name in sorted(names[1] - names[0])]
    return found + [name for name in sorted(names[0] & names[1]) if not _same(one / name, two / name)]


def _same(one: Path, two: Path) -> bool:
    if one.name == "images.u8":
        return True  # compared with its table
    if one.name == "index.sqlite":
        return _squares(one) == _squares(two)
    if one.name == "timing.jsonl":
        return [row["epoch"] for row in _lines(one)] == [row["epoch"] for row in _lines(two)]
    if one.suffix == ".ckpt":
        states = [torch.load(each, weights_only=True) for each in (one, two)]
        return _alike(states[0], states[1])
    if one.suffix == ".json":
        return _alike(json.loads(one.read_text()), json.loads(two.read_text()))
    if one.suffix == ".html":  # its figures have names by chance
        return one.read_text().rstrip().endswith("</html>") and two.read_text().rstrip().endswith("</html>")
    if one.name == "model-card.md":  # among its numbers are minutes; report.json has the others
        return _words(one) == _words(two)
    return one.read_bytes() == two.read_bytes()


def _alike(one: Any, two: Any) -> bool:
    """Equal, tensors bit for bit, without clocks."""
    if isinstance(one, dict) and isinstance(two, dict):
        return one.keys() == two.keys() and all(_alike(one[name], two[name]) for name in one.keys() - CLOCKS)
    if isinstance(one, list | tuple) and isinstance(two, list | tuple):
        return len(one) == len(two) and all(map(_alike, one, two))
    if isinstance(one, torch.Tensor) and isinstance(two, torch.Tensor):
        return one.dtype == two.dtype and one.shape == two.shape and one.numpy().tobytes() == two.numpy().tobytes()
    return bool(one == two) or (one != one and two != two)


def _squares(table: Path) -> dict[tuple[Any, ...], bytes]:
    """The pixels of each file that a cache knows."""
    with closing(sqlite3.connect(table)) as known:
        rows = list(known.execute("SELECT path, size, slot, width, height FROM files JOIN contents USING (digest)"))
    pixels = np.fromfile(table.with_name("images.u8"), np.uint8)
    size = len(pixels) // (max(row[2] for row in rows) + 1)
    return {(path, *rest): pixels[slot * size : (slot + 1) * size].tobytes() for path, _, slot, *rest in rows}


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    return (json.loads(line) for line in path.read_text().splitlines())


def _words(path: Path) -> str:
    return re.sub(r"\d+(\.\d+)?", "#", path.read_text())
