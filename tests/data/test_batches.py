from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from contrastive_cxr.data.batches import Images, balanced, balanced_faults, shuffled


def test_shuffled_is_one_pass() -> None:
    rows = np.arange(100, 123)
    batches = shuffled(rows, 5, np.random.default_rng(0))
    assert [len(batch) for batch in batches] == [5, 5, 5, 5, 3], "the rest is a short batch"
    assert sorted(np.concatenate(batches)) == list(rows), "each row once"
    assert not (np.concatenate(batches) == rows).all(), "the order is random"
    again = shuffled(rows, 5, np.random.default_rng(0))
    assert all((one == other).all() for one, other in zip(batches, again, strict=True)), "the seed repeats it"


def test_shuffled_drops_the_short_batch_but_never_the_only_one() -> None:
    assert [len(b) for b in shuffled(np.arange(23), 5, np.random.default_rng(0), drop_last=True)] == [5, 5, 5, 5], (
        "short"
    )
    assert [len(b) for b in shuffled(np.arange(3), 5, np.random.default_rng(0), drop_last=True)] == [3], "only batch"


@pytest.mark.parametrize("classes_per_batch", [2, 3, None])
def test_balanced_batches_are_p_classes_of_k_distinct_images(classes_per_batch: int | None) -> None:
    labels = np.array([0] * 7 + [1] * 50 + [2] * 11 + [9] * 3)
    rows = np.arange(68)  # class 9 is not among the rows
    batches = balanced(rows, labels, classes_per_batch, 5, 40, np.random.default_rng(1))
    assert len(batches) == 40, "as many as steps"
    for batch in batches:
        counts = Counter(labels[batch].tolist())
        assert len(counts) == (classes_per_batch or 3), "P distinct classes"
        assert set(counts.values()) == {5}, "K images each"
        assert len(set(batch.tolist())) == len(batch), "no image twice in a batch"


def test_balanced_uses_all_rows_of_a_class_equally() -> None:
    labels = np.array([0] * 7 + [1] * 30)
    batches = balanced(np.arange(37), labels, None, 5, 42, np.random.default_rng(2))
    seen = Counter(np.concatenate(batches).tolist())
    assert {seen[row] for row in range(7)} == {30}, "42 * 5 draws of 7 images are 30 each"
    assert {seen[row] for row in range(7, 37)} == {7}, "42 * 5 draws of 30 images are 7 each"
    first = np.concatenate([batch[labels[batch] == 1] for batch in batches[:6]])
    assert len(set(first.tolist())) == 30, "no image comes again before the class is used up"


def test_balanced_faults_name_p_and_k() -> None:
    labels = np.array([0] * 4 + [1] * 9)
    assert balanced_faults(labels, np.arange(13), 2, 4) == [], "fits"
    faults = balanced_faults(labels, np.arange(13), 3, 6)
    assert len(faults) == 2, f"P and K are both wrong: {faults}"
    assert "classes_per_batch is 3" in faults[0], faults[0]
    assert "class '0' has 4" in faults[1], faults[1]
    assert "class 'well' has 4" in balanced_faults(labels, np.arange(13), 2, 6, ("well", "ill"))[0], "named classes"
    with pytest.raises(AssertionError, match="classes_per_batch"):
        balanced(np.arange(13), labels, 3, 6, 1, np.random.default_rng(0))


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("share", [0.4, 0.0])
def test_images_gives_the_rows_in_order(device: str, share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    monkeypatch.setattr("contrastive_cxr.data.batches.RESIDENT_SHARE", share)
    store = np.random.default_rng(0).integers(0, 256, (300, 1, 4, 4), dtype=np.uint8)
    images = Images(store, device)
    rows = np.array([299, 0, 7, 7])
    batch = images.take(rows)
    assert len(images) == 300, "number of images"
    assert batch.dtype == torch.uint8, "stays 8 bits"
    assert batch.device.type == device, "is where it is wanted"
    assert (batch.cpu().numpy() == store[rows]).all(), "rows in the order asked for"
    assert (images.resident is not None) == (device == "cuda" and share > 0), "the cache moves to a GPU where it fits"
