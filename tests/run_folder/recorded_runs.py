"""Runs as they are recorded, with images but without a model: enough to ask what has become of their rows."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from contrastive_cxr import recipe as recipes
from contrastive_cxr.data.dataset import open_dataset
from contrastive_cxr.run import folder as folders

CLASSES = ("normal", "nodule", "opacity")


def paint(path: Path, seed: int) -> None:
    """A picture of noise, another one for every seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (20, 20), dtype=np.uint8)).save(path)


def images(root: Path, parts: Mapping[str, int], first: int = 0) -> Path:
    """`root/PART/CLASS/N.png` for every part and class; `first` is the first seed."""
    for number, (part, count) in enumerate(parts.items()):
        for place, name in enumerate(CLASSES):
            for image in range(count):
                paint(root / part / name / f"{image}.png", first + 100 * number + 10 * place + image)
    return root


def table(root: Path, patients: Mapping[str, str]) -> Path:
    """`labels.csv` of the images below `root`, with the patients of some files and a column `sex`."""
    files = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.png"))
    rows = [(file, file.split("/")[-2], file.split("/")[0], patients.get(file, ""), "f") for file in files]
    pd.DataFrame(rows, columns=["file", "label", "split", "patient", "sex"]).to_csv(root / "labels.csv", index=False)
    return root


def record(run: Path, cache: Path, *words: str) -> Path:
    """What a run of the phantom task writes before training: recipe and manifest."""
    settings = [f"data.cache_dir={cache}", "data.cache_size=16", "data.split.kind=official", *words]
    recipe = recipes.load("phantom", settings)
    folders.write_text(run / "recipe.yaml", recipes.record(recipe))
    folders.write_table(run / "manifest.csv", open_dataset(recipe.data, recipe.task).manifest_table())
    return run


def move(root: Path, target: Path) -> Path:
    """The folder in another place, the old one gone."""
    shutil.move(root, target)
    return target
