"""The words of an engine, and calls in this process."""

from __future__ import annotations

import importlib.util
import sys

import pytest

from contrastive_cxr.spread import Engine, Here


def times(left: int, right: int) -> int:
    return left * right


def parts(value: int) -> tuple[int, int]:
    return value, value + 1


def test_calls_here_are_plain_calls() -> None:
    here = Here()
    assert list(here.results(times, [(2, 3), (4, 5)])) == [6, 20]
    assert here.kept(times, iter([(2, 3)])) == [6]
    assert here.kept(parts, [(1,), (5,)], parts=2) == [[1, 2], [5, 6]]
    assert list(here.results(times, zip(*here.kept(parts, [(1,), (5,)], parts=2), strict=True))) == [5, 12]


@pytest.mark.parametrize(
    ("name", "address", "words"),
    [
        ("rya", None, "--engine rya: is not one of embedded, ray (did you mean 'ray'?)"),
        ("spark", "auto", "--engine spark: is not one of embedded, ray"),
        ("embedded", "auto", "--address auto: belongs to --engine ray"),
        ("ray", "ray://head:10001", "a Ray Client is not taken"),
        ("ray", "head", "--address head: must be auto, or HOST:PORT"),
        ("ray", "head:70000", "--address head:70000: must be auto, or HOST:PORT"),
        ("ray", ":6379", "--address :6379: must be auto, or HOST:PORT"),
    ],
)
def test_wrong_words_are_one_sentence(name: str, address: str | None, words: str) -> None:
    found = Engine(name, address).faults()
    assert len([line for line in found if "not installed" not in line]) == 1
    assert words in found[0]


def test_right_words_are_none() -> None:
    assert Engine().faults() == []
    if importlib.util.find_spec("ray"):
        assert [Engine("ray", address).faults() for address in (None, "auto", "10.0.0.1:6379")] == [[], [], []]


def test_without_ray_the_install_line_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)  # as where it is not installed: find_spec raises or gives None
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "ray" else real(name))
    assert Engine("ray").faults() == ["--engine ray: Ray is not installed; pip install 'contrastive_cxr[ray]'"]
    assert Engine("ray", "nowhere").faults()[0].startswith("--address nowhere"), "every fault at once"
    assert len(Engine("ray", "nowhere").faults()) == 2
