"""Batches of any rows, classes and sizes."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from contrastive_cxr.data.batches import balanced, balanced_faults, shuffled

SEEDS = st.integers(0, 2**32 - 1)
LABELS = st.lists(st.integers(0, 2), min_size=1, max_size=40)


@given(st.lists(st.integers(0, 10**6), unique=True, max_size=60), st.integers(1, 12), st.booleans(), SEEDS)
def test_a_pass_has_every_row_once(rows: list[int], size: int, drop_last: bool, seed: int) -> None:
    batches = shuffled(np.array(rows, dtype=np.int64), size, np.random.default_rng(seed), drop_last)
    taken = [int(row) for batch in batches for row in batch]
    assert len(set(taken)) == len(taken), "a row came twice"
    assert set(taken) <= set(rows)
    assert all(len(batch) == size for batch in batches[:-1])
    whole = len(rows) - len(rows) % size if drop_last and len(rows) >= size else len(rows)
    assert len(taken) == whole


@given(LABELS, st.integers(1, 3), st.one_of(st.none(), st.integers(1, 2)), st.integers(0, 30), SEEDS)
def test_balanced_batches_are_balanced(
    labels: list[int], each: int, classes: int | None, steps: int, seed: int
) -> None:
    known, rows = np.array(labels), np.flatnonzero(np.random.default_rng(seed).random(len(labels)) < 0.9)
    assume(len(rows) and not balanced_faults(known, rows, classes, each))
    batches = balanced(rows, known, classes, each, steps, np.random.default_rng(seed))
    assert len(batches) == steps
    for batch in batches:
        assert set(batch.tolist()) <= set(rows.tolist())
        assert len(set(batch.tolist())) == len(batch), "an image twice in a batch"
        counts = Counter(known[batch].tolist())
        assert len(counts) == (classes or len(set(known[rows].tolist())))
        assert set(counts.values()) == {each}
    used = Counter(int(row) for batch in batches for row in batch)
    for label in set(known[rows].tolist()):
        times = [used[row] for row in rows.tolist() if known[row] == label]
        assert max(times) - min(times) <= 1, f"images of class {label} are used {min(times)} to {max(times)} times"


@given(LABELS, st.integers(1, 6), st.integers(1, 6))
def test_faults_are_found_exactly_where_a_batch_cannot_be_made(labels: list[int], each: int, classes: int) -> None:
    counts = Counter(labels)
    possible = len(counts) >= classes and min(counts.values()) >= each
    assert (balanced_faults(np.array(labels), np.arange(len(labels)), classes, each) == []) == possible
