from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from contrastive_cxr.errors import RequestError
from contrastive_cxr.recipe.schema import Data
from contrastive_cxr.retrieval.embedding import decode_settings
from contrastive_cxr.retrieval.image_inputs import ahead, square, squares


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


def test_files_and_arrays_are_read_by_the_models_recorded_range(tmp_path: Path) -> None:
    """A 12-bit file that the model never saw looks as its training images did; floats in 0..1 are what they are."""
    intensity = {"kind": "auto", "low": 0.5, "high": 99.5, "ct": "lung", "ranges": {"deep": [0, 4095]}}
    settings = decode_settings({"decode": {"cache_size": 16, "intensity": intensity, "decoding": 2}})
    values = np.random.default_rng(0).integers(0, 4096, (16, 16), dtype=np.uint16)
    wanted = np.rint(values * (255 / 4095))
    Image.fromarray(values).save(tmp_path / "new.png")
    for item in (tmp_path / "new.png", values, Image.fromarray(values), (values / 4095).astype(np.float32)):
        assert np.abs(square(item, settings) - wanted).max() <= 0.51


def test_a_model_of_before_decodes_as_it_did() -> None:
    before = {"cache_size": 16, "resize": "pad", "intensity": {"kind": "dtype", "low": 0.5, "high": 99.5}}
    settings = decode_settings({"decode": before})
    assert (settings.decoding, settings.intensity.kind) == (1, "dtype")
    assert decode_settings({"decode": Data(cache_size=16).model_dump(mode="json")}).decoding == 3


def test_each_file_that_is_no_image_is_named_with_what_to_do(tmp_path: Path) -> None:
    Image.new("L", (16, 16)).save(tmp_path / "good.png")
    for name in ("one.png", "two.png"):
        (tmp_path / name).write_text("no image at all")
    settings = decode_settings({"decode": {"cache_size": 16}})
    with pytest.raises(RequestError) as caught:
        squares([tmp_path / name for name in ("one.png", "good.png", "two.png")], settings)
    assert [fault.split(":")[0] for fault in caught.value.faults] == [
        str(tmp_path / f"{n}.png") for n in ("one", "two")
    ]
    assert all(fault.endswith("; give the images without it") for fault in caught.value.faults)
