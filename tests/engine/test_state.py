"""The tally of an epoch, against a slow loop."""

from __future__ import annotations

import math

import pytest
import torch

from contrastive_cxr.engine.state import EpochMetrics

NAMES = ["loss", "mined", "never"]
STEPS = [([0.5, 3.0, math.nan], 4), ([math.nan, 1.0, math.nan], 2), ([0.25, 0.0, math.nan], 3)]


def tally(steps: list[tuple[list[float], int]], first: EpochMetrics | None = None) -> EpochMetrics:
    made = first or EpochMetrics()
    for values, images in steps:
        made.add(NAMES, torch.tensor(values, dtype=torch.float64), {"p": torch.full((images, 2), values[1])}, images)
    return made


def slow(place: int) -> float:
    there = [(values[place], images) for values, images in STEPS if not math.isnan(values[place])]
    return sum(value * images for value, images in there) / sum(images for _, images in there) if there else math.nan


def test_means_are_over_the_images_that_had_a_value() -> None:
    found = tally(STEPS).means()
    assert list(found) == NAMES
    assert found == pytest.approx({name: slow(place) for place, name in enumerate(NAMES)}, nan_ok=True)


def test_a_tally_goes_on_from_a_checkpoint() -> None:
    half = EpochMetrics.from_state(tally(STEPS[:2]).state_dict(), torch.device("cpu"))
    whole, resumed = tally(STEPS), tally(STEPS[2:], half)
    assert resumed.means() == pytest.approx(whole.means(), rel=0, abs=0, nan_ok=True)
    assert (resumed.arrays()["p"] == whole.arrays()["p"]).all()
    assert whole.arrays()["p"].shape == (9, 2)


def test_an_empty_tally_is_saved_and_read() -> None:
    again = EpochMetrics.from_state(EpochMetrics().state_dict(), torch.device("cpu"))
    assert again.means() == {}
    assert tally(STEPS, again).means() == pytest.approx(tally(STEPS).means(), nan_ok=True)


def test_steps_give_the_same_values() -> None:
    made = tally(STEPS[:1])
    with pytest.raises(AssertionError, match="other"):
        made.add(["other"], torch.zeros(1, dtype=torch.float64), {}, 1)
