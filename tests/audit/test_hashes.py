"""The hash: a slow transform, crops, and what a change of brightness leaves alone."""

from __future__ import annotations

import numpy as np

from contrastive_cxr.audit import hashes

PICTURES = np.random.default_rng(0).integers(0, 200, (9, 64, 64), dtype=np.uint8)


def test_spectra_by_hand() -> None:
    """Sums of pixels times cosines, of the means of 2 x 2 pixels."""
    means = PICTURES[0].reshape(32, 2, 32, 2).mean(axis=(1, 3))
    places = np.arange(32) + 0.5
    for row, column in ((0, 1), (3, 0), (5, 7), (15, 15)):
        waves = np.cos(np.pi * row * places / 32)[:, None] * np.cos(np.pi * column * places / 32)
        scale = np.prod([np.sqrt((1 if number == 0 else 2) / 32) for number in (row, column)])
        found = hashes.spectra(PICTURES[:1])[0, row, column]
        assert np.isclose(found, scale * (means * waves).sum(), rtol=1e-3, atol=0.01)


def test_a_crop_is_the_spectrum_of_the_part() -> None:
    part = np.repeat(np.repeat(PICTURES[:, 16:48, 8:40], 2, axis=1), 2, axis=2)
    found = hashes.spectra(PICTURES, (0.125, 0.25, 0.375, 0.25))
    np.testing.assert_allclose(found, hashes.spectra(part), rtol=1e-3, atol=0.05)


def test_brightness_changes_no_bit_and_contrast_no_direction() -> None:
    some = PICTURES[:8]  # of an even number no one is the median itself
    plain = hashes.spectra(some)
    common = hashes.usual(plain)
    assert (hashes.bits(hashes.spectra(some + np.uint8(50)), common) == hashes.bits(plain, common)).all()
    assert hashes.bits(plain, common).shape == (8, 32)
    relative = hashes.relative(plain, common)
    np.testing.assert_allclose(np.linalg.norm(relative, axis=1), 1, rtol=1e-5)
    assert (relative[:, 0] == 0).all()


def test_half_of_a_set_lies_above_the_usual() -> None:
    many = np.random.default_rng(1).integers(0, 200, (21, 64, 64), dtype=np.uint8)
    plain = hashes.spectra(many)
    ones = np.unpackbits(hashes.bits(plain, hashes.usual(plain)), axis=1)[:, 1:]
    assert (ones.sum(axis=0) == 10).all(), "of 21 pictures ten lie above the median"


def test_of_two_equal_pictures_the_relative_spectra_are_equal() -> None:
    plain = hashes.spectra(PICTURES[:1].repeat(2, axis=0))
    relative = hashes.relative(plain, hashes.usual(plain))
    assert np.isclose((relative[0] * relative[1]).sum(), 1, atol=1e-5)


def test_pictures_of_one_grey_have_a_hash() -> None:
    even = hashes.spectra(np.full((3, 64, 64), 7, np.uint8))
    assert np.isfinite(hashes.relative(even, hashes.usual(even))).all()
