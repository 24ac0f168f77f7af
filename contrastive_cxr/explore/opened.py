"""A gallery or a run, opened for the page: the models, the cases, and what was predicted for them before."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from contrastive_cxr.data.files.store_urls import Place
from contrastive_cxr.errors import RequestError
from contrastive_cxr.explore.pictures import addresses
from contrastive_cxr.inference.gallery_rows import part_of
from contrastive_cxr.inference.loaded import RECORD, LoadedModels, load
from contrastive_cxr.report.facts import arrays
from contrastive_cxr.retrieval import EmbeddingModel, Gallery, StoreGallery

Floats = NDArray[np.float32]


def opened(
    place: Path, *, gallery: Place | None = None, run: Path | None = None, device: str = "cpu"
) -> tuple[LoadedModels, Path]:
    """The models with the cases of the map, and the folder in which the map is kept.

    The cases are those of the gallery; of a run without one its training images and the images that its evaluation
    scored, whose vectors the run holds.

    Raises
    ------
    RequestError
        As in `inference.loaded.load`; or a run that holds no vectors.
    """
    loaded = load(place, gallery=gallery, run=run, device=device)
    held = loaded.gallery
    if isinstance(held, StoreGallery):
        raise RequestError(
            f"{held.store}: the page draws every row, so it takes a gallery in a folder; copy it: "
            f"ccxr index --from-gallery {held.store} --out DIR"
        )
    if (place / RECORD).is_file():
        return loaded, place
    if gallery is not None:
        return loaded, Path(str(gallery))
    model = loaded.embedder
    if model is None or model.folder is None:
        raise RequestError(
            f"{place}: a run over seeds or folds has no embedding of its own; name one of its runs, or a gallery"
        )
    cases = _cases(place, model, in_memory(loaded))
    if cases is None:
        raise RequestError(
            f"{place}: holds no vectors of its images, since it was not evaluated; make a gallery and name it: "
            f"ccxr index {place} all --out {place / 'gallery'}"
        )
    return dataclasses.replace(loaded, gallery=cases), model.folder / "arrays"


def in_memory(loaded: LoadedModels) -> Gallery | None:
    """The gallery, which is none of a store: `opened` refuses those."""
    assert loaded.gallery is None or isinstance(loaded.gallery, Gallery), "who asks has opened one"
    return loaded.gallery


def _cases(place: Path, model: EmbeddingModel, train: Gallery | None) -> Gallery | None:
    """The run's training images and scored images as one gallery; None where there are no vectors of either."""
    assert model.folder is not None, "who asks has looked"
    scored = arrays.read(model.folder / "arrays")
    if scored is None or scored.vectors.ndim != 2 or scored.vectors.shape[1] != model.size:
        return train
    rows = scored.rows
    try:
        every = part_of(model.folder.parent, "all")
        at = pd.Series(np.arange(len(every)), index=addresses(every))
        places = at[~at.index.duplicated()].reindex(addresses(rows))
        if places.notna().all():
            rows = every.iloc[places.astype(int).to_numpy()].reset_index(drop=True)
    except RequestError:
        pass  # scored images of elsewhere, or a phase's folder alone: what the arrays say of them
    vectors = scored.vectors.astype(np.float32)
    if train is not None:
        new = ~pd.Series(addresses(rows)).isin(set(addresses(train.rows))).to_numpy()
        rows = pd.concat([train.rows.drop(columns="id"), rows[new]], ignore_index=True).fillna("")
        vectors = np.concatenate([train.vectors, vectors[new]])
    return Gallery.build(vectors, rows, model.digest, preprocessing=model.preprocessing)


def recorded_probabilities(models: Sequence[EmbeddingModel], rows: pd.DataFrame) -> Floats | None:
    """Class probabilities that the run's evaluation wrote: float32 [M, C], NaN for rows that it did not score.

    Returns
    -------
    array or None
        None where there are several classifiers, or the evaluation scored none of these rows.
    """
    if len(models) != 1 or models[0].folder is None:
        return None
    scored = arrays.read(models[0].folder / "arrays")
    if scored is None or scored.probabilities is None or scored.probabilities.shape[1:] != (len(models[0].classes),):
        return None
    known: dict[str, int] = {name: number for number, name in enumerate(addresses(scored.rows))}
    at = np.array([known.get(name, -1) if name else -1 for name in addresses(rows)], np.int64)
    if not (at >= 0).any():
        return None
    found: Any = np.where((at >= 0)[:, None], scored.probabilities[at], np.nan)
    return np.asarray(found, dtype=np.float32)
