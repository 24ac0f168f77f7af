"""Checks of the inputs of `explain`: every fault at once, before anything is computed or written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from contrastive_cxr import augment
from contrastive_cxr import explain as maps
from contrastive_cxr.data.decoding.decode import DecodeError
from contrastive_cxr.data.files.addresses import of_path
from contrastive_cxr.data.files.reading import is_archive_place
from contrastive_cxr.errors import RequestError, nearest, raise_faults
from contrastive_cxr.inference.given_images import Frames
from contrastive_cxr.inference.given_rows import given, is_table
from contrastive_cxr.inference.predict import check_device
from contrastive_cxr.metrics import neighbours
from contrastive_cxr.preflight.data_checks import faults_of
from contrastive_cxr.recipe.schema import AxisName
from contrastive_cxr.report.facts.arrays import training_vectors
from contrastive_cxr.retrieval import EmbeddingModel
from contrastive_cxr.retrieval.image_inputs import square
from contrastive_cxr.run_layout import CLASSIFIERS, PHASES, has_model, model_folder, phases_with_model

Floats = NDArray[np.float32]
RECORD = "explain.json"


@dataclass(frozen=True)
class Near:
    """An image to compare with: of the run's training images, or the user's own.

    Attributes
    ----------
    vector : float32 [D], unit length
    """

    file: Path
    label: str
    vector: Floats


@dataclass(frozen=True)
class Gallery:
    """The run's training images: vectors float32 [M, D], files, and the columns `label` and `patient`."""

    vectors: Floats
    files: list[Path]
    rows: pd.DataFrame

    def nearest(self, file: Path, vector: Floats, count: int) -> list[Near]:
        """The nearest, without the image itself and, where it is one of them, without its patient's others."""
        own = np.array([known.resolve() == file.resolve() for known in self.files])
        patients = self.rows["patient"].to_numpy(dtype=object)
        barred = own | np.isin(patients, [name for name in patients[own] if name])
        left = np.flatnonzero(~barred)
        if len(left) == 0 or count == 0:
            return []
        found, _ = neighbours.search(self.vectors[left], vector[None], min(count, len(left)))
        places = left[found[0]]
        return [Near(self.files[row], str(self.rows["label"].iloc[row]), self.vectors[row]) for row in places]


@dataclass(frozen=True)
class ExplainInputs:
    """Everything checked and loaded.

    Attributes
    ----------
    pictures : {file: float32 [1, 1, S, S] in 0..1, as the network gets them}
    target : the class asked for, None: each image's own decision
    gallery : None: the run has no vectors of its training images
    """

    model: EmbeddingModel
    folder: Path
    pictures: dict[Path, Tensor]
    target: int | None
    gallery: Gallery | None


def chosen(images: Sequence[Path], frames: Frames, axis: AxisName) -> list[Path]:
    """The images of files, folders, archives and tables, in their order; every fault at once.

    Without `frames` a single file is taken as it is: the model reads it later.
    """
    found: list[Path] = []
    faults: list[str] = []
    for image in images:
        try:
            single = frames is None and not (image.is_dir() or is_archive_place(of_path(image)) or is_table(image))
            found += [image] if single else given(image, frames, axis)
        except RequestError as error:
            faults += error.faults
    raise_faults(faults)
    return found


def check(
    run: Path, images: list[Path], target: str | None, phase: str | None, beside: Path | None, device: str, out: Path,
    overwrite: bool = False,
) -> ExplainInputs:  # fmt: skip
    """Load the model and read all images, or tell every fault at once."""
    faults = [*faults_of(lambda: check_device(device)), *faults_of(lambda: check_out(out, overwrite))]
    asked = [*images, *([] if beside is None else [beside])]
    try:
        folder = network_folder(run, phase)
        model = EmbeddingModel.load(folder, "cpu" if faults else device)
    except RequestError as error:
        missing = [f"{file}: no such file; name an image" for file in asked if not file.is_file()]
        raise RequestError(*faults, *error.faults, *missing) from error
    gallery: list[Gallery | None] = []
    faults += faults_of(lambda: check_class(model, folder, target))
    faults += faults_of(lambda: gallery.append(training_images(model, folder)))
    pictures, unreadable = read(model, asked)
    raise_faults([*faults, *unreadable.values()])
    number = None if target is None else model.classes.index(target)
    return ExplainInputs(model, folder, pictures, number, gallery[0])


