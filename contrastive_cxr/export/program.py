"""A graph as a program of torch.export: PyTorch runs it without this package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from contrastive_cxr.errors import RequestError
from contrastive_cxr.export.graph import INPUT, Graph, Parts, text_of
from contrastive_cxr.export.onnx_file import Runner, example, reason, silent

KEY = "ccxr.json"
"""Name of the extra file inside the program: JSON of `Parts.about`."""


@torch.no_grad()
def write(graph: Graph, parts: Parts, file: Path) -> None:
    """Export with a dynamic batch and save.

    Raises
    ------
    RequestError
        The network cannot be exported: why, and the other formats.
    """
    batch = {INPUT: {0: torch.export.Dim("batch", min=1)}}
    try:
        with silent():
            program = torch.export.export(graph, (example(parts),), dynamic_shapes=batch, strict=False)
            for node in program.graph.nodes:
                node.meta.pop("stack_trace", None)  # it names places on this machine
            torch.export.save(program, file, extra_files={KEY: text_of(parts)})
        run = runner(file)
        for count in (1, 3):
            run(np.zeros((count, 1, parts.side, parts.side), np.uint8))
    except Exception as error:  # whatever a network that cannot be traced makes torch raise
        raise RequestError(
            f"--to torch: {parts.model.card['backbone']} cannot be exported ({reason(error)}); give --to onnx or "
            "--to hf"
        ) from error


def runner(file: Path) -> Runner:
    """A function from uint8 [B, 1, side, side] to the outputs of a program."""
    with silent():
        module = torch.export.load(file).module()

    @torch.no_grad()
    def run(images: NDArray[np.uint8]) -> list[NDArray[Any]]:
        return [each.numpy() for each in module(torch.from_numpy(images))]

    return run
