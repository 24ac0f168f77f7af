"""Answers of the page's addresses, made from what was computed and from the models."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from contrastive_cxr.explore import table as tables
from contrastive_cxr.explore.computed import Computed
from contrastive_cxr.explore.opened import in_memory
from contrastive_cxr.explore.pictures import Pictures
from contrastive_cxr.inference.loaded import LoadedModels

SHOWN = 8
"""Nearest cases that are shown of a case."""


class Explorer:
    """What the page is served from.

    Attributes
    ----------
    cases : DataFrame [M], as of `table.table`
    places : bytes of float32 [M, 2], little-endian
    payload : JSON of `about`, made once: 50,000 cases take seconds
    """

    def __init__(self, loaded: LoadedModels, found: Computed, pictures: Pictures, name: str) -> None:
        gallery = in_memory(loaded)
        assert gallery is not None, "who asks has opened one"
        self.loaded, self.found, self.pictures, self.name = loaded, found, pictures, name
        self.gallery = gallery
        self.cases = tables.table(loaded, found)
        self.places = np.ascontiguousarray(found.places, dtype="<f4").tobytes()
        self.payload = json.dumps(self.about(), separators=(",", ":"), allow_nan=False).encode()

    def about(self) -> dict[str, Any]:
        """Name, number and columns of the cases, the lists, classes and thresholds."""
        loaded = self.loaded
        return {
            "name": self.name,
            "key": f"{self.gallery.model_digest[:12]}-{len(self.gallery)}-{self.found.places[:1].tobytes().hex()}",
            "rows": len(self.gallery),
            "columns": tables.columns(self.cases),
            "paths": self.cases["path"].tolist(),
            "lists": tables.lists(self.cases, self.found.copies),
            "classes": list(loaded.classes),
            "thresholds": thresholds(loaded),
            "embeds": loaded.embedder is not None,
        }

    def near(self, row: int) -> list[dict[str, Any]]:
        """What may be copies of this case, and after them the nearest cases of other patients."""
        rows, gaps = self.found.near.others[row], self.found.near.other_gaps[row]
        there = np.flatnonzero(rows >= 0)[:SHOWN]
        near = [{"row": int(rows[at]), "distance": float(f"{gaps[at]:.5g}"), "copy": False} for at in there]
        pairs = self.found.copies[(self.found.copies == row).any(axis=1)]
        twins = sorted(set(pairs.ravel().tolist()) - {row})
        vectors = self.gallery.vectors
        apart = [float(np.linalg.norm(vectors[twin].astype(np.float64) - vectors[row])) for twin in twins]
        twin = [
            {"row": each, "distance": float(f"{gap:.5g}"), "copy": True} for each, gap in zip(twins, apart, strict=True)
        ]
        return twin + near


def thresholds(loaded: LoadedModels) -> list[dict[str, Any]]:
    """Thresholds that were chosen on the validation part: `name`, `class`, `threshold`."""
    fitted = loaded.fitted
    return [
        {
            "name": name,
            "words": name.removeprefix(f"{fitted.positive}_at_").replace("_", " "),
            "class": fitted.positive,
            "threshold": threshold,
        }
        for name, threshold in fitted.thresholds.items()
    ]


def in_text(entries: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Entries of maps with their pictures in base64."""
    return [
        {name: base64.b64encode(value).decode() if isinstance(value, bytes) else value for name, value in each.items()}
        for each in entries
    ]
