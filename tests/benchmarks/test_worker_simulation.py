"""The simulation gives what arithmetic gives where arithmetic is possible, and names what bounds a job."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from benchmarks.worker_simulation import Job, Store, Troubles, Worker, simulate, stages

CALM = Troubles(spread=0.0, slow_share=0.0, hours_between_failures=0.0)
FAST = Store(latency=0.0, requests=math.inf, bytes=math.inf)
WORKER = Worker(requests=1, bytes=1e5, decode=0.016, compute=0.002, write=0.0, cores=16)


def job(workers: int, images: float = 400_000, **more: object) -> Job:
    made = Job(images, 1000, workers, driver=0.0, store=FAST, worker=WORKER, troubles=CALM)
    return replace(made, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("workers", [1, 4, 64])
def test_without_troubles_it_is_the_parts_of_the_busiest_worker(workers: int) -> None:
    found = simulate(job(workers))
    assert found.seconds == pytest.approx(math.ceil(400 / workers) * 1000 * 0.002)
    assert found.shares["compute"] == pytest.approx(400 / workers / math.ceil(400 / workers))


def test_the_slowest_stage_of_a_worker_bounds_it() -> None:
    assert simulate(job(4)).bound == "compute"
    slow = replace(WORKER, decode=0.16)
    assert stages(slow, FAST)["decode"] == pytest.approx(0.01)
    found = simulate(job(4, worker=slow))
    assert (found.bound, found.seconds) == ("decode", pytest.approx(100 * 10.0))


def test_latency_is_hidden_by_requests_that_wait_at_once() -> None:
    far = Store(latency=0.1, requests=math.inf, bytes=math.inf)
    assert stages(WORKER, far)["read"] == pytest.approx(0.1 / 64)
    found = simulate(job(1, store=far, worker=replace(WORKER, connections=4)))
    assert (found.bound, found.seconds) == ("read", pytest.approx(400_000 * 0.1 / 4))


def test_a_store_that_all_workers_share_bounds_many_of_them() -> None:
    store = Store(latency=0.0, requests=5000, bytes=math.inf)
    few, many = simulate(job(4, store=store)), simulate(job(64, store=store))
    assert few.bound == "compute"
    assert many.bound == "store"
    assert many.seconds == pytest.approx(400_000 / 5000, rel=0.1)


def test_one_driver_bounds_many_workers_with_small_parts() -> None:
    found = simulate(job(64, driver=0.1))
    assert found.bound == "driver"
    assert found.seconds == pytest.approx(400 * 0.1, rel=0.1)


def test_failures_lose_parts_and_nothing_else() -> None:
    often = replace(CALM, hours_between_failures=0.01, restart=5.0)
    found, calm = simulate(job(8, troubles=often)), simulate(job(8))
    assert found.seconds > calm.seconds
    done = found.shares["compute"] * found.seconds * 8
    assert done == pytest.approx(400 * 2.0), "every part was done once"
    assert found.shares["failures"] > 0.1


def test_slow_parts_make_a_tail_where_there_are_few() -> None:
    slow = replace(CALM, slow_share=0.05, slow_factor=10.0)
    found = simulate(job(64, images=128_000, troubles=slow))
    assert found.shares["tail"] > 0.25
    assert found.bound == "tail"


def test_a_job_of_many_parts_is_simulated_by_fewer_and_costs_the_same() -> None:
    found = simulate(job(4, images=40_000_000, driver=0.001))
    assert found.seconds == pytest.approx(40_000_000 * 0.002 / 4, rel=0.02)
    assert found.shares["driver"] == pytest.approx(40_000 * 0.001 / found.seconds, rel=0.02)
