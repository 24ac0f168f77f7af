"""The shuffle buffer and the batches that are drawn from it."""

from __future__ import annotations

import pytest

from contrastive_cxr.errors import RequestError
from contrastive_cxr.recipe import load


def test_each_phase_with_a_batch_above_the_buffer_is_named() -> None:
    words = ["data.shards=packed", "data.shuffle_buffer=20", "pretrain.batch_size=32", "embed.images_per_class=7"]
    with pytest.raises(RequestError) as told:
        load("phantom", [*words, "finetune.batch_size=20"])
    assert [fault.partition("of a batch of ")[2].partition(";")[0] for fault in told.value.faults] == [
        "pretrain", "embed",
    ]  # fmt: skip
    assert "below the 21 images" in told.value.faults[1]


def test_without_shards_there_is_no_buffer() -> None:
    load("phantom", ["data.shuffle_buffer=1"])
