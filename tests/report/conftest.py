"""A run folder as an evaluation leaves it: arrays, logs and images, small enough to read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from contrastive_cxr.run.folder import write_json
from tests.report.small import drawn, facts_of, table


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A run of 40 scored and 60 training images, the last scored image's file missing."""
    images, arrays = tmp_path / "images", tmp_path / "run" / "finetune" / "arrays"
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
    with (tmp_path / "run" / "finetune" / "metrics.jsonl").open("w") as file:
        for epoch in (1, 2, 3):
            file.write(json.dumps({"epoch": epoch, "split": "step", "loss": 9.0}) + "\n")
            file.write(json.dumps({"epoch": epoch, "split": "train", "loss": 1 / epoch}) + "\n")
            file.write(json.dumps({"epoch": epoch, "split": "val", "loss": 2 / epoch, "auc": None}) + "\n")
    write_json(tmp_path / "run" / "report.json", facts_of(parts["test"], parts["train"], notes=["<b>raw</b>"]))
    return tmp_path / "run"
