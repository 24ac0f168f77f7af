"""A data set from shards is the one from the memory map; what is not to be read is refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pandas as pd
import pytest

from contrastive_cxr.audit import links, thumbnails
from contrastive_cxr.data.dataset import open_dataset, retask
from contrastive_cxr.data.shards import description, store
from contrastive_cxr.data.squares import statistics
from contrastive_cxr.errors import CcxrError, RequestError
from contrastive_cxr.metrics import baselines
from contrastive_cxr.recipe import Recipe
from contrastive_cxr.tasks import Task
from tests.data.shards.packed import from_shards, packed


@pytest.fixture
def shards(cache: Path, tmp_path: Path) -> tuple[Recipe, Path]:
    """The small recipe and its shards."""
    return packed(cache, tmp_path / "shards")[0], tmp_path / "shards"


def edited(place: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change `shards.json`."""
    tree = json.loads((place / description.NAME).read_text())
    change(tree)
    (place / description.NAME).write_text(json.dumps(tree))


def test_the_data_set_is_that_of_the_memory_map(shards: tuple[Recipe, Path]) -> None:
    recipe, place = shards
    plain, data = open_dataset(recipe.data, recipe.task), from_shards(recipe, place)
    pd.testing.assert_frame_equal(plain.manifest_table(), data.manifest_table())
    pd.testing.assert_frame_equal(plain.facts, data.facts, check_dtype=False)
    every = np.arange(len(plain))
    assert np.array_equal(plain.take(every), data.take(every))
    assert np.array_equal(plain.take(every[::-3]), data.take(every[::-3]))
    assert (plain.mean, plain.std) == (data.mean, data.std), "the same, to the last bit"
    assert plain.intensity == data.intensity


def test_statistics_are_those_of_the_pixels(shards: tuple[Recipe, Path]) -> None:
    recipe, place = shards
    data = from_shards(recipe, place)
    pixels = open_dataset(recipe.data, recipe.task).take(data.rows("train")) / 255
    assert statistics(data.images, data.rows("train")) == pytest.approx((pixels.mean(), pixels.std()), abs=1e-12)
    assert np.isnan(statistics(data.images, data.rows("train")[:0])).all()


def test_another_task_over_the_same_images_is_read_too(shards: tuple[Recipe, Path]) -> None:
    recipe, place = shards
    data = from_shards(recipe, place)
    names = recipe.task.names
    kept = {name: recipe.task.classes[name] for name in names[1:]}
    fewer = Task(name="fewer", classes=kept, drop=recipe.task.classes[names[0]])
    part = retask(data, fewer)
    plain = retask(open_dataset(recipe.data, recipe.task), fewer)
    assert np.array_equal(part.take(np.arange(len(part))), plain.take(np.arange(len(plain))))


def test_blind_baselines_read_in_the_order_of_the_shards_and_see_the_same(shards: tuple[Recipe, Path]) -> None:
    recipe, place = shards
    plain, data = open_dataset(recipe.data, recipe.task), from_shards(recipe, place)
    assert np.array_equal(baselines.thumbnails(plain.images), baselines.thumbnails(data.images))
    assert np.array_equal(baselines.border(plain.images, plain.facts), baselines.border(data.images, data.facts))


def test_shards_behind_a_url_are_read(shards: tuple[Recipe, Path]) -> None:
    recipe, place = shards
    memory = fsspec.filesystem("memory")
    memory.put(str(place), "memory://packed", recursive=True)
    try:
        data = from_shards(recipe, "memory://packed")
        plain = open_dataset(recipe.data, recipe.task)
        assert np.array_equal(plain.take(np.arange(60)), data.take(np.arange(60)))
        memory.rm("memory://packed/shards/shard-000002.parquet")
        from contrastive_cxr.data.files import remote

        remote.entry.cache_clear()
        with pytest.raises(RequestError, match=r"1 of 10 shards in 'memory://packed' cannot be read .*000002"):
            from_shards(recipe, "memory://packed")
    finally:
        memory.rm("memory://packed", recursive=True)


