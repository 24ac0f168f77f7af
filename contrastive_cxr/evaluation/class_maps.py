"""Grad-CAM of the images that a report shows as cases: of a run, of a cascade's stages, of the runs of a pool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from contrastive_cxr import explain as maps
from contrastive_cxr import report
from contrastive_cxr.augment.images import plain
from contrastive_cxr.data.batches import Images
from contrastive_cxr.data.dataset import Dataset
from contrastive_cxr.data.decoding.decode import DecodeError
from contrastive_cxr.data.files.addresses import join
from contrastive_cxr.engine import Fabric
from contrastive_cxr.errors import CcxrError, RequestError
from contrastive_cxr.evaluation.predictions import Floats, Outputs, Rows
from contrastive_cxr.models import Network, weights
from contrastive_cxr.retrieval import EmbeddingModel
from contrastive_cxr.retrieval.image_inputs import square
from contrastive_cxr.run import folder as folders
from contrastive_cxr.run_folder.results import table

MAP_SIDE = 240  # pixels of a Grad-CAM in the report
MEAN = -1
"""In the place of a part's number: the map is the mean over several runs."""


class CaseMap(NamedTuple):
    """The map of a case.

    Attributes
    ----------
    row : int
        Its number among the scored rows.
    part : int
        Whose map it is: 1 or 2 of a cascade's stages, the number of a pool's run, `MEAN`; 0 of a run by itself.
    heat : float32 [h, h]
        Where the image speaks for the predicted class.
    image : float32 [240, 240] in 0..1
    """

    row: int
    part: int
    heat: Floats
    image: Floats


def write_of_run(folder: Path, data: Dataset, fabric: Fabric, phase: Path, query: Outputs) -> None:
    """Write the maps of the images that the report of a run shows as cases, for the predicted class.

    Without test-time augmentation; one forward and one backward pass each. Without a classifier, earlier files are
    removed.
    """
    network = weights.load(phase)[0].to(fabric.device).eval()
    if query.probabilities is None or network.classifier is None:
        return remove(folder)
    images, decided = Images(data.images, fabric.device), query.probabilities.argmax(1)
    rows = report.case_rows(query.probabilities.max(1), decided, data.labels[query.rows])
    pixels = ((row, images.take(query.rows[[row]])) for row in rows)
    found = (case_map(network, cached, row, int(decided[row])) for row, cached in pixels)
    return write(folder, [each for each in found if each is not None])


def write_of_cascade(
    folder: Path, data: Dataset, fabric: Fabric, rows: Rows, stages: Mapping[int, Path], verdicts: NDArray[np.int64],
    joined: NDArray[np.floating[Any]], order: Sequence[int],
) -> None:  # fmt: skip
    """Write the maps of a cascade's cases: each of the stage that decided, for the class that it said.

    Parameters
    ----------
    folder : Path
        The cascade's `arrays`.
    rows : int64 [n]
        The scored rows of `data`.
    stages : {1: Path, 2: Path}
        The phase folders of the stages' classifiers.
    verdicts : int64 [n]
        The predicted classes of the flat task.
    joined : float [n, C]
        The joined probabilities, by which the most confident cases are chosen.
    order : sequence of int
        As from `metrics.cascade.order`: a verdict of its first class is stage 1's, any other one is stage 2's.
    """
    images = Images(data.images, fabric.device)
    networks = {number: weights.load(phase)[0].to(fabric.device).eval() for number, phase in stages.items()}
    sure = joined[np.arange(len(rows)), verdicts]
    found = []
    for row in report.case_rows(sure, verdicts, data.labels[rows]):
        place = list(order).index(int(verdicts[row]))
        stage, target = (1, 0) if place == 0 else (2, place - 1)
        found.append(case_map(networks[stage], images.take(rows[[row]]), row, target, stage))
    write(folder, [each for each in found if each is not None])


def write_of_pool(
    folder: Path, phases: Sequence[Path], arrays: Sequence[Path], rows: pd.DataFrame,
    probabilities: NDArray[np.floating[Any]], labels: NDArray[np.int64],
) -> None:  # fmt: skip
    """Write the maps of a pool's cases: the mean over the runs that scored an image, the largest value of each as 1.

    The images are read from their files. One that is not readable any more has no map; where the model of a run is not,
    no image has one.

    Parameters
    ----------
    folder : Path
        The pool's `arrays`.
    phases, arrays : sequences of Path
        The phase folder of each run's model, and the arrays of what it scored.
    rows, probabilities, labels : as from `run_folder.results.joined`
        The n scored images; their mean probabilities, float [n, C]; their classes, int64 [n].
    """
    if not all((place / "probabilities.npy").is_file() for place in arrays):  # the vote of neighbours predicts
        return remove(folder)
    decided, keys = probabilities.argmax(1), list(zip(rows["root"], rows["path"], strict=True))
    wanted = report.case_rows(probabilities.max(1), decided, labels)
    made: dict[int, list[CaseMap]] = {row: [] for row in wanted}
    for part, (phase, place) in enumerate(zip(phases, arrays, strict=True)):
        try:
            model, own = EmbeddingModel.load(phase), table(place / "rows.csv")
        except RequestError:  # the pool is scored from arrays, and a run's model may be gone
            return remove(folder)
        scored = set(zip(own["root"], own["path"], strict=True))
        for row in (each for each in wanted if keys[each] in scored):
            try:
                cached = torch.from_numpy(square(join(*keys[row]), model.settings))[None, None]
            except DecodeError:
                continue
            found = case_map(model.network, cached, row, int(decided[row]), part)
            made[row] += [] if found is None else [found]
    return write(folder, [mean_of(each) for each in made.values() if each])


def case_map(network: Network, cached: Tensor, row: int, target: int, part: int = 0) -> CaseMap | None:
    """The map of an image, uint8 [1, 1, H, W] on the network's device; None where the network makes none of places."""
    try:
        heat = maps.class_map(network, plain(cached, network.spec.image_size), target)
    except CcxrError:
        return None
    return CaseMap(row, part, heat, np.asarray(plain(cached, MAP_SIDE)[0, 0].cpu().numpy(), dtype=np.float32))


def mean_of(each: Sequence[CaseMap]) -> CaseMap:
    """The mean of one image's maps by several runs, the largest value of each as 1; a single map as it is."""
    if len(each) == 1:
        return each[0]
    scaled = [one.heat / max(float(one.heat.max()), 1e-12) for one in each]
    return each[0]._replace(part=MEAN, heat=np.mean(scaled, axis=0, dtype=np.float32))


def write(folder: Path, found: Sequence[CaseMap]) -> None:
    """Write `gradcam.npy`, uint8 [k, S, S, 3], and `gradcam_rows.npy`, int64 [k, 3].

    The numbers of a row are those of the scored image, 1 where some place stands out (else 0), and the part.
    """
    drawn, rows = [], []
    for each in found:
        over = maps.standing_out(each.heat)
        drawn.append(maps.blend(each.image, np.zeros_like(each.heat) if over is None else over))
        rows.append((each.row, int(over is not None), each.part))
    folders.write_array(folder / "gradcam.npy", np.array(drawn, np.uint8).reshape(len(drawn), MAP_SIDE, MAP_SIDE, 3))
    folders.write_array(folder / "gradcam_rows.npy", np.array(rows, np.int64).reshape(len(rows), 3))


def remove(folder: Path) -> None:
    """Remove the maps of an earlier evaluation."""
    for name in ("gradcam.npy", "gradcam_rows.npy"):
        (folder / name).unlink(missing_ok=True)
