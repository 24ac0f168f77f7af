"""What a W&B run shows besides numbers: artifacts with their lineage, curves, tables of cases and of vectors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from contrastive_cxr.run.tracked import DataFacts, Embedded, GalleryFacts, Scored, strip

CURVE_ROWS = 10_000
"""Images that a curve is drawn of, spread evenly: W&B draws no more points."""
DIGITS = 5
"""Of a vector's numbers: half the text, and far below what a projection shows."""


def data_artifact(name: str, facts: DataFacts) -> Any:
    """Digest, class and part of each image; no file's name and no patient."""
    import wandb

    counts = {part: dict(numbers) for part, numbers in facts.counts.items()}
    artifact = wandb.Artifact(name, type="dataset", metadata={"sha256": facts.digest, "counts": counts})
    with artifact.new_file("rows.csv", encoding="utf-8") as file:
        file.write("digest,class,split\n")
        file.writelines(",".join(_cell(value) for value in row) + "\n" for row in facts.rows)
    return artifact


def model_artifact(identity: str, folder: Path, data: str) -> Any:
    """The files of a finished phase where they lie; the metadata names the run, the data, and the weights' digest."""
    import wandb

    card = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    lineage = {"run": identity, "data": data, "phase": folder.name, "sha256": card.get("sha256", "")}
    artifact = wandb.Artifact(f"{identity}-{folder.name}", type="model", metadata=lineage)
    for name in ("model.safetensors", "model.json"):
        artifact.add_file(str((folder / name).resolve()), policy="immutable", skip_cache=True)
    return artifact


def gallery_artifact(identity: str, facts: GalleryFacts) -> Any:
    """What a gallery is and which model made it."""
    import wandb

    lineage = {"run": identity, "model_sha256": facts.model, "images": facts.images, "kind": facts.kind}
    artifact = wandb.Artifact(f"{identity}-gallery-{facts.name}", type="gallery", metadata=lineage)
    with artifact.new_file("gallery.json", encoding="utf-8") as file:
        json.dump({**lineage, "labels": dict(facts.labels)}, file, indent=2)
    return artifact


def panels(scored: Scored) -> dict[str, Any]:
    """Everything that is shown of the scored images, by the panels' names."""
    import wandb

    some = np.unique(np.linspace(0, len(scored.labels) - 1, min(len(scored.labels), CURVE_ROWS)).round().astype(int))
    truth, given = scored.labels[some], np.asarray(scored.probabilities, np.float64)[some]
    names = list(scored.classes)
    found: dict[str, Any] = {
        "evaluation/confusion": wandb.plot.confusion_matrix(
            y_true=scored.labels.tolist(), preds=scored.probabilities.argmax(axis=1).tolist(), class_names=names
        ),
        "evaluation/pr": wandb.plot.pr_curve(truth, given, labels=names),
        "evaluation/roc": wandb.plot.roc_curve(truth, given, labels=names),
    }
    if scored.cases:
        found["evaluation/cases"] = _cases(scored)
    if scored.embedded is not None:
        found["evaluation/embedding"] = _vectors(scored, scored.embedded)
    return found


def _cases(scored: Scored) -> Any:
    """A row a case: its picture, its nearest training images side by side, and the words."""
    import wandb

    shares = [f"p_{name}" for name in scored.classes]
    table = wandb.Table(
        columns=["file", "image", "class", "predicted", *shares, "neighbours", "neighbour classes", "distances"]
    )
    for case in scored.cases:
        near = wandb.Image(strip(list(case.near))) if len(case.near) else None
        table.add_data(
            scored.files[case.row], wandb.Image(case.picture), scored.label(case.row), scored.decided(case.row),
            *(float(value) for value in scored.probabilities[case.row]),
            near, ", ".join(case.labels), ", ".join(f"{gap:.3f}" for gap in case.distances),
        )  # fmt: skip
    return table


def _vectors(scored: Scored, found: Embedded) -> Any:
    """A row an image and a column a dimension, which W&B's projection takes."""
    import wandb

    columns = [f"v{number}" for number in range(found.vectors.shape[1])]
    table = wandb.Table(columns=["file", "class", "predicted", *columns])
    for row, vector in zip(
        found.rows.tolist(), np.asarray(found.vectors, np.float64).round(DIGITS).tolist(), strict=True
    ):
        table.add_data(scored.files[row], scored.label(row), scored.decided(row), *vector)
    return table


def _cell(value: str) -> str:
    """A cell of a CSV file, in quotes where it has to be."""
    return '"' + value.replace('"', '""') + '"' if any(mark in value for mark in ',"\n\r') else value
