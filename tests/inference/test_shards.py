"""A folder of parts: who writes which, going on after a kill, and what is refused."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

from contrastive_cxr.errors import CcxrError, RequestError
from contrastive_cxr.inference import shards

pytest.importorskip("pyarrow")
IMAGES, SIZE = 23, 4


@dataclass
class Numbered:
    """Images whose names are their numbers."""

    count: int = IMAGES
    prefix: str = "image"

    def __len__(self) -> int:
        return self.count

    def pixels(self, first: int, end: int) -> torch.Tensor:
        raise AssertionError("the vectors are given")

    def rows(self, first: int, end: int) -> pd.DataFrame:
        return pd.DataFrame({"file": [f"{self.prefix}-{row}" for row in range(first, end)]})


def vectors(first: int, end: int) -> NDArray[np.float32]:
    """Three numbers a row that say which row it is."""
    return np.stack([np.arange(first, end), np.arange(first, end) / 7, -np.arange(first, end)], 1).astype(np.float32)


def process(rank: int, of: int) -> Any:
    """A process as `fill` sees it."""
    return SimpleNamespace(global_rank=rank, world_size=of)


def whole(out: Path) -> tuple[list[str], NDArray[np.float32]]:
    """What pandas reads of the folder."""
    table = pd.read_parquet(out)
    return list(table["file"]), np.stack(list(table["vector"]))


def record() -> shards.Record:
    return shards.planned(Numbered(), "a" * 64, 3, SIZE)


@pytest.mark.parametrize("processes", [1, 2, 3, 9])
def test_every_image_once_in_order_whatever_the_number_of_processes(tmp_path: Path, processes: int) -> None:
    out = tmp_path / "out"
    shards.begin(out, record())
    written: list[str] = []
    for rank in reversed(range(processes)):
        apart = tmp_path / f"{rank}"  # where it sees no other's parts
        for place in (apart, out):
            shards.fill(place, record(), Numbered(), vectors, process(rank, processes))
        written += [path.name for path in (apart / "parts").glob("*")]
    assert sorted(written) == [f"part-{number:06d}.parquet" for number in range(6)], "each part by one process"
    shards.finish(out, record())
    files, found = whole(out)
    assert files == [f"image-{row}" for row in range(IMAGES)]
    np.testing.assert_array_equal(found, vectors(0, IMAGES))
    known = shards.read(out)
    assert known is not None
    assert known.complete
    assert [(part.first, part.images) for part in known.parts] == [(0, 4), (4, 4), (8, 4), (12, 4), (16, 4), (20, 3)]


def test_it_goes_on_after_the_last_whole_part_with_another_number_of_processes(tmp_path: Path) -> None:
    out, asked = tmp_path / "out", []

    def killed(first: int, end: int) -> NDArray[np.float32]:
        if first == 8:
            raise KeyboardInterrupt
        return vectors(first, end)

    def counted(first: int, end: int) -> NDArray[np.float32]:
        asked.append(first)
        return vectors(first, end)

    shards.begin(out, record())
    with pytest.raises(KeyboardInterrupt):
        shards.fill(out, record(), Numbered(), killed, process(0, 1))
    with pytest.raises(CcxrError, match="4 of 6 parts are not there"):
        shards.finish(out, record())
    shards.begin(out, record())
    for rank in range(2):
        shards.fill(out, record(), Numbered(), counted, process(rank, 2))
    shards.finish(out, record())
    assert sorted(asked) == [8, 12, 16, 20]
    np.testing.assert_array_equal(whole(out)[1], vectors(0, IMAGES))


def test_what_is_not_this_encoding_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "out"
    shards.begin(out, record())
    for other, words in (
        (shards.planned(Numbered(), "b" * 64, 3, SIZE), "model aaaa"),
        (shards.planned(Numbered(prefix="other"), "a" * 64, 3, SIZE), "source "),
        (shards.planned(Numbered(count=5), "a" * 64, 3, SIZE), "images 23 there, 5 asked for"),
        (shards.planned(Numbered(), "a" * 64, 3, 5), "part_images 4 there, 5 asked for"),
    ):
        with pytest.raises(RequestError, match=words):
            shards.begin(out, other)
    shards.fill(out, record(), Numbered(), vectors, process(0, 1))
    shards.finish(out, record())
    with pytest.raises(RequestError, match="holds this encoding already, whole"):
        shards.begin(out, record())
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(RequestError, match="holds no encoding"):
        shards.begin(tmp_path / "mine", record())


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 2}', json.dumps({"format": 1, "images": -1})])
def test_a_broken_record_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / shards.RECORD).write_text(text)
    with pytest.raises(RequestError, match="cannot be read"):
        shards.begin(tmp_path, record())


def test_an_encoding_is_replaced_when_told_and_nothing_else_is(tmp_path: Path) -> None:
    out = tmp_path / "out"
    shards.begin(out, record())
    shards.fill(out, record(), Numbered(), vectors, process(0, 1))
    (out / shards.RECORD).rename(out / "encoding.json")  # as earlier versions named it
    assert shards.read(out) is not None
    with pytest.raises(RequestError, match="--overwrite"):
        shards.begin(out, shards.planned(Numbered(), "b" * 64, 3, SIZE))
    few = shards.planned(Numbered(count=5), "b" * 64, 3, SIZE)
    shards.begin(out, few, overwrite=True)
    shards.fill(out, few, Numbered(count=5), vectors, process(0, 1))
    shards.finish(out, few)
    assert len(whole(out)[0]) == 5
    assert not (out / "encoding.json").exists()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("mine")
    with pytest.raises(RequestError, match="holds no encoding"):
        shards.begin(tmp_path / "other", few, overwrite=True)
    assert (tmp_path / "other" / "mine.txt").read_text() == "mine"
