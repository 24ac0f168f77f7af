"""Small scored parts, as an evaluation makes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from contrastive_cxr import report
from contrastive_cxr.metrics import neighbours
from contrastive_cxr.run.folder import write_json
from contrastive_cxr.tasks import Task

CLASSES = ("normal", "covid", "other")
TASK = Task(name="three", classes={name: (name.upper(),) for name in CLASSES}, positive="covid")


def drawn(n: int, seed: int, patients: bool) -> dict[str, Any]:
    """Labels, patients, probabilities and vectors of `n` images; the vectors know their class."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    raw = rng.random((n, 3)) + 0.3 * np.eye(3)[labels]
    vectors = (rng.normal(size=(n, 8)) + 2 * np.eye(3, 8)[labels]).astype(np.float32)
    return {
        "labels": labels,
        "patients": rng.integers(-1, 12, n) if patients else np.full(n, -1),
        "probabilities": (raw / raw.sum(1, keepdims=True)).astype(np.float32),
        "vectors": vectors / np.linalg.norm(vectors, axis=1, keepdims=True),
    }


def table(part: dict[str, Any], root: Path, name: str) -> pd.DataFrame:
    labels = [CLASSES[number] for number in part["labels"]]
    return pd.DataFrame(
        {
            "path": [f"{name}{i}.png" for i in range(len(labels))],
            "root": str(root),
            "label": [label.upper() for label in labels],
            "patient": ["" if p < 0 else f"p{p}" for p in part["patients"]],
            "split": name,
            "class": labels,
        }
    )


def facts_of(asked: dict[str, Any], known: dict[str, Any], **more: Any) -> dict[str, Any]:
    found = {
        phase: neighbours.scores(
            known["vectors"][:, :width], known["labels"], asked["vectors"][:, :width], asked["labels"], classes=3
        )
        for phase, width in (("pretrain", 2), ("embed", 8))
    }
    given: dict[str, Any] = {
        "baselines": [("forest", np.full((len(asked["labels"]), 3), 1 / 3))],
        "targets": {"sensitivity": 0.9},
        "familiarity": asked["vectors"][:, 0],
    }
    return report.build(
        report.Subject("a <small> run", TASK, "finetune", "test"),
        predictions(asked),
        report.ReportExtras(neighbours=found, **given | more),
        resamples=100,
    )


def predictions(part: dict[str, Any]) -> report.Predictions:
    return report.Predictions(*(part[name] for name in ("probabilities", "labels", "patients")))


def write_run(folder: Path) -> Path:
    """A run of 40 scored and 60 training images in `folder`/run, as an evaluation leaves it; the images beside it."""
    images, arrays = folder / "images", folder / "run" / "finetune" / "arrays"
    images.mkdir()
    arrays.mkdir(parents=True)
    parts = {"test": drawn(40, 0, True), "train": drawn(60, 1, False)}
    rng = np.random.default_rng(0)
    for name, part in parts.items():
        for i in range(len(part["labels"])):
            Image.fromarray(rng.integers(0, 256, (20, 30), dtype=np.uint8)).save(images / f"{name}{i}.png")
    for name in ("vectors", "labels", "patients", "probabilities"):
        np.save(arrays / f"{name}.npy", parts["test"][name])
    np.save(arrays / "train_vectors.npy", parts["train"]["vectors"])
    np.save(arrays / "thumbnails.npy", rng.integers(0, 256, (40, 64, 64), dtype=np.uint8))
    table(parts["test"], images, "test").to_csv(arrays / "rows.csv", index=False)
    table(parts["train"], images, "train").to_csv(arrays / "train_rows.csv", index=False)
    with (folder / "run" / "finetune" / "metrics.jsonl").open("w") as file:
        for epoch in (1, 2, 3):
            file.write(json.dumps({"epoch": epoch, "split": "step", "loss": 9.0}) + "\n")
            file.write(json.dumps({"epoch": epoch, "split": "train", "loss": 1 / epoch}) + "\n")
            file.write(json.dumps({"epoch": epoch, "split": "val", "loss": 2 / epoch, "auc": None}) + "\n")
    write_json(folder / "run" / "report.json", facts_of(parts["test"], parts["train"], notes=["<b>raw</b>"]))
    return folder / "run"
