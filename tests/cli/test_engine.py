"""The options of the engine: what is wrong with them is one sentence, before anything is read or written."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

Answer = Callable[..., tuple[int, str, str]]
COMMANDS = ("encode", "index", "audit", "predict")


def words(command: str, run: Path, place: Path) -> list[object]:
    """A command that would work."""
    if command == "audit":
        return [command, place, "--out", place / "out"]
    return [command, run, place, "--out", place / ("said.csv" if command == "predict" else "out")]


@pytest.mark.parametrize("command", COMMANDS)
def test_words_that_are_wrong(ccxr: Answer, tmp_path: Path, command: str) -> None:
    given = words(command, tmp_path, tmp_path)
    code, _, said = ccxr(*given, "--engine", "rya")
    assert code == 2
    assert "--engine rya: is not one of embedded, ray (did you mean 'ray'?)" in said
    code, _, said = ccxr(*given, "--address", "auto")
    assert code == 2
    assert "--address auto: belongs to --engine ray; give both, or leave it out" in said
    code, _, said = ccxr(*given, "--engine", "ray", "--address", "head")
    assert code == 2
    assert "--address head: must be auto, or HOST:PORT" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", COMMANDS)
def test_an_address_that_does_not_answer(ccxr: Answer, tmp_path: Path, command: str) -> None:
    pytest.importorskip("ray")
    with socket.socket() as held:  # bound, and nobody listens
        held.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{held.getsockname()[1]}"
        code, _, said = ccxr(*words(command, tmp_path, tmp_path), "--engine", "ray", "--address", address)
    assert code == 2
    assert f"--address {address}: nothing answers there" in said
    assert list(tmp_path.iterdir()) == []


def test_every_fault_at_once(ccxr: Answer, tmp_path: Path) -> None:
    code, _, said = ccxr("encode", tmp_path / "none", tmp_path / "no-images", "--out", "v", "--engine", "spark")
    assert code == 2
    assert "no such run folder" in said
    assert "no such file or folder" in said
    assert "--engine spark: is not one of" in said


def test_a_published_encoder_is_no_work_for_ray(ccxr: Answer, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    code, _, said = ccxr("index", tmp_path, "--encoder", "resnet18", "--out", tmp_path / "out", "--engine", "ray")
    assert code == 2
    assert "--engine ray is for the model of a run; leave it out with --encoder" in said


def test_processes_of_torchrun_are_refused(
    ccxr: Answer, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray")
    monkeypatch.setenv("WORLD_SIZE", "2")
    code, _, said = ccxr("encode", finished, "test", "--out", tmp_path / "out", "--engine", "ray")
    assert code == 2
    assert "--engine ray: is not for torchrun" in said
