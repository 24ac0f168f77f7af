"""Vectors in clusters, and their rows: what an approximate index is good at."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd


def vectors(count: int, seed: int, width: int = 16) -> Any:
    """float32 [count, width], unit length, in 12 clusters that are the same for every seed."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(12, width))
    drawn = centres[rng.integers(0, 12, count)] + 0.6 * rng.normal(size=(count, width))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


def rows(count: int) -> pd.DataFrame:
    """Ids that are not row numbers, 3 labels, patients of 4 images with every fifth unknown, 2 splits."""
    numbers = np.arange(count)
    return pd.DataFrame(
        {
            "id": numbers * 2 + 7,
            "label": [f"class {number % 3}" for number in numbers],
            "patient": ["" if number % 5 == 0 else f"P{number // 4}" for number in numbers],
            "path": [f"{number}.png" for number in numbers],
            "split": ["val" if number % 10 == 0 else "train" for number in numbers],
            "site": ["north" if number < count / 2 else "south" for number in numbers],
        }
    )


def slow(known: Any, query: Any, allowed: Any, k: int) -> list[int]:
    """Positions of the k nearest allowed rows, by a loop."""
    gaps = [(float(((vector - query) ** 2).sum()), row) for row, vector in enumerate(known.astype(float))]
    return [row for _, row in sorted(gap for gap in gaps if allowed[gap[1]])[:k]]
