"""Shapes of the tensors of backbones, as a table: which networks a file may be, told without building any of them.

`shapes.json` holds them for the backbones of `families.KIN`; `benchmarks/backbone_shapes.py` writes it.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("shapes.json")
LEAST = 0.4
"""Share of a network's shapes that a file must have for it to be tried; below, no library's filter makes them fit."""
_HEADS = 64  # no transformer has more, and no layer of weights so few inputs
_TOKENS = 8  # a row of more vectors is one of positions, not of tokens

Counted = Counter[tuple[int, ...]]


def counted(shapes: Iterable[Sequence[int]]) -> Counted:
    """How often each shape occurs; scalars and what depends on the input size (rows of positions) do not count.

    A layer of queries, keys and values counts as three, and so does its bias: some files have them apart.

    Examples
    --------
    >>> dict(counted([(12, 4), (4, 4), (12,), (4,), (), (1, 197, 4)]))
    {(4, 4): 4, (4,): 4}
    """
    every = [tuple(shape) for shape in shapes]
    joined = {shape[1] for shape in every if len(shape) == 2 and shape[0] == 3 * shape[1]}
    found: Counted = Counter()
    for shape in every:
        if shape and shape[0] % 3 == 0 and shape[0] // 3 in joined and shape[1:] in ((), (shape[0] // 3,)):
            found[(shape[0] // 3, *shape[1:])] += 3
        elif shape and not (len(shape) == 3 and shape[0] == 1 and shape[1] > _TOKENS):
            found[shape] += 1
    return found


def likeness(given: Counted, own: Counted, tables: bool = False) -> float:
    """Share of a network's tensors, or of the numbers in them if that is less, whose shapes a file has too, 0..1.

    Tables of relative positions, which a library fits to another input size, count with `tables` alone.
    """
    own = Counter({shape: count for shape, count in own.items() if tables or not _is_table(shape)})
    both = {shape: min(count, given[shape]) for shape, count in own.items()}
    numbers = sum(math.prod(shape) * count for shape, count in own.items())
    shared = sum(math.prod(shape) * count for shape, count in both.items())
    return min(sum(both.values()) / max(1, sum(own.values())), shared / max(1, numbers))


def _is_table(shape: tuple[int, ...]) -> bool:
    """Whether a shape is that of relative positions by heads, whose rows depend on the input size."""
    return len(shape) == 2 and shape[1] <= _HEADS < shape[0]


def ranked(given: Counted, names: Sequence[str]) -> list[str]:
    """Those of some backbones that a file may be, the likeliest first.

    Of equally likely ones those come first whose tables of positions the file has too (other windows are another
    network), then the largest.
    A backbone that the table does not know, of another version of its library, comes last.
    """
    table = known()
    alike = {name: likeness(given, table[name]) for name in names if name in table}
    likely = [name for name, share in alike.items() if share >= LEAST]
    exact = {name: likeness(given, table[name], tables=True) for name in likely}
    likely.sort(key=lambda name: (-round(alike[name], 3), -round(exact[name], 3), -sum(table[name].values())))
    return [*likely, *(name for name in names if name not in table)]


@cache
def known() -> dict[str, Counted]:
    """Name of a backbone: its shapes, on three colours, at the size it was designed for."""
    read: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    every = [tuple(shape) for shape in read["shapes"]]
    return {
        name: Counter({every[number]: count for number, count in zip(flat[::2], flat[1::2], strict=True)})
        for name, flat in read["networks"].items()
    }


def written(networks: Mapping[str, Counted]) -> str:
    """The table as text: every shape once, and of each network numbers of shapes with their counts."""
    every = sorted({shape for own in networks.values() for shape in own})
    place = {shape: number for number, shape in enumerate(every)}
    lines = []
    for name, own in networks.items():
        flat = [each for shape in sorted(own) for each in (place[shape], own[shape])]
        lines.append(f"{json.dumps(name)}: {json.dumps(flat, separators=(',', ':'))}")
    rows = ",\n".join(lines)
    return f'{{"shapes": {json.dumps(every, separators=(",", ":"))},\n"networks": {{\n{rows}\n}}}}\n'
