"""Finished run folders made by hand: what `ccxr run` leaves, without a training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from contrastive_cxr import recipe as recipes
from contrastive_cxr import report
from contrastive_cxr.recipe import Recipe
from contrastive_cxr.run import folder as folders

CLASSES = ("normal", "nodule", "opacity")
QUICK = ("embed=null", "finetune=null", "evaluation.resamples=100")


def a_recipe(*words: str) -> Recipe:
    return recipes.load("phantom", [*QUICK, *words])


def drawn(n: int = 60, seed: int = 0, skill: float = 0.6, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities float32 [n, C] that know something, and the labels, which do not depend on `seed`."""
    labels = np.random.default_rng(99).integers(0, classes, n)
    raw = np.random.default_rng(seed).random((n, classes)) + skill * np.eye(classes)[labels]
    return (raw / raw.sum(1, keepdims=True)).astype(np.float32), labels


def rows_of(labels: np.ndarray, classes: Sequence[str], root: str = "/a", start: int = 0) -> pd.DataFrame:
    """`rows.csv`: three images a patient, contents known."""
    return pd.DataFrame(
        {
            "path": [f"{start + i:03}.png" for i in range(len(labels))],
            "root": root,
            "label": [classes[label] for label in labels],
            "patient": [f"p{i // 3}" for i in range(len(labels))],
            "split": "test",
            "class": [classes[label] for label in labels],
            "digest": [f"d{start + i:03}" for i in range(len(labels))],
        }
    )


def write_run(
    folder: Path,
    recipe: Recipe,
    probabilities: np.ndarray,
    labels: np.ndarray,
    *,
    rows: pd.DataFrame | None = None,
    minutes: float = 1.5,
    trainable: int | None = 100,
) -> Path:
    """A run of one phase, `pretrain`."""
    names = recipe.task.names
    rows = rows_of(labels, names) if rows is None else rows
    arrays = folder / "pretrain" / "arrays"
    arrays.mkdir(parents=True)
    np.save(arrays / "probabilities.npy", probabilities)
    np.save(arrays / "labels.npy", labels)
    rows.to_csv(arrays / "rows.csv", index=False)
    (folder / "recipe.yaml").write_text(recipes.dump(recipe))
    budget = {"device": "cpu", "phases": {"pretrain": {"steps": 10, "images": 160, "minutes": minutes}}}
    facts = report.build(
        report.Subject(recipe.name, recipe.task, "pretrain", "test"),
        report.Predictions(probabilities, labels, pd.factorize(rows["patient"])[0].astype(np.int64)),
        report.ReportExtras(budget=budget),
        resamples=100,
    )
    folders.write_json(folder / "report.json", facts)
    training = {} if trainable is None else {"trainable": trainable, "parameters": 2 * trainable}
    folders.write_json(folder / "pretrain" / "model.json", {"training": training})
    return folder


def write_pool(folder: Path, recipe: Recipe, parts: dict[str, tuple[np.ndarray, np.ndarray, pd.DataFrame]]) -> Path:
    """A run that pools others, its report made from their mean."""
    for name, (said, labels, rows) in parts.items():
        write_run(folder / name, recipe, said, labels, rows=rows)
    every = pd.concat([rows.assign(y=labels, p=list(said)) for said, labels, rows in parts.values()])
    grouped = every.sort_values("path", kind="stable").groupby("path", sort=True)
    said = np.stack([np.mean(np.stack(list(part)), axis=0) for part in grouped["p"].apply(list)])
    labels = grouped["y"].first().to_numpy()
    facts = report.build(
        report.Subject(recipe.name, recipe.task, "pretrain", "test"),
        report.Predictions(said, labels, np.full(len(labels), -1)),
        resamples=100,
    )
    folders.write_json(folder / "report.json", facts)
    folders.write_json(folder / "parts.json", {"experiment": recipe.name, "parts": list(parts)})
    values = [float((part[0].argmax(1) == part[1]).mean()) for part in parts.values()]
    mean = {"accuracy": {"mean": float(np.mean(values)), "sd": float(np.std(values, ddof=1)), "values": values}}
    folders.write_json(folder / "pooled.json", {"parts": list(parts), "scores": {"image": mean}})
    (folder / "recipe.yaml").write_text(recipes.dump(recipe))
    return folder


def write_cascade(folder: Path, recipe: Recipe, flat: np.ndarray, joined: np.ndarray, labels: np.ndarray) -> Path:
    """A cascade whose verdict differs from the largest joined probability in the first row."""
    verdicts = joined.argmax(1)
    verdicts[0] = (verdicts[0] + 1) % 3
    for name in ("flat", "stage1", "stage2"):
        write_run(folder / name, a_recipe(f"name=cascade/{name}"), flat, labels)
    stages = {name: folders.read_json(folder / name / "report.json") for name in ("flat", "stage1", "stage2")}
    rows = rows_of(labels, CLASSES)
    facts = report.build_cascade(
        report.Subject(recipe.name, recipe.task, "cascade", "test"),
        report.Predictions(joined, labels, pd.factorize(rows["patient"])[0].astype(np.int64)),
        report.Stages(flat, verdicts, stages, 0),
        resamples=100,
    )
    (folder / "arrays").mkdir()
    for name, array in {"flat": flat, "joined": joined, "verdicts": verdicts}.items():
        np.save(folder / "arrays" / f"{name}.npy", array)
    rows.to_csv(folder / "arrays" / "rows.csv", index=False)
    folders.write_json(folder / "report.json", facts)
    (folder / "recipe.yaml").write_text(recipes.dump(recipe))
    return folder


def edit(path: Path, **changes: Any) -> None:
    """Change fields of a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
