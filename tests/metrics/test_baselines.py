"""The blind baselines: area averages and spectra by hand, and forests that find what they are named after."""

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


def test_the_spectrum_is_that_of_a_slow_transform_without_the_padding() -> None:
    rng = np.random.default_rng(2)
    images = rng.integers(0, 256, (1, 1, 24, 24), dtype=np.uint8)
    found = baselines.spectrum(images, facts_of(1, pad_top=4, pad_right=3))[0]
    picture = images[0, 0, 4:, :21].astype(float)
    height, width = picture.shape
    window = np.outer(
        0.5 - 0.5 * np.cos(2 * np.pi * np.arange(height) / (height - 1)),
        0.5 - 0.5 * np.cos(2 * np.pi * np.arange(width) / (width - 1)),
    )
    seen = (picture - picture.mean()) * window
    powers: dict[int, list[float]] = {}
    for down in range(height):
        for right in range(width):
            turns = np.add.outer(down * np.arange(height) / height, right * np.arange(width) / width)
            frequency = np.hypot(min(down, height - down) / height, min(right, width - right) / width)
            powers.setdefault(int(frequency * 32), []).append(abs((seen * np.exp(-2j * np.pi * turns)).sum()) ** 2)
    expected = [np.log1p(np.mean(powers[band])) if band in powers else 0.0 for band in range(16)]
    assert found == pytest.approx(expected, rel=1e-4)


def test_the_spectrum_tells_how_fine_a_pattern_is_and_not_where_it_lies() -> None:
    line = np.arange(64)
    waves = [100 + 50 * np.cos(2 * np.pi * line * rate) for rate in (5 / 64, 20 / 64)]
    images = np.stack([np.tile(wave, (64, 1)) for wave in waves] + [np.tile(waves[1][:, None], 64)])
    found = baselines.spectrum(images[:, None].astype(np.uint8), facts_of(3))
    assert found.argmax(1).tolist() == [2, 10, 10]  # 5 / 64 * 32 = 2.5, 20 / 64 * 32 = 10
    assert found[1] == pytest.approx(found[2], rel=1e-3), "up and down counts as left and right"
    flat = baselines.spectrum(np.full((1, 1, 9, 9), 70, dtype=np.uint8), facts_of(1))
    assert (flat == 0).all()


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
    names = ["file metadata", "border, outer 10 %", "32x32 thumbnail", "power spectrum (sharpness, grain)"]
    assert list(right) == names
    assert right["32x32 thumbnail"] > 0.9
    assert max(right["file metadata"], right["border, outer 10 %"]) < 0.8
    grainy = rng.normal(100, np.where(labels == 1, 12, 6)[:, None, None, None], images.shape).astype(np.uint8)
    train, scored = (baselines.Material(grainy[part], material.facts[part]) for part in (slice(40), slice(40, 60)))
    given = dict(baselines.blind(train, labels[:40], scored, 2, seed=1))
    assert (given["power spectrum (sharpness, grain)"].argmax(1) == labels[40:]).all()
    told = facts_of(60, mode=np.where(labels == 1, "RGB", "L"))
    train = baselines.Material(images[:40], told[:40])
    given = dict(baselines.blind(train, labels[:40], baselines.Material(images[40:], told[40:]), 2, seed=1))
    assert (given["file metadata"].argmax(1) == labels[40:]).all()
