"""Nearest rows and their vote, against slow loops."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
from numpy.testing import assert_allclose, assert_array_equal

from contrastive_cxr.explore.neighbours import near_rows, votes
from contrastive_cxr.retrieval import Gallery


def gallery(count: int = 60, patients: int = 20) -> Gallery:
    vectors = np.random.default_rng(1).normal(size=(count, 6)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    names = [f"p{row % patients}" if row % 7 else "" for row in range(count)]
    return Gallery.build(vectors, pd.DataFrame({"patient": names, "label": list("abc" * (count // 3))}), kind="exact")


def test_the_nearest_rows_are_those_of_a_slow_loop() -> None:
    made = gallery()
    found = near_rows(made)
    patients = made.rows["patient"].to_numpy()
    for row in range(len(made)):
        gaps = np.linalg.norm(made.vectors - made.vectors[row], axis=1)
        order = [each for each in np.argsort(gaps) if each != row]
        assert_array_equal(found.rows[row], order[: found.rows.shape[1]])
        others = [each for each in order if not patients[row] or patients[each] != patients[row]]
        assert_array_equal(found.others[row], others[:10])
        assert_allclose(found.other_gaps[row], gaps[others[:10]], atol=1e-4)


def test_two_rows_of_one_patient_have_no_other() -> None:
    made = Gallery.build(np.eye(2, dtype=np.float32), pd.DataFrame({"patient": ["p", "p"]}), kind="exact")
    found = near_rows(made)
    assert found.rows.tolist() == [[1], [0]]
    assert found.others.tolist() == [[-1], [-1]]
    assert np.isinf(found.other_gaps).all()


def test_the_vote_is_the_most_frequent_label_of_those_that_have_one() -> None:
    rng = np.random.default_rng(2)
    labels = rng.choice(["a", "b", "c", ""], 40).astype(object)
    others = np.stack([rng.permutation(40)[:10] for _ in range(40)])
    others[3] = -1
    others[4, 5:] = -1
    said, share, own = votes(labels, others)
    for row in range(40):
        told = [labels[each] for each in others[row] if each >= 0 and labels[each]]
        if not told:
            assert said[row] == ""
            assert np.isnan(share[row])
            continue
        counts = Counter(told)
        most = max(counts.values())
        first = next(name for name in told if counts[name] == most)
        assert counts[said[row]] == most
        if sum(value == most for value in counts.values()) == 1:
            assert said[row] == first
        assert share[row] == np.float32(most / len(told))
        assert own[row] == np.float32(counts.get(labels[row], 0) / len(told) if labels[row] else 0)
