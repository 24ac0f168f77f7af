"""Equal rows at the end of what is asked for: those of lower position are found, whatever FAISS keeps of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from contrastive_cxr.retrieval import Gallery
from contrastive_cxr.retrieval.index import exact


def copies(rows: int) -> np.ndarray:
    """float32 [rows + 1, 3]: one row that is none of the others, behind copies of one direction."""
    vectors = np.tile(np.array([[1, 1, 1]], np.float32) / np.float32(np.sqrt(3)), (rows + 1, 1))
    vectors[-1] = [0, 0, 1]
    return vectors


@pytest.mark.parametrize("k", [1, 2, 5, 19, 20])
@pytest.mark.parametrize("where", [None, {"label": "b"}])
def test_copies_are_found_by_position(k: int, where: dict[str, str] | None) -> None:
    vectors = copies(20)
    labels = np.array(["a", "b"])[np.arange(21) % 2]
    table = pd.DataFrame({"label": labels, "patient": [""] * 20 + ["p"]})
    found = Gallery.build(vectors, table, kind="exact").search(vectors[:1], k, where=where)
    allowed = np.flatnonzero(labels[:20] == "b") if where else np.arange(20)
    assert found.of(0)["position"].tolist()[: len(allowed)] == allowed[:k].tolist()


def test_own_rows_among_copies_leave_the_others_by_position() -> None:
    vectors = copies(20)
    table = pd.DataFrame({"label": "a", "patient": ["p" if row % 3 else "q" for row in range(21)]})
    found = Gallery.build(vectors, table, kind="exact").search(vectors[:1], 4, ["p"])
    assert found.of(0)["position"].tolist() == [0, 3, 6, 9]


def test_rows_without_ties_are_those_of_a_sort() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(300, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    allowed = rng.random(300) < 0.5
    expected = np.argsort(-np.where(allowed, vectors @ vectors[0], -9))[:7]
    assert exact(vectors, vectors[:1], 7, allowed)[0].tolist() == expected.tolist()
    assert exact(vectors, vectors[:1], 300, allowed)[0].tolist().count(-1) == 300 - allowed.sum()
