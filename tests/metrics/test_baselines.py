"""The thumbnail forest: area averages by hand, and a forest that finds a bright corner."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

from contrastive_cxr.metrics import baselines


def test_thumbnails_are_area_averages() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 1, 96, 96), dtype=np.uint8)
    expected = images.reshape(2, 32, 3, 32, 3).mean(axis=(2, 4)).reshape(2, -1)
    assert baselines.thumbnails(images) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("size", [20, 45, 100])
def test_thumbnails_of_any_size_keep_the_mean(size: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 1, size, size), dtype=np.uint8)
    small = baselines.thumbnails(images)
    assert small.shape == (2, 1024)
    assert small.mean(1) == pytest.approx(images.mean(axis=(1, 2, 3)), abs=1e-2)


@pytest.mark.parametrize("large", [baselines.LARGE, 1])
def test_forest_finds_a_bright_corner_and_repeats_itself(large: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "LARGE", large)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 100, (60, 1, 40, 40), dtype=np.uint8)
    labels = rng.integers(0, 2, 60) * 2  # class 1 has no training rows
    images[labels == 2, :, :10, :10] += 100
    found = baselines.thumbnail_forest(images[:40], labels[:40], images[40:], 3, seed=2**40 + 1)
    assert found.shape == (20, 3)
    assert (found[:, 1] == 0).all()
    assert (found.argmax(1) == labels[40:]).mean() > 0.9
    again = baselines.thumbnail_forest(images[:40], labels[:40], images[40:], 3, seed=2**40 + 1)
    assert (found == again).all()


def test_a_large_table_gets_extremely_randomised_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    known, asked = rng.random((50, 9), dtype=np.float32), rng.random((8, 9), dtype=np.float32)
    labels = (known[:, 0] > 0.5).astype(np.int64)
    monkeypatch.setattr(baselines, "LARGE", known.size)
    expected = ExtraTreesClassifier(500, max_features=9, random_state=3).fit(known, labels).predict_proba(asked)
    assert baselines.forest(known, labels, asked, 2, 3) == pytest.approx(expected)
    plain = RandomForestClassifier(500, random_state=3).fit(known[1:], labels[1:]).predict_proba(asked)
    assert baselines.forest(known[1:], labels[1:], asked, 2, 3) == pytest.approx(plain)


def facts_of(n: int, **columns: object) -> pd.DataFrame:
    plain = {"format": "PNG", "mode": "L", "width": 96, "height": 64, "bytes": 1000}
    pads = {f"pad_{side}": 0 for side in ("left", "top", "right", "bottom")}
    return pd.DataFrame({**plain, **pads, **columns}, index=range(n))


def test_metadata_has_a_column_a_known_word_and_the_numbers() -> None:
    train = facts_of(3, format=["PNG", "JPEG", "PNG"], width=[10, 20, 30], height=[10, 10, 60])
    known, asked = baselines.metadata(train, facts_of(1, format="TIFF", mode="RGB", height=0))
    # JPEG, PNG, L, width, height, bytes, aspect
    assert known.tolist() == [[0, 1, 1, 10, 10, 1000, 1], [1, 0, 1, 20, 10, 1000, 2], [0, 1, 1, 30, 60, 1000, 0.5]]
    assert asked.tolist() == [[0, 0, 0, 96, 0, 1000, 96]]


def test_border_is_the_rim_of_the_picture_without_its_padding() -> None:
    images = np.full((2, 1, 64, 64), 77, dtype=np.uint8)  # padding that must not be seen
    inner = np.zeros((64, 32), dtype=np.uint8)
    inner[:6] = inner[-6:] = 200  # 3 of 32 cells at each side, 2 pixels a cell
    inner[:, :3] = inner[:, -3:] = 200  # 1 pixel a cell
    images[0, 0, :, 16:48] = inner
    images[1, 0, :, 16:48] = 200 - inner
    found = baselines.border(images, facts_of(2, pad_left=16, pad_right=16))
    assert found.shape == (2, 32 * 32 - 26 * 26)
    assert (found[0] == 200).all()
    assert (found[1] == 0).all()


def test_blind_baselines_see_what_they_are_named_after() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 60)
    images = rng.integers(0, 100, (60, 1, 32, 32), dtype=np.uint8)
    images[labels == 1, :, 12:20, 12:20] += 150  # inside: no border, no metadata
    material = baselines.Material(images, facts_of(60, bytes=rng.integers(1000, 2000, 60)))
    train = baselines.Material(images[:40], material.facts[:40])
    scored = baselines.Material(images[40:], material.facts[40:])
    found = dict(baselines.blind(train, labels[:40], scored, 2, seed=1))
    right = {name: (given.argmax(1) == labels[40:]).mean() for name, given in found.items()}
    assert list(right) == ["file metadata", "border, outer 10 %", "32x32 thumbnail"]
    assert right["32x32 thumbnail"] > 0.9
    assert max(right["file metadata"], right["border, outer 10 %"]) < 0.8
    told = facts_of(60, mode=np.where(labels == 1, "RGB", "L"))
    train = baselines.Material(images[:40], told[:40])
    given = dict(baselines.blind(train, labels[:40], baselines.Material(images[40:], told[40:]), 2, seed=1))
    assert (given["file metadata"].argmax(1) == labels[40:]).all()
