"""Use a run's classifier on images of any source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from contrastive_cxr import terminal
from contrastive_cxr.data.files.addresses import of_path
from contrastive_cxr.data.tables.text_tables import for_spreadsheets
from contrastive_cxr.errors import RequestError, raise_faults
from contrastive_cxr.evaluation import pooled
from contrastive_cxr.files import tidy
from contrastive_cxr.inference.given_images import Frames, warn_of_squeezed
from contrastive_cxr.inference.given_rows import Sources, given
from contrastive_cxr.metrics import calibration, decisions
from contrastive_cxr.recipe.schema import AxisName, InferencePrecision
from contrastive_cxr.report.facts.report_json import VERSION
from contrastive_cxr.retrieval import EmbeddingModel, inference_precision
from contrastive_cxr.run import folder as folders
from contrastive_cxr.run_layout import CLASSIFIERS, MODEL, kind_of, model_folder
from contrastive_cxr.spread import Engine

EMBEDDED = Engine()


def predict(
    run: Path, source: Sources, out: Path, *, device: str = "cpu", batch_size: int = 64, frames: Frames = None,
    axis: AxisName = "axial", overwrite: bool = False, precision: InferencePrecision = "auto",
    engine: Engine = EMBEDDED,
) -> pd.DataFrame:  # fmt: skip
    """Write a row an image: file, a probability a class, the decision.

    A run over seeds or folds is one predictor: the mean of its models' probabilities, decided by that mean;
    `.attrs["predictor"]` of the table says so in a sentence.

    Test-time augmentation and decision costs are those that the run was trained with. With costs the decision is the
    class of least expected cost, and the most probable class stands beside it as `most_probable`. Where the run's
    report has them from its validation part: `calibrated_<class>`, the probabilities at the fitted temperature, and
    `<positive>_at_<sensitivity or specificity>_<wanted>`, whether the positive class reaches that threshold.

    Parameters
    ----------
    run : Path
        A run with a classifier (its `finetune`, else `pretrain`), such a phase's folder, or a run over seeds or folds.
    source : path, or sequence of these
        Images, or folders, archives, URLs or tables of them (`given_rows.given`).
    frames, axis : as in `given.images_of`
    out : Path
        CSV file to write; an existing one is refused, or replaced with `overwrite`.
    precision : str
        `32-true`, `bf16-mixed` or `auto` (`retrieval.inference_precision`).
    engine : Engine
        Of Ray: workers decode and predict. What they have done stays in `OUT.parts` until the table is written.

    Raises
    ------
    RequestError
        No classifier, no image, unreadable images (each named), or `out` exists.
    """
    refuse_existing(out, ".csv", overwrite=overwrite)
    if not engine.is_ray:
        check_device(device)
    inference_precision.check(precision)
    terminal.stage("reading the images")
    paths = given(source, frames, axis)
    phases = classifiers_of(run)
    if engine.is_ray:
        from contrastive_cxr.inference import spread_encode, spread_parts

        models = [EmbeddingModel.load(phase, "cpu", precision) for phase in phases]
        files = [of_path(path) for path in paths]
        probabilities, squeezed = spread_encode.probabilities(engine, models, files, out, device, batch_size)
        model = models[-1]
    else:
        told = []
        terminal.stage("predicting")
        for phase in phases:  # one model at a time is held
            model = EmbeddingModel.load(phase, device, precision)
            told.append(model.predict(paths, batch_size=batch_size, tta=model.card["tta"]))
        probabilities, squeezed = np.mean(np.stack(told), axis=0), model.squeezed
    warn_of_squeezed(squeezed, len(paths))
    table = pd.DataFrame({"file": [of_path(path) for path in paths]})
    for number, name in enumerate(model.classes):
        table[f"p_{name}"] = probabilities[:, number]
    said = np.array(model.classes, dtype=object)
    table["decision"] = said[probabilities.argmax(1)]
    if model.card["costs"]:
        table["most_probable"] = table["decision"]
        costs = decisions.matrix(model.classes, model.card["costs"])
        table["decision"] = said[decisions.decide(probabilities, costs)]
    scored = run if pooled.is_pool(run) else phases[0].parent
    table = table.assign(**trusted(scored, phases[0].name, model.classes, probabilities))
    folders.write_table(out, for_spreadsheets(table))
    if engine.is_ray:
        spread_parts.drop_working(spread_parts.working(out))
    if pooled.is_pool(run):
        parts = pooled.parts_of(run)
        said_by = f"the {len(parts)} {kind_of(parts)} {', '.join(parts)}"
        table.attrs["predictor"] = f"One predictor: the mean of the probabilities of {said_by}."
    return table


def classifiers_of(run: Path) -> list[Path]:
    """The folder of a run's classifier; of a run over seeds or folds that of each part.

    Raises
    ------
    RequestError
        A part has no classifier, or one of another phase or of other classes than the first part.
    """
    if not pooled.is_pool(run):
        return [classifier_of(run)]
    found = [classifier_of(run / name) for name in pooled.parts_of(run)]
    cards = [folders.read_json(phase / MODEL)["classes"] for phase in found]
    raise_faults(
        f"{phase}: is not of the phase and classes of {found[0]}, so their mean is of nothing; finish the run first: "
        f"ccxr run ... --out {run} --resume"
        for phase, classes in zip(found, cards, strict=True)
        if phase.name != found[0].name or classes != cards[0]
    )
    return found


def trusted(
    run: Path, phase: str, classes: Sequence[str], probabilities: NDArray[np.float32]
) -> dict[str, NDArray[np.generic]]:
    """Columns of what the run's report fitted on its validation part: calibrated probabilities, thresholds reached.

    Parameters
    ----------
    run, phase : Path, str
        Folder with the report, which is of that phase or not used.
    classes : sequence of str
    probabilities : float32 [N, C]

    Returns
    -------
    dict of float64 [N] and bool [N]
        Empty where there is no report, or its temperature and thresholds were fitted on the scored images.
    """
    return fitted_columns(fitted(run, phase, classes), classes, probabilities)


def fitted_columns(
    found: Fitted, classes: Sequence[str], probabilities: NDArray[np.float32]
) -> dict[str, NDArray[np.generic]]:
    """The columns of `trusted`, from what `fitted` read."""
    columns: dict[str, NDArray[np.generic]] = {}
    if found.temperature is not None:
        scaled = calibration.scale(probabilities.astype(np.float64), found.temperature)
        columns |= {f"calibrated_{name}": scaled[:, number] for number, name in enumerate(classes)}
    for name, threshold in found.thresholds.items():
        columns[name] = probabilities[:, classes.index(found.positive)] >= threshold
    return columns


@dataclass(frozen=True)
class Fitted:
    """What a run's report fitted on its validation part.

    Attributes
    ----------
    positive : str
        The positive class; empty where there is no report.
    temperature : float or None
        Of `metrics.calibration.scale`.
    thresholds : {column of the predictions: least probability of the positive class}
    """

    positive: str = ""
    temperature: float | None = None
    thresholds: dict[str, float] = field(default_factory=dict)


def fitted(run: Path, phase: str, classes: Sequence[str]) -> Fitted:
    """What the report in `run` fitted; nothing where it is of another phase, other classes or another version."""
    file = run / "report.json"
    report: dict[str, Any] = folders.read_json(file) if file.is_file() else {}
    if report.get("version") != VERSION or report["phase"] != phase or report["task"]["classes"] != list(classes):
        return Fitted()
    positive, scaled = report["task"]["positive"], report["calibration"]
    thresholds = {
        f"{positive}_at_{line['of']}_{line['wanted']:g}": float(line["threshold"])
        for line in report["thresholds"]
        if line["threshold"] is not None and line["fitted_on"] == "validation"
    }
    return Fitted(positive, scaled["temperature"] if scaled["fitted_on"] == "validation" else None, thresholds)


def classifier_of(run: Path) -> Path:
    """The phase folder whose model has a classifier: `run` itself, `finetune`, else `pretrain`."""
    found = model_folder(run, CLASSIFIERS)
    if found is not None:
        return found
    raise RequestError(
        f"{run}: no finished finetune or pretrain phase, so there is no classifier; run one, or name its folder"
    )


def refuse_existing(out: Path, ending: str, *beside: Path, overwrite: bool | None = None) -> None:
    """Refuse a result file whose ending is not written here, and result files that exist.

    Parameters
    ----------
    overwrite : bool or None
        Whether files that exist are replaced; folders never are. None: the command has no such option.
    """
    if out.parent.is_dir():
        tidy(out.parent)
    faults = [] if out.suffix == ending else [f"--out {out}: must end in {ending}"]
    cure = "name another file, or remove it" if overwrite is None else "name another file, or give --overwrite"
    there = [file for file in (out, *beside) if file.is_dir() or (file.exists() and not overwrite)]
    faults += [f"--out {file}: exists; {cure}" for file in there]
    raise_faults(faults)


def check_device(device: str) -> None:
    """Refuse a device other than auto, cpu and cuda, and cuda where torch finds none."""
    if device not in ("auto", "cpu", "cuda"):
        raise RequestError(f"--device {device}: is none of auto, cpu and cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise RequestError("--device cuda: torch finds no CUDA device here; use cpu or auto")