def test_images_that_were_not_packed_are_refused(shards: tuple[Recipe, Path], cache: Path, tmp_path: Path) -> None:
    place = shards[1]
    more = packed(cache, tmp_path / "more", "data.images=63")[0]
    with pytest.raises(RequestError, match=r"was packed from other images: 3 of the recipe's 63 are not in it"):
        from_shards(more, place)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": "somebody else's"}, "is no description of image shards"),
        ({"version": 7}, "is of version 7 of the format, and this ccxr reads version 1"),
        ({"group": 0}, "is damaged"),
    ],
)
def test_another_format_or_version_is_refused(shards: tuple[Recipe, Path], change: dict[str, Any], said: str) -> None:
    recipe, place = shards
    edited(place, lambda tree: tree.update(change))
    with pytest.raises(RequestError, match=said):
        from_shards(recipe, place)


def test_a_folder_without_shards_is_refused(shards: tuple[Recipe, Path], tmp_path: Path) -> None:
    recipe, place = shards
    with pytest.raises(RequestError, match=r"shards.json' does not exist; name a folder that this command wrote"):
        from_shards(recipe, tmp_path)
    (place / description.NAME).write_text("{")
    with pytest.raises(RequestError, match="is not JSON"):
        from_shards(recipe, place)


def test_other_decode_settings_are_refused_all_at_once(shards: tuple[Recipe, Path]) -> None:
    recipe, place = shards
    with pytest.raises(RequestError) as told:
        from_shards(recipe, place, resize="crop", border_crop=0.1)
    assert "data.resize is pad there and crop in the recipe" in str(told.value)
    assert "data.border_crop is 0.0 there and 0.1 in the recipe" in str(told.value)


def test_missing_and_cut_shards_are_named(shards: tuple[Recipe, Path]) -> None:
    recipe, place = shards
    first, second = sorted((place / "shards").iterdir())[:2]
    first.unlink()
    size = second.stat().st_size
    second.write_bytes(second.read_bytes()[:-5])
    with pytest.raises(RequestError) as told:
        from_shards(recipe, place)
    missing, cut = told.value.faults
    assert "1 of 10 shards" in missing
    assert "shards/shard-000000.parquet does not exist" in missing
    assert f"shards/shard-000001.parquet has {size - 5:,} of {size:,} bytes" in cut


def test_a_damaged_shard_of_the_right_size_is_named_when_it_is_read(shards: tuple[Recipe, Path]) -> None:
    recipe, place = shards
    file = place / "shards/shard-000000.parquet"
    content = bytearray(file.read_bytes())
    content[len(content) // 3] ^= 0xFF
    file.write_bytes(content)
    data = from_shards(recipe, place)
    with pytest.raises(CcxrError, match=r"shard-000000.parquet' cannot be read .*copy it again"):
        data.take(np.arange(60))


def test_pyarrow_is_asked_for_in_a_sentence(shards: tuple[Recipe, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, place = shards
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(RequestError, match=r"pip install 'contrastive_cxr\[parquet\]'"):
        from_shards(recipe, place)


def test_a_reading_from_a_url_that_fails_once_is_tried_again(
    shards: tuple[Recipe, Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The file is away for a moment; of one that stays away the name is told."""
    recipe, place = shards
    memory = fsspec.filesystem("memory")
    memory.put(str(place), "memory://away", recursive=True)
    try:
        data = from_shards(recipe, "memory://away")
        memory.mv("memory://away/shards/shard-000000.parquet", "memory://away/kept")
        monkeypatch.setattr(store, "WAITS", (0.0, 0.0))
        with pytest.raises(CcxrError, match=r"shard-000000.parquet' cannot be read .*is not there"):
            data.take(np.arange(60))
        assert caplog.text.count("it is tried again") == 2
        back = lambda _: memory.mv("memory://away/kept", "memory://away/shards/shard-000000.parquet")  # noqa: E731
        monkeypatch.setattr(store.time, "sleep", back)
        assert np.array_equal(data.take(np.arange(60)), open_dataset(recipe.data, recipe.task).take(np.arange(60)))
    finally:
        memory.rm("memory://away", recursive=True)


def test_the_audit_of_a_run_finds_the_same_from_shards(shards: tuple[Recipe, Path]) -> None:
    recipe, place = shards
    plain, data = open_dataset(recipe.data, recipe.task), from_shards(recipe, place)
    every = [links.find(each.images.by_slot, each.images.slots, each.facts) for each in (plain, data)]
    for name in ("first", "second", "symmetry", "identical", "cropped", "correlation"):
        assert np.array_equal(getattr(every[0], name), getattr(every[1], name)), name
    small = [thumbnails.small(each.images.by_slot, each.images.slots, each.facts) for each in (plain, data)]
    assert np.array_equal(small[0], small[1])
