"""Vectors of any images by a run's model: one .npy file, or a folder of Parquet parts that several processes fill."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contrastive_cxr import cores, terminal
from contrastive_cxr.engine import Fabric, launch
from contrastive_cxr.engine.fabric import report_lost_process
from contrastive_cxr.errors import RequestError, raise_faults
from contrastive_cxr.files import AtomicWrites
from contrastive_cxr.inference import shards
from contrastive_cxr.inference.given_images import Frames, warn_of_squeezed
from contrastive_cxr.inference.given_rows import Sources
from contrastive_cxr.inference.image_sources import Pictures, pictures_of, squeezed_of
from contrastive_cxr.inference.predict import check_device, refuse_existing
from contrastive_cxr.preflight.data_checks import faults_of
from contrastive_cxr.recipe import schema
from contrastive_cxr.retrieval import EmbeddingModel, inference_precision
from contrastive_cxr.retrieval.embedding import embed_cached
from contrastive_cxr.retrieval.image_inputs import ahead
from contrastive_cxr.run import parquet, processes
from contrastive_cxr.spread import Engine

EMBEDDED = Engine()
log = logging.getLogger(__name__)
PART_IMAGES = 4096
"""Rows of a part: what a kill costs at most, and what is held in memory (512 float32 each: 8 MiB)."""


def encode(
    run: Path, source: Sources, out: Path, *, device: str = "cpu", batch_size: int = 64,
    part_images: int = PART_IMAGES, frames: Frames = None, axis: schema.AxisName = "axial", overwrite: bool = False,
    precision: schema.InferencePrecision = "auto", engine: Engine = EMBEDDED,
) -> Path:  # fmt: skip
    """Write the embeddings of images, in float32 and of unit length; memory does not grow with their number.

    Parameters
    ----------
    run : Path
        A run (its embed phase, else finetune, else pretrain), or a phase's folder.
    source : path, or sequence of these
        `train`, `val`, `test` or `all` of the run's own images, from their cache; else images, or folders, archives,
        URLs or tables of them.
    frames, axis : as in `given.images_of`
    out : Path
        `X.npy`: float32 [N, D], and beside it `X.csv` with a row an image; from one process, whole or not at all.
        Without an ending: a folder of Parquet parts and `_encoding.json`, from any number of processes (torchrun); the
        same command goes on after a kill. The rows hold `file` and what is known of it: label (class), patient, split.
    device : str
        auto (a GPU where there is one), cpu or cuda.
    batch_size : int
        Images a step.
    part_images : int
        Images a Parquet file.
    overwrite : bool
        Replace `out` where it is there already; a folder only where it holds an encoding.
    precision : str
        `32-true`, `bf16-mixed` or `auto` (`retrieval.inference_precision`). An encoding that goes on keeps its own.
    engine : Engine
        Of Ray: workers decode and encode (`spread_encode`); either engine goes on with a folder of the other.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    RequestError
        No model, no image, unreadable images (each named), `out` is there already, pyarrow is missing.
    CcxrError
        The disk is full, or another process was lost.
    """
    if engine.is_ray:
        from contrastive_cxr.inference import spread_encode

        return spread_encode.encode(
            run, source, out, engine, device=device, batch_size=batch_size, part_images=part_images, frames=frames,
            axis=axis, overwrite=overwrite, precision=precision,
        )  # fmt: skip
    array = out.suffix == ".npy"
    faults = [*faults_of(lambda: check_out(out, overwrite)), *faults_of(lambda: check_device(device))]
    faults += faults_of(lambda: inference_precision.check(precision))
    raise_faults([*faults, *([] if array else faults_of(parquet.require))])
    fabric = launch(schema.Runtime.model_validate({"device": device}))
    earlier = None if array or overwrite else shards.read(out)
    model = EmbeddingModel.load(run, str(fabric.device), precision if earlier is None else earlier.precision)
    pictures = pictures_of(run, source, model.settings, frames, axis)
    settled = settle(model, pictures, fabric)
    threads = max(1, cores.available() // processes.count_here())

    def vectors(first: int, end: int) -> NDArray[np.float32]:
        found = np.empty((end - first, model.size), np.float32)
        for start, pixels in ahead(pictures.pixels, first, end, batch_size, threads):
            said = embed_cached(model.network, pixels.to(model.device)).cpu().numpy()
            found[start - first : start - first + len(said)] = said
            terminal.share(start + len(said), len(pictures))
        return found

    if array:
        write_array(out, pictures, vectors, model.size, part_images)
        warn_of_squeezed(squeezed_of(pictures), len(pictures))
        return out
    record = shards.planned(pictures, model.digest, model.size, part_images, settled)
    with report_lost_process(fabric, "The parts that are written stay; the same command goes on"):
        if fabric.is_global_zero:
            shards.begin(out, record, overwrite)
        fabric.barrier()
        shards.fill(out, record, pictures, vectors, fabric)
        fabric.barrier()
    if fabric.is_global_zero:
        shards.finish(out, record)
        warn_of_squeezed(squeezed_of(pictures), len(pictures))
    return out


def settle(model: EmbeddingModel, pictures: Pictures, fabric: Fabric) -> schema.InferencePrecision:
    """Set the model's precision for all pictures, on every process that of the first; and say what is not float32."""
    first = pictures.pixels(0, min(inference_precision.SAMPLE, len(pictures)))
    model.settle(first, len(pictures))
    assert model.settled is not None, "settle sets it"
    model.precision = fabric.broadcast(model.settled.precision)
    if model.precision != model.settled.precision:
        model.settle(first, len(pictures))
    elif model.settled.precision == "bf16-mixed" and model.settled.least_cosine is not None:
        log.warning("precision=auto: %s", model.settled.words())
    return model.precision


def check_out(out: Path, overwrite: bool = False) -> None:
    """Refuse an ending that is not written here, an array that is there, and one of several processes."""
    if out.suffix == ".npy":
        refuse_existing(out, ".npy", out.with_suffix(".csv"), overwrite=overwrite)
        if processes.count() > 1:
            raise RequestError(f"--out {out}: several processes write parts; name a folder, without .npy")
    elif out.suffix and not out.is_dir():
        raise RequestError(
            f"--out {out}: must end in .npy, or be a folder for Parquet parts (a name without an ending)"
        )


def write_array(
    out: Path, pictures: Pictures, vectors: Callable[[int, int], NDArray[np.float32]], width: int, block: int
) -> None:
    """Write `out` and the .csv beside it `block` images at a time, both whole or not at all."""
    count = len(pictures)
    header = {"descr": "<f4", "fortran_order": False, "shape": (count, width)}
    table = out.with_suffix(".csv").name
    with (
        AtomicWrites(out.parent) as together,
        together.place(out.name).open("wb") as numbers,
        together.place(table).open("wb") as lines,
    ):
        np.lib.format.write_array_header_1_0(numbers, header)
        for first in range(0, count, block):
            end = min(first + block, count)
            numbers.write(np.ascontiguousarray(vectors(first, end), dtype="<f4").tobytes())
            pictures.rows(first, end).to_csv(lines, index=False, header=first == 0)
