"""What the page shows of a gallery as a whole: computed once, kept beside it, read at the next start."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from contrastive_cxr import cores, terminal
from contrastive_cxr.data.decoding.intensity import DecodeError
from contrastive_cxr.errors import RequestError
from contrastive_cxr.explore import copies, kept, layout
from contrastive_cxr.explore.neighbours import Near, near_rows
from contrastive_cxr.explore.opened import in_memory, recorded_probabilities
from contrastive_cxr.explore.pictures import Pictures, addresses
from contrastive_cxr.inference import loaded_answers
from contrastive_cxr.inference.loaded import LoadedModels, Picture
from contrastive_cxr.retrieval import Gallery

Floats = NDArray[np.float32]
_BATCH = 32


class Computed(NamedTuple):
    """Arrays about the M cases of a gallery.

    Attributes
    ----------
    places : float32 [M, 2], on the map
    near : Near
    copies : int64 [K, 2], pairs of cases that may be one picture
    probabilities : float32 [M, C], NaN where nothing was predicted; None: for no case
    """

    places: Floats
    near: Near
    copies: NDArray[np.int64]
    probabilities: Floats | None


def computed(loaded: LoadedModels, folder: Path, pictures: Pictures, predict: bool = False) -> Computed:
    """The arrays, read from `folder` as far as they are there.

    Parameters
    ----------
    folder : Path
        Where they are kept.
    predict : bool
        Predict all cases, which decodes every image; else what the run's evaluation wrote counts.

    Raises
    ------
    RequestError
        openTSNE is needed and not installed; or a prediction is wanted without a classifier.
    """
    gallery = in_memory(loaded)
    assert gallery is not None, "who asks has opened one"
    if predict and not loaded.classifiers:
        raise RequestError("--predict: the run has no classifier; leave it out")
    texts = [f"{name}\t{patient}" for name, patient in zip(pictures.files, gallery.rows["patient"], strict=True)]
    held = kept.read(folder, kept.identity(gallery.vectors, texts))
    before = len(held.arrays), held.models
    near = _near(held, gallery)
    if "places" not in held.arrays:
        layout.require()
        terminal.stage("laying out the map")
        held.arrays["places"] = layout.layout(np.asarray(gallery.vectors), near.rows, near.gaps, cores.threads())
    if "copies" not in held.arrays:
        terminal.stage("looking for copies")
        held.arrays["copies"] = copies.suspected(gallery.rows, near.rows, near.gaps, pictures)
    models = " ".join(model.digest for model in loaded.classifiers)
    if predict and held.models != models:
        terminal.stage("predicting the cases")
        held.arrays["probabilities"], held.models = predicted(loaded, pictures), models
    if (len(held.arrays), held.models) != before:
        kept.write(folder, held)
    known = held.arrays.get("probabilities") if held.models == models and models else None
    if known is None:
        known = recorded_probabilities(loaded.classifiers, gallery.rows)
    return Computed(held.arrays["places"], near, held.arrays["copies"], known)


def predicted(loaded: LoadedModels, pictures: Pictures) -> Floats:
    """Class probabilities of all files, float32 [M, C]; NaN for those that cannot be read."""
    files = pictures.files
    found = np.full((len(files), len(loaded.classes)), np.nan, np.float32)
    torch.set_num_threads(cores.threads())
    for first in range(0, len(files), _BATCH):
        terminal.share(first, len(files))
        rows, read = [], []
        for row in range(first, min(first + _BATCH, len(files))):
            try:
                read.append(read_case(loaded, files[row]))
                rows.append(row)
            except DecodeError:
                continue
        if rows:
            found[rows] = loaded_answers.probabilities(loaded, read)
    return found


def read_case(loaded: LoadedModels, file: str) -> Picture:
    """A file of the gallery as all models take it.

    Raises
    ------
    DecodeError
        The row names no file, or it cannot be read.
    """
    if not file:
        raise DecodeError("the gallery does not say where the image of this case is")
    return loaded.read(file, file, ("predict", "embed"))


def pictures_of(loaded: LoadedModels) -> Pictures:
    """The pictures of the gallery's rows."""
    gallery = in_memory(loaded)
    assert gallery is not None, "who asks has opened one"
    return Pictures(addresses(gallery.rows), loaded.readings[0])


def _near(held: kept.Kept, gallery: Gallery) -> Near:
    if all(name in held.arrays for name in Near._fields):
        return Near(*(held.arrays[name] for name in Near._fields))
    terminal.stage("finding neighbours")
    near = near_rows(gallery)
    held.arrays |= near._asdict()
    return near
