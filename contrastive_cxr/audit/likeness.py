"""Whether two pictures are the same picture: the correlation of their fine detail, in 16 parts of the picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from contrastive_cxr.audit import alignment
from contrastive_cxr.audit.candidates import Candidates
from contrastive_cxr.audit.symmetries import NAMES, turned

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

# Least correlation of detail, and of finer detail, of a confirmed pair. Chosen on painted phantoms and checked on real
# images: docs/reference/audit.md.
SAME, FINER = 0.965, 0.87
MAYBE = 0.6  # least correlation after the rough alignment for the fine alignment
# Two blurs, in pixels of 64: detail finer than the first is noise, detail coarser than the second is anatomy.
DETAIL, FINE_DETAIL, ANATOMY = (0.7, 2.5), (0.5, 1.5), (1.0, 4.0)
_STEPS = 4  # of the fine alignment
_CELLS = 4  # along each side
_FAINT = 1.5  # grey levels: a cell whose detail has a smaller standard deviation is not compared
_FEWEST = 6  # cells that must be comparable
_BLOCK = 256


def confirm(pictures: NDArray[np.uint8], pairs: Candidates) -> tuple[Ints, Floats, Floats]:
    """The pairs that show one picture, each with its best symmetry.

    Parameters
    ----------
    pictures : uint8 [N, 64, 64]
    pairs : M of them

    Returns
    -------
    int64 [K], rows of `pairs`
    float32 [K], their correlation, as from `likeness`
    float32 [K, 4], where the second picture lies in the turned first one (`alignment.align`)
    """
    return kept(pairs, *likeness(pictures, pairs))


def kept(pairs: Candidates, correlation: Floats, finer: Floats, placement: Floats) -> tuple[Ints, Floats, Floats]:
    """The confirmed of the pairs whose likeness is known; what it gives is said at `confirm`."""
    rows = np.flatnonzero((correlation >= SAME) & (finer >= FINER))
    rows = rows[np.argsort(-correlation[rows], kind="stable")]
    ends = np.sort(np.stack([pairs.first[rows], pairs.second[rows]], axis=1), axis=1)
    rows = np.sort(rows[np.unique(ends, axis=0, return_index=True)[1]])
    return rows, correlation[rows], placement[rows]


def likeness(pictures: NDArray[np.uint8], pairs: Candidates) -> tuple[Floats, Floats, Floats]:
    """How similar the pairs are after alignment.

    The picture is divided into 16 parts, and the correlation is computed in each part. The lower quartile counts: so an
    arrow or a letter drawn into a copy does not hide it, and two slices with the same chest wall are not one picture.

    Parameters
    ----------
    pictures : uint8 [N, 64, 64]
    pairs : M of them

    Returns
    -------
    float32 [M], -1..1: correlation of the detail (after the rough alignment, if the pair is too different there)
    float32 [M], -1..1: correlation of the finer detail; -1 if the pair was too different after the rough alignment
    float32 [M, 4]: placements
    """
    found, finer = np.empty(len(pairs), np.float32), np.full(len(pairs), -1, np.float32)
    placements = np.empty((len(pairs), 4), np.float32)
    for number in range(len(NAMES)):
        rows = np.flatnonzero(pairs.symmetry == number)
        for start in range(0, len(rows), _BLOCK):
            part = rows[start : start + _BLOCK]
            first = turned(pictures[pairs.first[part]], number).astype(np.float32)
            second = pictures[pairs.second[part]].astype(np.float32)
            placement = alignment.align(first, second, alignment.start_of(pairs.crop[part]))
            found[part] = _alike(first, second, placement, DETAIL)
            maybe = found[part] >= MAYBE
            part, first, second = part[maybe], first[maybe], second[maybe]
            placements[rows[start : start + _BLOCK]] = placement
            if len(part):
                one, other = (detail(each, ANATOMY) for each in (first, second))
                placements[part] = alignment.refine(one, other, placement[maybe], _STEPS)
                found[part] = _alike(first, second, placements[part], DETAIL)
                finer[part] = _alike(first, second, placements[part], FINE_DETAIL)
    return found, finer, placements


def detail(pictures: Floats, band: tuple[float, float]) -> Floats:
    """The detail between two blurs (pixels): the difference of the blurred pictures, grey levels."""
    fine, coarse = (gaussian_filter(pictures, (0, blur, blur)) for blur in band)
    return np.asarray(fine - coarse)


def _alike(first: Floats, second: Floats, placement: Floats, band: tuple[float, float]) -> Floats:
    """Lower quartile of the parts' correlations, float32 [P]; 0 if too few parts are comparable."""
    moved, inside = alignment.place(first, placement)
    counted = _cells(inside.astype(np.float32))
    n = counted.sum(axis=2)
    one, other = (_centred(_cells(detail(each, band)), counted, n) for each in (moved, second))
    ones, others = (one**2).sum(axis=2), (other**2).sum(axis=2)
    enough = (n > counted.shape[2] / 2) & (np.minimum(ones, others) > n * _FAINT**2)
    correlation = (one * other).sum(axis=2) / np.sqrt(np.maximum(ones * others, 1e-6))
    # parts that are not comparable are sorted to the end; the quartile is taken by its place among the others
    ordered = np.sort(np.where(enough, correlation, np.inf), axis=1)
    there = enough.sum(axis=1)
    quartile = ordered[np.arange(len(ordered)), np.maximum(there - 1, 0) // 4]
    return np.where(there >= _FEWEST, quartile, 0).astype(np.float32)


def _cells(pictures: Floats) -> Floats:
    """Pictures [P, S, S] as [P, 16, (S / 4)^2]."""
    cell = pictures.shape[-1] // _CELLS
    apart = pictures.reshape(len(pictures), _CELLS, cell, _CELLS, cell).transpose(0, 1, 3, 2, 4)
    return apart.reshape(len(pictures), _CELLS**2, cell * cell)


def _centred(values: Floats, counted: Floats, n: Floats) -> Floats:
    """Values minus their mean over the pixels that count; 0 at the other pixels."""
    mean = (values * counted).sum(axis=2) / np.maximum(n, 1)
    return np.asarray((values - mean[:, :, None]) * counted)
