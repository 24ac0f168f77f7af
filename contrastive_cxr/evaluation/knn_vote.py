"""The vote of a gallery's nearest rows replaces a run's classifier; the report is the same for both."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from contrastive_cxr.data.dataset import Dataset
from contrastive_cxr.data.files.store_urls import Place, place_of
from contrastive_cxr.errors import RequestError, raise_faults
from contrastive_cxr.evaluation.predictions import Outputs
from contrastive_cxr.retrieval import Searched, open_gallery
from contrastive_cxr.retrieval.rows import places
from contrastive_cxr.run import folder as folders
from contrastive_cxr.run_folder import recorded
from contrastive_cxr.run_layout import MODEL, PhaseName, phases_with_model


@dataclass(frozen=True, eq=False)
class KnnClassifier:
    """A gallery whose rows vote, and the phase whose model made the gallery.

    Attributes
    ----------
    place : Path or StoreUrl
        Of the gallery.
    k : int
        How many nearest rows vote.
    """

    gallery: Searched
    place: Place
    phase: PhaseName
    k: int

    def vote(self, data: Dataset, query: Outputs, *, strangers: bool) -> Outputs:
        """The model's predictions; the vote of the gallery replaces the classifier's probabilities.

        Parameters
        ----------
        strangers : bool
            Whether the rows belong to an external test: a patient of the same name is then another patient. If not,
            rows of the query's own patient do not vote.
        """
        patients = None if strangers else list(data.manifest_table().iloc[query.rows]["patient"])
        shares = self.gallery.classify(query.vectors, data.classes, self.k, exclude_patients=patients)
        card = query.card | {"link": "vote"}
        return Outputs(query.rows, query.vectors, shares.astype("float32"), card=card)

    def note(self) -> str:
        """A sentence for the reader of the report."""
        return (
            f"No classifier is scored here: the probabilities are the vote of the {min(self.k, len(self.gallery)):,} "
            f"nearest of the {len(self.gallery):,} images in the gallery '{self.place.name}'."
        )


def voters(run: Path, place: str | Place, k: int) -> KnnClassifier:
    """Load the gallery that votes.

    Parameters
    ----------
    k : int
        How many nearest rows vote (`evaluation.vote`).

    Raises
    ------
    RequestError
        There is no gallery, or none of the run's models made it.
    """
    place = place_of(place)
    gallery = open_gallery(place)
    made = {name: folders.read_json(run / name / MODEL)["sha256"] for name in phases_with_model(run)}
    phase = next((name for name, digest in made.items() if digest == gallery.model_digest), None)
    if phase is None:
        raise RequestError(
            f"--gallery {place}: is of model {gallery.model_digest[:12] or 'unknown'}, and {run} has "
            f"{', '.join(f'{name} {digest[:12]}' for name, digest in made.items())}; make one with ccxr index {run} "
            "train --out DIR"
        )
    return KnnClassifier(gallery, place, phase, k)


def check(chosen: KnnClassifier, data: Dataset, split: str, reference: Dataset) -> None:
    """Refuse a gallery that lacks a class, or contains a scored image or one that the temperature is fitted on.

    Parameters
    ----------
    data, split
        The part that is scored.
    reference : Dataset
        The run's own images; thresholds and temperature are fitted on their validation part.

    Raises
    ------
    RequestError
        It lists every fault.
    """
    labels = chosen.gallery.labels()
    absent = [name for name in data.classes if name not in labels]
    faults = [f"--gallery {chosen.place}: no row has the label '{name}', a class of the run" for name in absent]
    parts = {"scored": (data, split)} | ({} if split == "val" else {"validation": (reference, "val")})
    for name, (images, part) in parts.items():
        query = images.manifest_table().iloc[images.rows(part)]
        held = query["path"][_known(query, chosen.gallery)]
        if len(held):
            faults.append(
                f"--gallery {chosen.place}: holds {len(held)} of the {len(query)} {name} images "
                f"({recorded.listed(list(held))}), and each would find itself; make a gallery of the training part"
            )
    raise_faults(faults)


def _known(query: pd.DataFrame, gallery: Searched) -> pd.Series:
    """Which images are among the rows of a gallery: by content if it is recorded, else by root and path."""
    if "digest" in gallery.columns:
        found = gallery.find("digest", sorted(set(query["digest"]) - {""}))
        return query["digest"].isin([value for value, rows in found.items() if rows])
    held = gallery.at_places(places(query))
    return pd.Series([row is not None for row in held], query.index, dtype=bool)
