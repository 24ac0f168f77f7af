"""The thread of the networks, with works that can be held up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from contrastive_cxr.server.batcher import Batcher
from contrastive_cxr.server.refusals import Refusal


class Works:
    """Works that note their batches and wait for the gate."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = threading.Event()
        self.gate.set()

    def double(self, items: list[int]) -> Any:
        self.gate.wait(60)
        self.batches.append(items)
        return np.array(items) * 2

    def fail(self, items: list[int]) -> Any:
        raise MemoryError("too large")


@pytest.fixture
def works() -> Works:
    return Works()


@pytest.fixture
def batcher(works: Works) -> Iterator[Batcher]:
    made = Batcher({"double": works.double, "fail": works.fail}, most=4, wait=0.2, queue=10)
    made.start()
    yield made
    works.gate.set()
    made.stop(60)
    assert not made.alive


def same(found: Any) -> list[int]:
    return [int(value) for value in found]


def test_requests_of_the_same_time_go_together_and_get_their_own(batcher: Batcher, works: Works) -> None:
    async def ask() -> list[Any]:
        return await asyncio.gather(*(batcher.submit("double", [n, n + 10], same) for n in range(2)))

    assert asyncio.run(ask()) == [[0, 20], [2, 22]]
    assert works.batches == [[0, 10, 1, 11]]


def test_no_batch_is_larger_than_the_most(batcher: Batcher, works: Works) -> None:
    async def ask() -> list[Any]:
        return await asyncio.gather(*(batcher.submit("double", list(range(n, n + 3)), same) for n in (0, 3, 6)))

    assert asyncio.run(ask()) == [[0, 2, 4], [6, 8, 10], [12, 14, 16]]
    assert all(len(batch) <= 4 for batch in works.batches)
    assert asyncio.run(batcher.submit("double", list(range(9)), same)) == [2 * n for n in range(9)]
    assert [len(batch) for batch in works.batches[-3:]] == [4, 4, 1]


def test_a_full_queue_refuses_and_says_when_to_come_again(batcher: Batcher, works: Works) -> None:
    async def ask() -> list[Any]:
        works.gate.clear()
        first = asyncio.ensure_future(batcher.submit("double", [1, 2, 3, 4], same))
        await asyncio.sleep(0)
        while batcher.waiting:  # until the thread has taken it
            await asyncio.sleep(0.01)
        waiting = [asyncio.ensure_future(batcher.submit("double", [n], same)) for n in range(10)]
        await asyncio.sleep(0)
        with pytest.raises(Refusal) as refused:
            await batcher.submit("double", [99], same)
        assert refused.value.status == 503
        assert refused.value.retry is not None
        works.gate.set()
        return [await first, *(await asyncio.gather(*waiting))]

    assert asyncio.run(ask()) == [[2, 4, 6, 8], *([2 * n] for n in range(10))]
    assert batcher.waiting == 0


def test_what_nobody_waits_for_is_not_worked_on(batcher: Batcher, works: Works) -> None:
    async def ask() -> None:
        works.gate.clear()
        first = asyncio.ensure_future(batcher.submit("double", [1, 2, 3, 4], same))
        await asyncio.sleep(0.1)
        gone = asyncio.ensure_future(batcher.submit("double", [7], same))
        stays = asyncio.ensure_future(batcher.submit("double", [8], same))
        await asyncio.sleep(0.05)
        gone.cancel()
        await asyncio.sleep(0.05)
        assert batcher.waiting == 1
        works.gate.set()
        assert await first == [2, 4, 6, 8]
        assert await stays == [16]

    asyncio.run(ask())
    assert works.batches == [[1, 2, 3, 4], [8]]


def test_an_error_is_of_its_requests_alone_and_the_thread_lives_on(batcher: Batcher) -> None:
    def wrong(found: Any) -> Any:
        raise KeyError("mine")

    async def ask() -> list[Any]:
        work = [batcher.submit("double", [1], wrong), batcher.submit("double", [2], same)]
        return await asyncio.gather(*work, return_exceptions=True)

    wrongly, right = asyncio.run(ask())
    assert isinstance(wrongly, KeyError)
    assert right == [4]
    with pytest.raises(MemoryError):
        asyncio.run(batcher.submit("fail", [1], same))
    assert asyncio.run(batcher.submit("double", [3], same)) == [6]
    assert asyncio.run(batcher.submit("", ["as it is"], list)) == ["as it is"]


def test_the_end_finishes_what_waits(works: Works) -> None:
    made = Batcher({"double": works.double}, most=1, wait=0, queue=10)
    made.start()

    async def ask() -> list[Any]:
        works.gate.clear()
        work = [asyncio.ensure_future(made.submit("double", [n], same)) for n in range(3)]
        await asyncio.sleep(0.05)
        stopping = asyncio.get_running_loop().run_in_executor(None, made.stop, 60)
        await asyncio.sleep(0.05)
        with pytest.raises(Refusal, match="ends"):
            await made.submit("double", [9], same)
        works.gate.set()
        await stopping
        return await asyncio.gather(*work)

    assert asyncio.run(ask()) == [[0], [2], [4]]
    assert not made.alive
