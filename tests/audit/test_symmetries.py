"""The eight symmetries, against numpy's and Pillow's own."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from scipy.fft import dctn

from contrastive_cxr.audit.symmetries import NAMES, composed, inverse, turned, turned_spectrum

PICTURES = np.random.default_rng(0).integers(0, 256, (3, 8, 8), dtype=np.uint8)
PILLOW = {
    "mirror": Image.Transpose.FLIP_LEFT_RIGHT,
    "flip": Image.Transpose.FLIP_TOP_BOTTOM,
    "rotate 180": Image.Transpose.ROTATE_180,
    "transpose": Image.Transpose.TRANSPOSE,
    "rotate 90": Image.Transpose.ROTATE_90,
    "rotate 270": Image.Transpose.ROTATE_270,
    "transverse": Image.Transpose.TRANSVERSE,
}


@pytest.mark.parametrize("name", PILLOW)
def test_as_pillow_does(name: str) -> None:
    for picture, found in zip(PICTURES, turned(PICTURES, NAMES.index(name)), strict=True):
        assert (found == np.asarray(Image.fromarray(picture).transpose(PILLOW[name]))).all()


@pytest.mark.parametrize("number", range(8))
def test_the_spectrum_of_a_turned_picture(number: int) -> None:
    spectra = dctn(PICTURES.astype(np.float32), axes=(1, 2), norm="ortho")
    again = dctn(turned(PICTURES, number).astype(np.float32), axes=(1, 2), norm="ortho")
    np.testing.assert_allclose(turned_spectrum(spectra, number), again, atol=1e-3)


@pytest.mark.parametrize("first", range(8))
def test_composition_and_inverse(first: int) -> None:
    assert (turned(turned(PICTURES, first), inverse(first)) == PICTURES).all()
    for second in range(8):
        both = turned(turned(PICTURES, first), second)
        assert (turned(PICTURES, composed(first, second)) == both).all()
