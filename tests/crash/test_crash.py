"""Killed at random moments and resumed, a life ends as one left alone; and the driver would see it if it did not."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch

from contrastive_cxr.data.cache_files import TABLES
from contrastive_cxr.run import checkpoint, folder
from tests.crash.life import alone, commands, drawn, in_order, left_alone, lived
from tests.crash.moments import ANY, MOMENTS, POINTS, STAGES, Plan
from tests.crash.same import differences
from tests.crash.sitting import Ended, forked, fresh

# The sittings are forks of the process that runs the tests: a new one would import for longer than it runs. At one
# thread a process (OMP_NUM_THREADS=1, as `make` sets it) the threads that it has beside are pytest-xdist's, which wait.
FIRST_PHASE = ("embed=null", "finetune=null")


def test_two_kills_cost_nothing(tmp_path: Path) -> None:
    """One in the writing of a checkpoint, which is left cut in half; one while the index takes its place."""
    place = tmp_path / "life"
    lines = commands(place, *FIRST_PHASE, all_of_them=False)
    seen = left_alone(place, lines)
    checkpoint = seen["run"].calls["checkpoint writing"][3][0]
    torn = 1 + sum(begun < checkpoint for begun, _ in seen["run"].calls["os:fsync"])
    plans = {"run": [Plan("os:fsync", torn, 0.5)], "index": [Plan("os:replace", 3, 0.5)]}
    life = lived(place, lines, plans)
    assert [kill.plan.moment for kill in life.kills] == ["os:fsync", "os:replace"]
    assert not life.lost, life.lost
    assert not differences(alone(place), place)


@pytest.mark.slow
def test_ten_kills_cost_nothing(tmp_path: Path) -> None:
    """Four planned lives of the benchmark, and one kill of a process that was not forked."""
    place = tmp_path / "life"
    lines = commands(place)
    seen = left_alone(place, lines)
    assert set(MOMENTS) == {moment for ended in seen.values() for moment in ended.calls}, "a moment never comes"
    kills, number = 0, 0
    while kills < 9:
        plans = drawn(seen, 4, np.random.default_rng([1, number]))
        life = lived(place, lines, plans)
        assert not life.lost, life.lost
        assert not differences(alone(place), place), plans
        kills, number = kills + len(life.kills), number + 1
    shutil.rmtree(place)
    begun = seen["run"].calls["optimizer step"][5]
    ended = fresh(lines["run"], tmp_path / "fresh.log", Plan("optimizer step", 6, 0.5, begun[1]))
    assert ended.killed, ended.said
    for words in lines.values():
        assert forked(words, tmp_path / "fresh.log").code == 0
    assert not differences(alone(place), place)


@pytest.mark.slow
def test_signals_are_answered_everywhere(tmp_path: Path) -> None:
    """While decoding, training, validating, reporting, building an index; each time the command then goes on."""
    place = tmp_path / "life"
    lines = commands(place, *FIRST_PHASE, all_of_them=False)
    seen = left_alone(place, lines)
    asked = [
        ("run", "decoding", 5, signal.SIGTERM),
        ("run", "optimizer step", 3, signal.SIGUSR1),
        ("run", "validation", 1, signal.SIGINT),
        ("run", "report writing", 1, signal.SIGUSR1),
        ("index", "index building", 1, signal.SIGTERM),
    ]
    for name, moment, call, number in asked:
        took = seen[name].calls[moment][call - 1][1]
        ended = forked(lines[name], place.with_suffix(".log"), Plan(moment, call, 0.3, took, number))
        assert ended.code == 128 + number, f"{moment}: {ended.said[-2000:]}"
        if name == "run" and moment == "report writing":
            assert forked(lines["run"], place.with_suffix(".log")).code == 0
    for words in lines.values():
        assert forked(words, place.with_suffix(".log")).code == 0
    assert not differences(alone(place), place)


def test_plans_are_put_in_the_order_of_their_times() -> None:
    seen = Ended(0, "", {"decoding": [(0.0, 1.0), (1.0, 1.0)], "optimizer step": [(2.0, 1.0), (3.0, 1.0), (4.0, 1.0)]})
    plans = [Plan("optimizer step", 3, 0.5), Plan("decoding", 2, 0.5), Plan("optimizer step", 2, 0.5)]
    found = [(plan.moment, plan.call) for plan in in_order(plans, seen)]
    # when the third step is killed, two steps had begun: the sitting that goes on counts them no more
    assert found == [("decoding", 2), ("optimizer step", 2), ("optimizer step", 1)]


def test_plans_are_drawn_evenly_over_the_moments_and_within_their_calls() -> None:
    calls = {moment: [(float(number), 0.5) for number in range(3)] for moment in (*STAGES, *POINTS)}
    seen = {"run": Ended(0, "", {**calls, ANY: [(0.0, 9.0)]}), "index": Ended(0, "", {ANY: [(0.0, 1.0)]})}
    rng, count = np.random.default_rng(0), 2000
    plans = [(name, plan) for _ in range(count) for name, each in drawn(seen, 1, rng).items() for plan in each]
    expected = count / len(MOMENTS)
    for moment in MOMENTS:
        calls = [plan.call for _, plan in plans if plan.moment == moment]
        assert abs(len(calls) - expected) < 5 * expected**0.5, moment
        assert set(calls) == ({1} if moment == ANY else {1, 2, 3})
    assert {plan.moment for name, plan in plans if name == "index"} == {ANY}


def a_life(place: Path) -> Path:
    """One file of each kind that a life leaves."""
    phase, cache = place / "run" / "embed", place / "cache" / "0a1b"
    cache.mkdir(parents=True)
    folder.write_text(phase / "metrics.jsonl", '{"epoch": 1, "step": 7}\n')
    folder.write_text(phase / "timing.jsonl", f'{{"epoch": 1, "seconds": {time.monotonic()}}}\n')
    folder.write_json(phase / "done.json", {"epochs": 1, "seconds": time.monotonic()})
    folder.write_json(place / "run" / "report.json", {"scores": [{"value": 0.5}], "minutes": time.monotonic()})
    folder.write_text(place / "run" / "report.html", f"<html>{time.monotonic()}</html>")
    folder.write_array(phase / "vectors.npy", np.eye(3, dtype=np.float32))
    checkpoint.save(phase / "last.ckpt", {"seconds": time.monotonic(), "weights": torch.ones(2)})
    with closing(sqlite3.connect(cache / "index.sqlite")) as table:
        table.executescript(TABLES)
        for slot, digest in enumerate("ab"):
            row = (digest, slot, "PNG", "L", 2, 2, 9, 0.0, 255.0, 0, 0, 0, 0, 0)
            table.execute(f"INSERT INTO contents VALUES ({', '.join('?' * len(row))})", row)
            table.execute("INSERT INTO files VALUES (?, ?, 9, ?, ?)", ("root", digest, time.monotonic_ns(), digest))
        table.commit()
    (cache / "images.u8").write_bytes(bytes(range(8)))
    return place


@pytest.mark.parametrize(
    "change",
    ["a file more", "a file less", "a row", "a weight", "a score", "a vector", "a square", "half a page", "an epoch"],
)
def test_the_driver_sees_a_difference(tmp_path: Path, change: str) -> None:
    one, two = a_life(tmp_path / "one"), a_life(tmp_path / "two")
    assert not differences(one, two)
    phase = two / "run" / "embed"
    if change == "a file more":
        (phase / ".model.json.00000000-1.partial").write_text("")
    elif change == "a file less":
        (phase / "done.json").unlink()
    elif change == "a row":
        folder.write_text(phase / "metrics.jsonl", '{"epoch": 1, "step": 8}\n')
    elif change == "a weight":
        checkpoint.save(phase / "last.ckpt", {"seconds": 1.0, "weights": torch.tensor([1.0, 1.0 + 2**-23])})
    elif change == "a score":
        folder.write_json(two / "run" / "report.json", {"scores": [{"value": 0.5000001}], "minutes": 3})
    elif change == "a vector":
        folder.write_array(phase / "vectors.npy", np.eye(3, dtype=np.float64))
    elif change == "a square":
        (two / "cache" / "0a1b" / "images.u8").write_bytes(bytes(range(7)) + b"\x70")
    elif change == "half a page":
        folder.write_text(two / "run" / "report.html", "<html>")
    else:
        folder.write_text(phase / "timing.jsonl", '{"epoch": 1}\n{"epoch": 1}\n')
    assert len(differences(one, two)) == 1


def test_squares_may_lie_in_another_order(tmp_path: Path) -> None:
    """What a killed process had written last is written again, behind."""
    one, two = a_life(tmp_path / "one"), a_life(tmp_path / "two")
    with closing(sqlite3.connect(two / "cache" / "0a1b" / "index.sqlite")) as table:
        table.execute("UPDATE contents SET slot = 2 WHERE digest = 'a'")
        table.commit()
    (two / "cache" / "0a1b" / "images.u8").write_bytes(bytes([9, 9, 9, 9, 4, 5, 6, 7, 0, 1, 2, 3]))
    assert not differences(one, two)
