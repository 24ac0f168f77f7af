"""What all phases do alike."""

from __future__ import annotations

import pytest

from contrastive_cxr.phases.context import decode_settings, input_size
from contrastive_cxr.recipe import load
from contrastive_cxr.recipe.schema import Phase


def test_the_input_grows_by_16_pixels_to_the_full_size() -> None:
    phase = Phase(epochs=30, initial_image_size=96)
    sizes = [input_size(phase, 160, epoch) for epoch in range(30)]
    assert sizes[0] == 96
    assert sizes == sorted(sizes)
    assert set(sizes) == {96, 112, 128, 144, 160}
    assert sizes[20:] == [160] * 10


@pytest.mark.parametrize("full", [100, 112, 224])
def test_the_input_never_passes_the_full_size(full: int) -> None:
    sizes = [input_size(Phase(epochs=5, initial_image_size=64), full, epoch) for epoch in range(5)]
    assert sizes[-1] == full
    assert max(sizes) == full
    assert {input_size(Phase(epochs=5), full, epoch) for epoch in range(5)} == {full}


def test_decode_settings_are_what_a_file_needs_to_look_alike() -> None:
    settings = decode_settings(load("phantom", ["data.resize=crop", "data.border_crop=0.1"]))
    assert settings["resize"] == "crop"
    assert settings["border_crop"] == 0.1
    assert set(settings) == {"cache_size", "resize", "intensity", "border_crop", "denoise", "equalise", "decoding"}
