"""The eight symmetries of a square: all results of turning and mirroring a picture."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Name: whether the picture is transposed, then whether its rows, and its columns, are reversed. Rotations are
# counterclockwise.
SYMMETRIES = {
    "none": (False, False, False),
    "mirror": (False, False, True),
    "flip": (False, True, False),
    "rotate 180": (False, True, True),
    "transpose": (True, False, False),
    "rotate 90": (True, True, False),
    "rotate 270": (True, False, True),
    "transverse": (True, True, True),
}
NAMES = tuple(SYMMETRIES)


def turned(pictures: NDArray[Any], symmetry: int) -> NDArray[Any]:
    """Pictures [N, S, S] turned by a symmetry (its number in `NAMES`), as a view."""
    transposed, rows, columns = SYMMETRIES[NAMES[symmetry]]
    pictures = pictures.transpose(0, 2, 1) if transposed else pictures
    return pictures[:, :: -1 if rows else 1, :: -1 if columns else 1]


def turned_spectrum(spectra: NDArray[np.float32], symmetry: int) -> NDArray[np.float32]:
    """Cosine transforms [N, K, K] of the turned pictures, computed from the transforms of the pictures.

    A reversed axis changes the sign of its odd coefficients, and a transposed picture has the transposed transform. So
    each picture is transformed once and not eight times.
    """
    transposed, rows, columns = SYMMETRIES[NAMES[symmetry]]
    spectra = spectra.transpose(0, 2, 1) if transposed else spectra
    odd = np.where(np.arange(spectra.shape[1]) % 2, -1, 1).astype(np.float32)
    spectra = spectra * odd[:, None] if rows else spectra
    return spectra * odd if columns else spectra


def composed(first: int, second: int) -> int:
    """The symmetry that has the effect of `first` and then `second`."""
    probe = np.arange(4).reshape(1, 2, 2)
    wanted = turned(turned(probe, first), second)
    return next(number for number in range(len(NAMES)) if (turned(probe, number) == wanted).all())


def inverse(symmetry: int) -> int:
    """The symmetry that undoes this one."""
    return next(number for number in range(len(NAMES)) if composed(symmetry, number) == 0)
