"""The predictions of a run's models on some rows, and the arrays that are written of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from contrastive_cxr import augment, engine, report
from contrastive_cxr.data.batches import Images
from contrastive_cxr.data.dataset import Dataset
from contrastive_cxr.engine import Fabric
from contrastive_cxr.metrics import baselines
from contrastive_cxr.models import Network, folded, weights
from contrastive_cxr.models.head import head_statistics
from contrastive_cxr.recipe.schema import Recipe
from contrastive_cxr.retrieval import inference_precision
from contrastive_cxr.retrieval.embedding import forward_packed, widths
from contrastive_cxr.run import folder as folders

Rows = NDArray[np.int64]
Floats = NDArray[np.float32]
FOLDING = 8
"""Images on which a network is compared with itself when its batch norm is folded."""


@dataclass(frozen=True)
class Outputs:
    """The predictions of a phase's model on some rows.

    Attributes
    ----------
    vectors : float32 [n, D], unit length
        Embeddings; the features, if the model has no projection.
    probabilities : float32 [n, C] or None
        From the classifier, if the model has one; with test-time augmentation the mean over its views.
    probabilities_without_tta : float32 [n, C] or None
        With test-time augmentation: the probabilities of the plain images only.
    hidden : float32 [n, H] or None
        The input of the classifier's last layer, if it differs from `vectors`.
    card : dict
        The contents of the model's `model.json`.
    last_layer : dict or None
        Statistics of the last layer's weights.
    precision : Settled or None
        In which the network computed; None if its outputs were not computed now.
    """

    rows: Rows
    vectors: Floats
    probabilities: Floats | None
    probabilities_without_tta: Floats | None = None
    hidden: Floats | None = None
    card: dict[str, Any] = field(default_factory=dict)
    last_layer: dict[str, float] | None = None
    precision: inference_precision.Settled | None = None


def outputs(recipe: Recipe, data: Dataset, fabric: Fabric, phase: Path, rows: Rows, tta: str = "none") -> Outputs:
    """The predictions of the model in `phase` on `rows`, in `evaluation.precision`.

    Parameters
    ----------
    tta : str
        Set of test-time augmentation for the probabilities; each further view is another pass over the images.
    """
    images, batch = Images(data.images, fabric.device), recipe.runtime.eval_batch_size
    network, card, settled = ready_network(recipe, fabric, phase, images, rows, tta)

    def preds(pixels: Tensor) -> Tensor:
        return forward_packed(network, pixels, card["link"], tta)

    found = images.encoded(lambda part: engine.encode(fabric, preds, part, batch, images.take, network=network), rows)
    vectors, *others = np.split(found, np.cumsum(widths(network, tta))[:-1], axis=1)
    if not others:
        return Outputs(rows, vectors, None, card=card, precision=settled)
    hidden, probabilities, *averaged = others
    return Outputs(
        rows,
        vectors,
        probabilities=averaged[0] if averaged else probabilities,
        probabilities_without_tta=probabilities if averaged else None,
        hidden=None if np.array_equal(hidden, vectors) else hidden,
        card=card,
        last_layer=head_statistics(network),
        precision=settled,
    )


def ready_network(
    recipe: Recipe, fabric: Fabric, phase: Path, images: Images, rows: Rows, tta: str
) -> tuple[Network, dict[str, Any], inference_precision.Settled]:
    """The model in `phase`, ready to predict in `evaluation.precision`; its `model.json`; and that precision.

    On a CPU batch norm is folded into convolutions: EfficientNet-Lite0 is 1.2 times as fast then, others a little
    (`benchmarks/results/folding.json`).
    Several processes take float32 under `auto`: they would have to agree on what each measures.
    """
    network, card = weights.load(phase)
    network.to(fabric.device).eval()
    if fabric.device.type == "cpu":
        sample = augment.plain(images.take(rows[:FOLDING]), network.spec.image_size)
        folded.fold(network, lambda: network.features(sample))
    word = recipe.evaluation.precision
    settled = inference_precision.settle(
        network,
        "32-true" if word == "auto" and fabric.world_size > 1 else word,
        lambda: images.take(rows[: inference_precision.SAMPLE]),
        len(rows) * len(augment.TTA_SETS[tta]),
        card["sha256"],
    )
    return network, card, settled


def write_arrays(folder: Path, data: Dataset, query: Outputs, reference: Dataset, train: Outputs) -> None:
    """Write `vectors.npy`, `labels.npy`, `patients.npy`, `rows.csv`, and `train_*` for the training rows.

    With a classifier also `probabilities.npy`, with test-time augmentation `untouched.npy`, and `hidden.npy` if the
    last hidden layer differs from the vectors. An earlier file that this evaluation has no array for is removed.
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
    """Write `thumbnails.npy`, uint8 [n, S, S]: small pictures for the report, of the rows of `report.shown`."""
    images = data.take(rows[report.shown(len(rows))])
    side = report.side(len(images), images.shape[-1])
    pictures = baselines.thumbnails(images, side).round().astype(np.uint8)
    folders.write_array(folder / "thumbnails.npy", pictures.reshape(len(images), side, side))
