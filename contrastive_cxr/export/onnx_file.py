"""A graph as an ONNX file, and ONNX Runtime to run it; the one room that imports both, late, as they are optional."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from contrastive_cxr import cores
from contrastive_cxr.errors import RequestError, visible
from contrastive_cxr.export.graph import INPUT, Graph, Parts, text_of

KEY = "ccxr"
"""Name of the entry in the file's metadata: JSON of `Parts.about`."""
LAST_OF_LEGACY = 20
"""The newest opset of the exporter by TorchScript."""

Runner = Callable[[NDArray[np.uint8]], list[NDArray[Any]]]


def write(graph: Graph, parts: Parts, file: Path, opset: int) -> str:
    """Export by torch.export, the exporter that torch keeps up; where that fails, by TorchScript.

    Returns
    -------
    str
        Which exporter it was, and why if it was the second.

    Raises
    ------
    RequestError
        Both failed: the network, both reasons, the other formats.
    """
    why: list[str] = []
    for words, export in (("torch.export", _modern), ("TorchScript", _legacy)):
        if export is _legacy and opset > LAST_OF_LEGACY:
            why.append(f"TorchScript: writes opsets up to {LAST_OF_LEGACY}")
            continue
        try:
            with silent():
                export(graph, parts, file, opset)
            _finish(file, parts, opset)
            _try(file, parts)
            return words if not why else f"{words}, as {why[0]}"
        except Exception as error:  # whatever an operator without a translation makes the exporter raise
            why.append(f"{words}: {reason(error)}")
    raise RequestError(
        f"--to onnx: {parts.model.card['backbone']} cannot be exported to opset {opset} ({'; '.join(why)}); give "
        "--to torch or --to hf, or another --opset"
    )


def runner(file: Path) -> Runner:
    """A function from uint8 [B, 1, side, side] to the outputs of an ONNX file, on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cores.threads()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    return lambda images: session.run(None, {INPUT: images})


def versions() -> dict[str, str]:
    """Versions of what writes and runs the file."""
    import onnx
    import onnxruntime

    return {"onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__}


def reason(error: Exception) -> str:
    """The first line of an error that says something, shortened."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return visible(next(iter(lines), type(error).__name__))[:200]


def example(parts: Parts) -> torch.Tensor:
    """Two images: a batch of one would be taken for a constant."""
    return torch.zeros((2, 1, parts.side, parts.side), dtype=torch.uint8)


@torch.no_grad()
def _modern(graph: Graph, parts: Parts, file: Path, opset: int) -> None:
    names = list(parts.outputs)
    batch = {INPUT: {0: torch.export.Dim("batch", min=1)}}
    torch.onnx.export(
        graph, (example(parts),), str(file), dynamo=True, opset_version=opset, input_names=[INPUT], output_names=names,
        dynamic_shapes=batch, external_data=False, verbose=False,
    )  # fmt: skip


@torch.no_grad()
def _legacy(graph: Graph, parts: Parts, file: Path, opset: int) -> None:
    names = list(parts.outputs)
    batch = {name: {0: "batch"} for name in (INPUT, *names)}
    torch.onnx.export(
        graph, (example(parts),), str(file), dynamo=False, opset_version=opset, input_names=[INPUT], output_names=names,
        dynamic_axes=batch,
    )  # fmt: skip


def _finish(file: Path, parts: Parts, opset: int) -> None:
    """Check the file, take out what names places on this machine, and put in what a reader needs."""
    import onnx

    model = onnx.load(str(file))
    written = {each.version for each in model.opset_import if each.domain in ("", "ai.onnx")}
    if written != {opset}:
        raise ValueError(f"the exporter wrote opset {sorted(written)} and not {opset}")
    graph = model.graph
    for each in (graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        del each.metadata_props[:]
    for node in graph.node:
        node.doc_string = ""
    graph.doc_string = ""
    del model.metadata_props[:]
    model.metadata_props.add(key=KEY, value=text_of(parts))
    model.producer_name = "contrastive_cxr"
    onnx.checker.check_model(model)
    onnx.save(model, str(file))


def _try(file: Path, parts: Parts) -> None:
    """Run batches of one and of three: an exporter may have taken the size of its example for a constant."""
    run = runner(file)
    for count in (1, 3):
        found = run(np.zeros((count, 1, parts.side, parts.side), np.uint8))
        if [len(each) for each in found] != [count] * len(parts.outputs):
            raise ValueError(f"a batch of {count} gives outputs of {[each.shape for each in found]}")


@contextmanager
def silent() -> Iterator[None]:
    """Without the exporters' warnings and log lines: what they come to is checked afterwards."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
