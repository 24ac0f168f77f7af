"""What does phase 2 add to phase 1, and phase 3 to both? One factor changed at a time, over seeds, by a small network.

    python -m benchmarks.studies.phase_two data.root=DIR --elsewhere DIR [--seeds 3] [--only NAME ...] [--out FOLDER]

Each seed trains phase 1 once (EfficientNet-Lite0 at 96 pixels, from ImageNet); each row trains phases 2 and 3 from it.
Scored are the validation images, the images of train that chose nothing, and those of another place (--elsewhere, class
folders below test/). Neighbours are looked for among the training images. Differences are paired by image, their mean
over the seeds taken first; the interval says how far it depends on the images that were scored. Every row that was
tried is in the file. An interrupted study goes on where it was.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks import record
from contrastive_cxr import augment, engine, phases
from contrastive_cxr import recipe as recipes
from contrastive_cxr.data.batches import Images
from contrastive_cxr.data.dataset import Dataset, open_dataset
from contrastive_cxr.metrics import neighbours
from contrastive_cxr.metrics.neighbours import NeighbourScores
from contrastive_cxr.metrics.statistics import intervals, weighted
from contrastive_cxr.models import links, weights
from contrastive_cxr.phases import PhaseContext
from contrastive_cxr.recipe.schema import Recipe
from contrastive_cxr.run import folder
from contrastive_cxr.run.tracking import Tracker

RECIPE = "xray/three-class-light"
SMALL = ("model.backbone=timm/tf_efficientnet_lite0", "model.image_size=96")
NEIGHBOURS = ("map_at_r", "knn_accuracy", "knn_auc")
ANSWERS = ("accuracy", "balanced_accuracy", "auc")
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Row:
    """One variant of phases 2 and 3: what is changed of the recipe."""

    name: str
    changes: tuple[str, ...] = ()


ROWS = (
    Row("base"),
    # what is trained
    Row("projection alone", ("embed.trainable=[projection]",)),
    Row("last blocks", ("embed.trainable=[blocks.5, blocks.6, conv_head, bn2, projection]",)),
    Row("layer decay 0.7", ("embed.optimiser.layer_decay=0.7",)),
    Row("rate 1e-3", ("embed.optimiser.lr=0.001",)),
    Row("rate 1e-4", ("embed.optimiser.lr=0.0001",)),
    # positives
    Row("positives both, wide", ("embed.positives=both", "embed.positive_augment=xray-wide")),
    Row("positives both, strong", ("embed.positives=both",)),
    # loss and triplets
    Row("triplets, semihard", ("embed.loss=triplet", "embed.mining=semihard")),
    Row("triplets, distance-weighted", ("embed.loss=triplet", "embed.mining=distance-weighted")),
    Row("temperature 0.3", ("embed.temperature=0.3",)),
    Row("temperature 0.05", ("embed.temperature=0.05",)),
    # the projection
    Row("projection 512, 128", ("embed.projection=[512, 128]",)),
    # augmentation
    Row("augmentation xray", ("embed.augment=xray",)),
    # length and averaging
    Row("twice as long", ("embed.epochs=8",)),
    Row("half as long", ("embed.epochs=2",)),
    Row("no averaging", ("embed.ema_decay=0",)),
    # the head on top
    Row(
        "head and projection, light, contrastive 0.5",
        (
            "finetune.trainable=null", "finetune.augment=xray-wide", "finetune.epochs=2", "finetune.contrastive=0.5",
            "finetune.optimiser.lr=0.003", "finetune.backbone_lr=0.0001", "finetune.batch_size=32",
        ),
    ),
)  # fmt: skip


@dataclass
class PhasePredictions:
    """What one model says of the parts: neighbours among the training images, and class probabilities."""

    near: dict[str, NeighbourScores]
    features: dict[str, NeighbourScores]
    probabilities: dict[str, Floats] = field(default_factory=dict)


def main() -> None:
    """Train what is missing, compare, write `benchmarks/results/phase_two.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", help="for every row, such as data.root=DIR pretrain.epochs=2")
    parser.add_argument("--elsewhere", type=Path, help="images of another place, never trained on")
    parser.add_argument("--recipe", default=RECIPE)
    parser.add_argument("--full-size", action="store_true", help="the recipe's own network and size")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", action="append", help="names of rows; the first row is always there")
    parser.add_argument("--out", type=Path, default=Path("runs/phase-two"))
    parser.add_argument("--words", default="", help="a remark for the file")
    parser.add_argument("--result", type=Path)
    options = parser.parse_args()
    chosen = [row for row in ROWS if not options.only or row.name in (ROWS[0].name, *options.only)]
    words = [*(() if options.full_size else SMALL), "runtime.device=cpu", *options.overrides]
    base = recipes.load(options.recipe, words)
    data = open_dataset(base.data, base.task)
    parts = {name: (data, data.rows(name)) for name in ("val", "test") if len(data.rows(name))}
    if options.elsewhere is not None:
        places = [f"data.root={options.elsewhere}", "data.split.kind=official"]
        other_recipe = recipes.load(options.recipe, [*words, *places])
        other = open_dataset(other_recipe.data, base.task, need=("test",))
        parts["elsewhere"] = other, other.rows("test")
    found: dict[str, list[dict[str, Any]]] = {}
    firsts = []
    for seed in range(options.seeds):
        first = trained(base.model_copy(update={"seed": seed}), data, "pretrain", options.out / f"seed{seed}" / "base")
        firsts.append(asked(first, data, parts))
        for row in chosen:
            recipe = recipes.load(options.recipe, [*words, *row.changes]).model_copy(update={"seed": seed})
            where = options.out / f"seed{seed}" / row.name.replace(" ", "-").replace(",", "")
            second = trained(recipe, data, "embed", where, first)
            third = trained(recipe, data, "finetune", where, second)
            said = {"embed": asked(second, data, parts), "finetune": asked(third, data, parts)}
            found.setdefault(row.name, []).append({**said, "minutes": minutes(second)})
            record.say(f"seed {seed}, {row.name}: {minutes(second):.1f} minutes of phase 2")
    lines = [line(row, firsts, found[row.name], parts) for row in chosen]
    result = {
        "recipe": base.name,
        "network": f"{base.model.backbone} at {base.model.image_size} pixels",
        "pretrain_epochs": base.pretrain.epochs if base.pretrain else 0,
        "seeds": options.seeds,
        "words": options.words,
        "phase_1": {name: first_of(firsts, name, parts) for name in parts},
        "rows": lines,
    }
    record.write(options.result, "phase_two", result)


def trained(recipe: Recipe, data: Dataset, name: str, where: Path, start: Path | None = None) -> Path:
    """Folder of the phase's model, trained where it is not there yet."""
    place = where / name
    setting = PhaseContext(recipe, data, engine.launch(recipe.runtime), place, start, Tracker(), resume=place.is_dir())
    place.mkdir(parents=True, exist_ok=True)
    getattr(phases, name)(setting)
    return place


def minutes(phase: Path) -> float:
    """What the phase took."""
    return float(folder.read_json(phase / "done.json")["seconds"]) / 60


def asked(phase: Path, data: Dataset, parts: dict[str, tuple[Dataset, NDArray[np.int64]]]) -> PhasePredictions:
    """What the model in `phase` says of the parts, the training images being what is searched."""
    network, card = weights.load(phase)
    fabric = engine.launch(recipes.schema.Runtime(device="cpu"))
    classes, labels = len(data.classes), data.labels[data.rows("train")]

    def everything(of: Dataset, rows: NDArray[np.int64]) -> list[Floats]:
        images = Images(of.images, fabric.device)

        def parts_of(pixels: Tensor) -> Tensor:
            features = network.features(augment.plain(pixels, network.spec.image_size))
            vectors = network.project(features)
            said = [features, vectors]
            if network.classifier is not None:
                logits = network.head(features if network.projection is None else vectors)
                said.append(links.probabilities(logits, card["link"]))
            return torch.cat(said, dim=1)

        found = engine.encode(fabric, parts_of, rows, 64, images.take, network=network)
        return np.split(found, [network.width, network.width + network.embedding_size], axis=1)

    known = everything(data, data.rows("train"))
    said = PhasePredictions({}, {})
    for name, (of, rows) in parts.items():
        features, vectors, probabilities = everything(of, rows)
        for kept, place, theirs in ((said.features, 0, features), (said.near, 1, vectors)):
            kept[name] = neighbours.scores(known[place], labels, theirs, of.labels[rows], classes=classes)
        if probabilities.shape[1]:
            said.probabilities[name] = probabilities
    return said


def first_of(
    firsts: Sequence[PhasePredictions], part: str, parts: dict[str, tuple[Dataset, NDArray[np.int64]]]
) -> dict[str, Any]:
    """Scores of phase 1 on a part, means over the seeds."""
    of, rows = parts[part]
    ones = np.ones((1, len(rows)))
    points = [weighted.statistics(np.float64(each.probabilities[part]), of.labels[rows], ones) for each in firsts]
    return {
        "n": len(rows),
        **{name: mean(each.near[part].values[name]["value"] for each in firsts) for name in NEIGHBOURS},
        **{name: mean(float(each[name][0]) for each in points) for name in ANSWERS},
    }


def mean(values: Any) -> float:
    """Mean, to four digits."""
    return round(float(np.mean(list(values))), 4)


def line(
    row: Row, firsts: Sequence[PhasePredictions], found: Sequence[dict[str, Any]], parts: dict[str, tuple[Dataset, Any]]
) -> dict[str, Any]:
    """A row of the table: scores of phases 2 and 3, and what they added, by part."""
    scored = {}
    for part, (of, rows) in parts.items():
        labels, patients = of.labels[rows], of.patients[rows]
        before, after = [each.near[part] for each in firsts], [each["embed"].near[part] for each in found]
        below = [each["embed"].features[part] for each in found]
        probabilities = [[each.probabilities[part] for each in firsts]]
        probabilities.append([each["finetune"].probabilities[part] for each in found])
        votes = [[each.votes for each in side] for side in (before, after)]
        scored[part] = {
            "embedding": {name: mean(each.values[name]["value"] for each in after) for name in NEIGHBOURS},
            "features_below": {name: mean(each.values[name]["value"] for each in below) for name in NEIGHBOURS},
            "neighbours_added": {
                **{name: gain([each.per_query[name] for each in side] for side in (after, before))
                   for name in NEIGHBOURS[:2]},
                "knn_auc": added(votes[1], votes[0], labels, patients, ("auc",))["auc"],
            },
            "answers_added": added(probabilities[1], probabilities[0], labels, patients, ANSWERS),
        }  # fmt: skip
    return {"row": row.name, "changes": list(row.changes), "minutes": mean(e["minutes"] for e in found), **scored}


def gain(sides: Any) -> dict[str, Any]:
    """Paired difference by query of the means over seeds."""
    after, before = (np.mean(side, axis=0) for side in sides)
    return intervals.paired(after, before)


def added(
    first: Sequence[Any], second: Sequence[Any], labels: Any, patients: Any, names: Sequence[str]
) -> dict[str, Any]:
    """Differences of scores, first minus second, each the mean over seeds, paired by image."""

    def of(given: Sequence[Any], name: str) -> intervals.Statistic:
        return lambda w: np.mean([weighted.statistics(np.float64(e), labels, w)[name] for e in given], axis=0)

    return {
        name: intervals.paired_statistic(of(first, name), of(second, name), len(labels), patients) for name in names
    }


if __name__ == "__main__":
    main()
