"""A stream gives the squares of its steps, from wherever it begins, and holds what it says at most."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from contrastive_cxr.data.dataset import Dataset, open_dataset
from contrastive_cxr.data.shards import order
from contrastive_cxr.data.shards.stream import Follower, Plan, Stream, occurrences
from tests.data.shards.packed import from_shards, packed


@pytest.fixture(scope="module")
def sets(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Dataset]:
    """The same 60 images from the memory map and from shards with a buffer of 12."""
    out = tmp_path_factory.mktemp("packed") / "shards"
    recipe, _ = packed(cache, out)
    return open_dataset(recipe.data, recipe.task), from_shards(recipe, out, shuffle_buffer=12, shard_slices=2)


def epoch(data: Dataset, number: int, size: int = 8) -> order.Epoch:
    layout, rows = data.images.layout, data.rows("train")
    assert layout is not None
    kinds, counts = np.unique(data.labels[rows], return_counts=True)
    wanted = dict(zip(kinds.tolist(), counts.tolist(), strict=True))
    return order.uniform(rows, data.labels, wanted, size, layout, np.random.default_rng(number))


def twice(data: Dataset, number: int) -> order.Epoch:
    """Batches of classes that go through the images several times."""
    layout, rows = data.images.layout, data.rows("train")
    assert layout is not None
    return order.balanced(rows, data.labels, None, 4, 12, layout, np.random.default_rng(number))


@pytest.mark.parametrize("draw", [epoch, twice])
@pytest.mark.parametrize("start", [0, 3])
def test_the_squares_of_the_steps_are_those_of_the_memory_map(
    sets: tuple[Dataset, Dataset], draw: object, start: int
) -> None:
    plain, data = sets
    assert callable(draw)
    batches = draw(data, 0)
    store = data.images.shards
    assert store is not None
    stream = Stream(store, [data.images.slots[each] for each in batches[start:]], data.images.slots[batches.held])
    for batch in batches[start:]:
        assert np.array_equal(stream.take(), plain.take(batch))
    stream.close()


def test_a_pass_reads_every_row_group_about_once(sets: tuple[Dataset, Dataset]) -> None:
    _, data = sets
    store, batches = data.images.shards, epoch(data, 0)
    assert store is not None
    plan = Plan(store, [data.images.slots[each] for each in batches], data.images.slots[batches.held])
    drawn = np.concatenate([data.images.slots[each] for each in batches])
    assert len(plan.groups) == len(np.unique(store.group_of(drawn)[0]))
    assert (np.diff(plan.needed) >= 0).all()


def test_the_peak_is_what_waits(sets: tuple[Dataset, Dataset]) -> None:
    """Counted by a slow loop over the steps."""
    _, data = sets
    store, batches = data.images.shards, epoch(data, 1)
    assert store is not None
    steps = [data.images.slots[each] for each in batches]
    plan = Plan(store, steps, data.images.slots[batches.held])
    there: set[int] = set()
    most, read = 0, 0
    for number, slots in enumerate(steps):
        while read < len(plan.groups) and plan.needed[read] <= number:
            there |= {int(slot) for later in steps[number:] for slot in later if store.group_of(later)[0] is not None
                      and store.group_of(np.array([slot]))[0][0] == plan.groups[read]}  # fmt: skip
            read += 1
        most = max(most, len(there))
        assert set(slots.tolist()) <= there
        there -= set(slots.tolist())
    assert most == plan.peak
    assert plan.peak < len(data.rows("train"))


def test_a_buffer_that_holds_everything_reads_each_group_once(sets: tuple[Dataset, Dataset]) -> None:
    plain, data = sets
    rows = np.tile(data.rows("train")[:12], 3)
    follower = Follower(data.images.shards, data.images.slots, lambda _: [rows, rows[::-1]])  # type: ignore[arg-type]
    assert np.array_equal(follower.take(0, 0, 0, 1), plain.take(rows))
    assert np.array_equal(follower.take(0, 1, 0, 1), plain.take(rows[::-1]))
    assert follower.peak == 12


def test_a_follower_goes_on_at_any_step_and_gives_a_step_twice(sets: tuple[Dataset, Dataset]) -> None:
    plain, data = sets
    assert data.images.shards is not None
    follower = Follower(data.images.shards, data.images.slots, lambda number: epoch(data, number))
    count = len(epoch(data, 0))
    for number, index in ((0, 2), (0, 2), (0, 3), (1, 0), (0, 1), (0, 2)):
        batch = epoch(data, number)[index]
        assert np.array_equal(follower.take(number, number * count + index, 0, 1), plain.take(batch))


def test_processes_take_their_parts_and_read_less(sets: tuple[Dataset, Dataset]) -> None:
    plain, data = sets
    store = data.images.shards
    assert store is not None
    begun = store.groups_read
    for rank in range(2):
        follower = Follower(store, data.images.slots, lambda number: epoch(data, number))
        for index, batch in enumerate(epoch(data, 0)):
            assert np.array_equal(follower.take(0, index, rank * 4, 2), plain.take(batch[rank * 4 : rank * 4 + 4]))
    both = store.groups_read - begun
    every = len(np.unique(store.group_of(data.images.slots[np.concatenate(epoch(data, 0))])[0]))
    assert both < 2 * every, "the two do not read everything each"


def test_occurrences() -> None:
    assert occurrences(np.array([], dtype=np.int64)).tolist() == []
    assert occurrences(np.array([4, 4, 1, 4])).tolist() == [0, 1, 0, 2]


def test_what_is_held_stays_while_others_come_and_go(sets: tuple[Dataset, Dataset]) -> None:
    plain, data = sets
    assert data.images.shards is not None
    rows = data.rows("train")
    held = rows[:3]
    steps = [np.concatenate([held[[number % 3]], rows[3 + 4 * number : 7 + 4 * number]]) for number in range(8)]
    stream = Stream(data.images.shards, [data.images.slots[each] for each in steps], data.images.slots[held])
    for step in steps:
        assert np.array_equal(stream.take(), plain.take(step))
    stream.close()
