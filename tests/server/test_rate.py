"""The bucket of a client, by a clock that the test turns."""

from __future__ import annotations

import pytest

from contrastive_cxr.server import rate
from contrastive_cxr.server.rate import Rate


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_passes_and_then_one_a_period() -> None:
    clock = Clock()
    made = Rate(2.0, 3, clock)
    assert [made.wait("192.0.2.1") for _ in range(3)] == [0, 0, 0]
    assert made.wait("192.0.2.1") == pytest.approx(0.5)
    clock.now += 0.4
    assert made.wait("192.0.2.1") == pytest.approx(0.1)  # what was refused took nothing
    clock.now += 0.1
    assert made.wait("192.0.2.1") == 0
    clock.now += 3600
    assert [made.wait("192.0.2.1") for _ in range(3)] == [0, 0, 0]
    assert made.wait("192.0.2.1") > 0, "a bucket holds no more than the burst"


def test_clients_have_buckets_of_their_own_and_an_ipv6_network_one() -> None:
    made = Rate(1.0, 1, Clock())
    assert made.wait("192.0.2.1") == made.wait("192.0.2.2") == 0
    assert made.wait("2001:db8:0:1::1") == 0
    assert made.wait("2001:db8:0:1:ffff::2") > 0
    assert made.wait("2001:db8:0:2::1") == 0


def test_no_rate_is_no_limit_and_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert all(Rate(0, 1).wait("a") == 0 for _ in range(100))
    monkeypatch.setattr(rate, "KNOWN", 10)
    made = Rate(1.0, 1, Clock())
    for number in range(100):
        made.wait(f"10.0.0.{number}")
    assert len(made._buckets) == 10
