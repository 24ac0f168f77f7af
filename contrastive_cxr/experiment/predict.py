"""Use a run's classifier on images of any source."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from contrastive_cxr.data.tables import for_spreadsheets
from contrastive_cxr.data.tree import is_text
from contrastive_cxr.errors import RequestError, raise_faults
from contrastive_cxr.evaluate import decisions
from contrastive_cxr.files import tidy
from contrastive_cxr.retrieval import EmbeddingModel
from contrastive_cxr.run import folder as folders

SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".dcm", ".dicom"}


def images_of(source: Path) -> list[Path]:
    """The image files of a source: one file, or all below a folder, sorted.

    Raises
    ------
    RequestError
        Nothing there, or no image in it.
    """
    if not source.is_file() and not source.is_dir():
        raise RequestError(f"{source}: no such file or folder; name an image or a folder of images")
    found = [source]
    if source.is_dir():
        found = sorted(path for path in source.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    raise_faults(
        f"{source}: the name {os.fsencode(path)!r} is not UTF-8, or holds a carriage return; rename it"
        for path in found
        if not is_text(str(path))
    )
    if not found:
        raise RequestError(f"{source}: holds no image file ({', '.join(sorted(SUFFIXES))})")
    return found


def predict(run: Path, source: Path, out: Path, *, device: str = "cpu", batch_size: int = 64) -> pd.DataFrame:
    """Write a row an image: file, a probability a class, the decision.

    Test-time augmentation and decision costs are those that the run was trained with. With costs the decision is the
    class of least expected cost, and the most probable class stands beside it as `most_probable`.

    Parameters
    ----------
    run : Path
        A run with a classifier (its `finetune`, else `pretrain`), or such a phase's folder.
    source : Path
        An image or a folder of images.
    out : Path
        CSV file to write; an existing one is refused.

    Raises
    ------
    RequestError
        No classifier, no image, unreadable images (each named), or `out` exists.
    """
    refuse_existing(out, ".csv")
    check_device(device)
    paths = images_of(source)
    model = EmbeddingModel.load(classifier_of(run), device=device)
    probabilities = model.predict(paths, batch_size=batch_size, tta=model.card["tta"])
    table = pd.DataFrame({"file": [str(path) for path in paths]})
    for number, name in enumerate(model.classes):
        table[f"p_{name}"] = probabilities[:, number]
    said = np.array(model.classes, dtype=object)
    table["decision"] = said[probabilities.argmax(1)]
    if model.card["costs"]:
        table["most_probable"] = table["decision"]
        costs = decisions.matrix(model.classes, model.card["costs"])
        table["decision"] = said[decisions.decide(probabilities, costs)]
    folders.write_table(out, for_spreadsheets(table))
    return table


def classifier_of(run: Path) -> Path:
    """The phase folder whose model has a classifier: `finetune`, else `pretrain`, else `run` itself."""
    for name in ("finetune", "pretrain"):
        if (run / name / "model.json").is_file():
            return run / name
    if (run / "model.json").is_file():
        return run
    raise RequestError(
        f"{run}: no finished finetune or pretrain phase, so there is no classifier; run one, or name its folder"
    )


def refuse_existing(out: Path, ending: str, *beside: Path) -> None:
    """Refuse a result file whose ending is not written here, and result files that exist."""
    if out.parent.is_dir():
        tidy(out.parent)
    faults = [] if out.suffix == ending else [f"--out {out}: must end in {ending}"]
    faults += [f"--out {file}: exists; name another file, or remove it" for file in (out, *beside) if file.exists()]
    raise_faults(faults)


def check_device(device: str) -> None:
    """Refuse a device that torch does not know or find."""
    if device not in ("cpu", "cuda"):
        raise RequestError(f"--device {device}: is neither cpu nor cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise RequestError("--device cuda: torch finds no CUDA device here; use cpu")
