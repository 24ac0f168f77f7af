from __future__ import annotations

import threading

import torch

from contrastive_cxr.retrieval.inputs import ahead


def test_batches_are_read_ahead_in_order_and_not_all_at_once() -> None:
    asked: list[int] = []
    lock = threading.Lock()

    def read(first: int, end: int) -> torch.Tensor:
        with lock:
            asked.append(first)
        return torch.arange(first, end)

    seen = []
    for start, part in ahead(read, 3, 50, 4, 2):
        seen += part.tolist()
        assert start == part[0]
        assert max(asked) <= start + 4 * 4, "two threads are at most a few batches ahead"
    assert seen == list(range(3, 50))
