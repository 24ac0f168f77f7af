"""The predictions of a run's models on some rows, and the arrays that are kept of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from contrastive_cxr import engine, report
from contrastive_cxr.data.batches import Images
from contrastive_cxr.data.dataset import Dataset
from contrastive_cxr.engine import Fabric
from contrastive_cxr.metrics import baselines
from contrastive_cxr.models import weights
from contrastive_cxr.models.head import head_statistics
from contrastive_cxr.recipe.schema import Recipe
from contrastive_cxr.retrieval.embedding import forward_packed, widths
from contrastive_cxr.run import folder as folders

Rows = NDArray[np.int64]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Outputs:
    """The predictions of a phase's model on some rows.

    Attributes
    ----------
    vectors : float32 [n, D], unit length
        Embeddings; of a model without projection its features.
    probabilities : float32 [n, C] or None
        Of the classifier, where the model has one; with test-time augmentation the mean over its views.
    probabilities_without_tta : float32 [n, C] or None
        With test-time augmentation, the probabilities of the plain images alone.
    hidden : float32 [n, H] or None
        What the classifier's last layer is given, where that is not `vectors`.
    card : dict
        The model's record.
    last_layer : dict or None
        Statistics of the last layer's weights.
    """

    rows: Rows
    vectors: Floats
    probabilities: Floats | None
    probabilities_without_tta: Floats | None = None
    hidden: Floats | None = None
    card: dict[str, Any] = field(default_factory=dict)
    last_layer: dict[str, float] | None = None


def outputs(recipe: Recipe, data: Dataset, fabric: Fabric, phase: Path, rows: Rows, tta: str = "none") -> Outputs:
    """The predictions of the model in `phase` on `rows`: float32, whatever precision it was trained in.

    Parameters
    ----------
    tta : str
        Test-time augmentation set of the probabilities; each of its further views is another pass.
    """
    network, card = weights.load(phase)
    network.to(fabric.device)
    images, batch = Images(data.images, fabric.device), recipe.runtime.eval_batch_size

    def preds(pixels: Tensor) -> Tensor:
        return forward_packed(network, pixels, card["link"], tta)

    found = engine.encode(fabric, preds, rows, batch, images.take, network=network)
    vectors, *others = np.split(found, np.cumsum(widths(network, tta))[:-1], axis=1)
    if not others:
        return Outputs(rows, vectors, None, card=card)
    hidden, probabilities, *averaged = others
    return Outputs(
        rows,
        vectors,
        probabilities=averaged[0] if averaged else probabilities,
        probabilities_without_tta=probabilities if averaged else None,
        hidden=None if np.array_equal(hidden, vectors) else hidden,
        card=card,
        last_layer=head_statistics(network),
    )


def write_arrays(folder: Path, data: Dataset, query: Outputs, reference: Dataset, train: Outputs) -> None:
    """`vectors.npy`, `labels.npy`, `patients.npy`, `rows.csv`; of the training rows `train_*`.

    With a classifier `probabilities.npy`, with test-time augmentation `untouched.npy`, and `hidden.npy` where the last
    hidden layer is not the vectors. An array that this evaluation does not have is taken away.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folders.write_array(folder / "vectors.npy", query.vectors)
    folders.write_array(folder / "labels.npy", data.labels[query.rows])
    folders.write_array(folder / "patients.npy", data.patients[query.rows])
    folders.write_table(folder / "rows.csv", data.manifest_table().iloc[query.rows])
    optional = {
        "probabilities": query.probabilities,
        "untouched": query.probabilities_without_tta,
        "hidden": query.hidden,
    }
    for name, array in optional.items():
        if array is None:
            (folder / f"{name}.npy").unlink(missing_ok=True)
        else:
            folders.write_array(folder / f"{name}.npy", array)
    folders.write_array(folder / "train_vectors.npy", train.vectors)
    folders.write_table(folder / "train_rows.csv", reference.manifest_table().iloc[train.rows])


def write_thumbnails(folder: Path, data: Dataset, rows: Rows) -> None:
    """`thumbnails.npy`, uint8 [n, S, S]: the report's small pictures, of the rows that `report.shown` names."""
    pictures = baselines.thumbnails(data.take(rows[report.shown(len(rows))]), report.THUMBNAIL)
    shape = (len(pictures), report.THUMBNAIL, report.THUMBNAIL)
    folders.write_array(folder / "thumbnails.npy", pictures.round().astype(np.uint8).reshape(shape))
