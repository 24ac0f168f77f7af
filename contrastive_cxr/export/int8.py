"""An ONNX file in 8 bits, calibrated on training images, and what that costs in neighbours and AUC."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contrastive_cxr import terminal
from contrastive_cxr.data.dataset import Dataset
from contrastive_cxr.errors import RequestError
from contrastive_cxr.export import check
from contrastive_cxr.export.graph import INPUT, Parts
from contrastive_cxr.export.onnx_file import KEY, Runner, reason, runner, silent
from contrastive_cxr.export.run_images import Chosen, fewer
from contrastive_cxr.inference.image_sources import Recorded
from contrastive_cxr.metrics import neighbours
from contrastive_cxr.metrics.statistics import intervals, weighted

CALIBRATION = 128
"""Training images whose activations give the ranges; more of them change the ranges little."""
VOTE = 20
_TYPES = ("Conv", "Gemm", "MatMul")
Ints = NDArray[np.int64]


def quantise(source: Path, file: Path, training: Chosen, parts: Parts) -> int:
    """Write the 8-bit file of an ONNX file: weights by channel, activations by the range that they had.

    What stands before the first convolution (resizing, the views) stays in float32. Weights have 7 bits, as the sums of
    8-bit ones overflow on processors without VNNI.

    Returns
    -------
    int
        How many images it was calibrated on.

    Raises
    ------
    RequestError
        ONNX Runtime cannot quantise this network.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static, shape_inference

    images = fewer(training, CALIBRATION)

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.batches: Iterator[NDArray[np.uint8]] = images.batches()

        def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
            found = next(self.batches, None)
            return None if found is None else {INPUT: found}

    ready = file.with_suffix(".ready.onnx")
    try:
        with silent():
            shape_inference.quant_pre_process(str(source), str(ready), skip_symbolic_shape=True)
            quantize_static(
                str(ready), str(file), Reader(), quant_format=QuantFormat.QDQ, op_types_to_quantize=list(_TYPES),
                per_channel=True, reduce_range=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
                nodes_to_exclude=before_the_network(ready),
            )  # fmt: skip
        model = onnx.load(str(file))
        facts = {each.key: each.value for each in onnx.load(str(source)).metadata_props}
        del model.metadata_props[:]
        model.metadata_props.add(key=KEY, value=facts[KEY])
        onnx.save(model, str(file))
    except Exception as error:  # whatever its tools raise for a graph that they do not know
        raise RequestError(
            f"--int8: ONNX Runtime cannot quantise {parts.model.card['backbone']} ({reason(error)}); leave --int8 out"
        ) from error
    finally:
        ready.unlink(missing_ok=True)
    return len(images.pictures)


def before_the_network(file: Path) -> list[str]:
    """Names of the nodes before the first convolution; none where there is no convolution."""
    import onnx

    nodes = list(onnx.load(str(file), load_external_data=False).graph.node)
    first = next((place for place, node in enumerate(nodes) if node.op_type == "Conv"), 0)
    return [node.name for node in nodes[:first]]


def cost(
    parts: Parts, plain: Path, small: Path, scored: Chosen, training: Chosen, said: check.Outputs
) -> dict[str, Any]:
    """What the 8-bit file costs on the scored images, with paired intervals over patients.

    Parameters
    ----------
    plain, small : Path
        The ONNX files in float32 and in 8 bits.
    scored, training : Chosen
        Images of the run; neighbours of the scored are looked for among the training ones, each side by its own file.
    said : Outputs
        What the float32 file says of the scored images.

    Returns
    -------
    {images, gallery, least_cosine, differing_decisions, milliseconds and bytes {float32, int8}, knn_accuracy and auc
    {float32, int8, difference {difference, low, high, n}} or None}; differences are int8 minus float32.
    """
    assert isinstance(scored.pictures, Recorded), "images of a run"
    assert isinstance(training.pictures, Recorded), "images of a run"
    data, rows, known = scored.pictures.data, scored.pictures.chosen, training.pictures.chosen
    run = runner(small)
    terminal.stage("running the 8-bit file")
    other = check.exported(parts, run, scored.batches(), len(rows))
    found = check.compare(parts, said, other)
    facts: dict[str, Any] = {
        "images": len(rows),
        "gallery": len(known),
        "least_cosine": found["least_cosine"],
        "differing_decisions": found["differing_decisions"],
        "knn_accuracy": None,
        "auc": None,
        "milliseconds": {"float32": _time(runner(plain), scored), "int8": _time(run, scored)},
        "bytes": {"float32": plain.stat().st_size, "int8": small.stat().st_size},
    }
    owners = data.patients[rows]
    if said.vectors is not None and other.vectors is not None and len(data.classes) > 1:
        terminal.stage("encoding training images twice")
        first, second = (
            check.exported(parts, each, training.batches(), len(known)).vectors for each in (runner(plain), run)
        )
        assert first is not None, "the file has an encoder"
        assert second is not None, "the file has an encoder"
        facts["knn_accuracy"] = _knn(data, rows, known, (said.vectors, other.vectors), (first, second))
    if said.probabilities is not None and other.probabilities is not None:
        facts["auc"] = auc(said.probabilities, other.probabilities, data.labels[rows], owners)
    return facts


def _knn(
    data: Dataset, rows: Ints, known: Ints, queries: tuple[check.Floats, ...], galleries: tuple[check.Floats, ...]
) -> dict[str, Any]:
    """Accuracy of the vote of the nearest training images, by both files."""
    each = [
        neighbours.scores(
            gallery, data.labels[known], query, data.labels[rows], k=(1,), vote=min(VOTE, len(known)),
            classes=len(data.classes), gallery_ids=known, query_ids=rows, gallery_patients=data.patients[known],
            query_patients=data.patients[rows],
        )
        for gallery, query in zip(galleries, queries, strict=True)
    ]  # fmt: skip
    right = [found.per_query["knn_accuracy"] for found in each]
    return {
        "float32": each[0].values["knn_accuracy"]["value"],
        "int8": each[1].values["knn_accuracy"]["value"],
        "vote": min(VOTE, len(known)),
        "difference": intervals.paired(right[1], right[0], data.patients[rows]),
    }


def auc(first: check.Floats, second: check.Floats, labels: Ints, owners: Ints) -> dict[str, Any] | None:
    """Macro AUC over the classes that have images and others, of both, and int8 minus float32; None without any."""
    classes = [c for c in range(first.shape[1]) if 0 < (labels == c).sum() < len(labels)]
    if not classes:
        return None

    def mean(probabilities: check.Floats) -> intervals.Statistic:
        return lambda weights: weighted.class_auc(probabilities.astype(np.float64), labels, weights)[:, classes].mean(1)

    one = np.ones((1, len(labels)))
    return {
        "float32": float(mean(first)(one)[0]),
        "int8": float(mean(second)(one)[0]),
        "difference": intervals.paired_statistic(mean(second), mean(first), len(labels), owners),
    }


def _time(run: Runner, scored: Chosen) -> float:
    """Milliseconds an image in batches, the median of up to five."""
    batches = list(scored.batches())[-5:]
    took = []
    for images in batches:
        start = time.perf_counter()
        run(images)
        took.append((time.perf_counter() - start) / len(images) * 1000)
    return float(np.median(took))