def check_out(out: Path, overwrite: bool = False) -> None:
    """Refuse a folder that holds something; with `overwrite` one that holds something else than explanations."""
    if overwrite and (out / RECORD).is_file():
        return
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        cure = "it holds no explain.json, so it is not replaced" if overwrite else "or give --overwrite"
        raise RequestError(f"--out {out}: is there already and is not empty; name another folder; {cure}")


def network_folder(run: Path, phase: str | None) -> Path:
    """The phase folder whose network is explained."""
    if phase is not None and phase not in PHASES:
        raise RequestError(f"--phase {phase}: is not one of {', '.join(PHASES)}{nearest(phase, PHASES)}")
    if not run.is_dir():
        raise RequestError(f"{run}: no such folder; give the folder of a run")
    found = model_folder(run, CLASSIFIERS) if phase is None else run / phase
    if found is not None and has_model(found):
        return found
    there = phases_with_model(run)
    parts = sorted(path.parent.parent.name for path in run.glob("*/*/model.json"))
    if phase is not None and there:
        raise RequestError(f"--phase {phase}: {run} has no such finished phase; it has {', '.join(there)}")
    if there:
        raise RequestError(
            f"{run}: no finished finetune or pretrain phase, so there is no classifier; "
            "--phase embed explains the embedding alone"
        )
    if parts:
        raise RequestError(f"{run} holds several runs; explain one of them, such as {run / parts[0]}")
    raise RequestError(f"{run}: holds no finished phase (no model.json); give the folder of a run")


def check_class(model: EmbeddingModel, folder: Path, target: str | None) -> None:
    """Refuse a class that the network does not know, and a classifier where the library for it is missing."""
    faults = []
    if target is not None and not model.classes:
        faults.append(f"--target {target}: {folder} has no classifier; leave it out, or name another --phase")
    elif target is not None and target not in model.classes:
        words = f"--target {target}: is no class of {folder}{nearest(target, model.classes)}"
        faults.append(f"{words}; its classes are {', '.join(model.classes)}")
    if model.classes and not maps.installed():
        faults.append("Grad-CAM needs the library grad-cam, which is not installed; run: pip install grad-cam")
    raise_faults(faults)


def training_images(model: EmbeddingModel, folder: Path) -> Gallery | None:
    """The run's training images as its evaluation left them; None where it left none."""
    found = training_vectors(folder / "arrays")
    if found is None:
        return None
    rows, known = found
    if known.shape[1] != model.size:
        raise RequestError(
            f"{folder / 'arrays'}: the vectors of the training images have {known.shape[1]} numbers, this model's have "
            f"{model.size}; evaluate the run again"
        )
    files = [Path(root) / path for root, path in zip(rows["root"], rows["path"], strict=True)]
    return Gallery(known, files, rows)


def read(model: EmbeddingModel, files: Sequence[Path]) -> tuple[dict[Path, Tensor], dict[Path, str]]:
    """Images as the network gets them, float32 [1, 1, S, S] in 0..1; and a fault for each that cannot be read."""
    pictures: dict[Path, Tensor] = {}
    faults: dict[Path, str] = {}
    for file in files:
        try:
            cached = torch.from_numpy(square(file, model.settings))[None, None].to(model.device)
        except DecodeError as error:
            faults[file] = str(error)
            continue
        pictures[file] = augment.plain(cached, model.network.spec.image_size)
    return pictures, faults
