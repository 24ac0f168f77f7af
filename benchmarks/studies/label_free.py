"""Does label-free training help? k-NN accuracy of an embedding after it against the same network before, over seeds.

python -m benchmarks.studies.label_free data.root=DIR [--recipe xray/label-free] [--seeds 3] [--out FOLDER]

The network before is the run's own first weights (same seed, same shape). Neighbours of the run's test images among its
training images, by the embedding and by the backbone's features below it; the paired interval resamples images and
averages each image's gain over the seeds. An interrupted benchmark goes on where it was. --recorded: FOLDER holds
finished runs of another machine without their weights; the votes that they recorded are compared, of the embedding.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from benchmarks import record
from contrastive_cxr import augment, engine
from contrastive_cxr import recipe as recipes
from contrastive_cxr.data.batches import Images
from contrastive_cxr.data.dataset import Dataset, open_dataset
from contrastive_cxr.evaluation.evaluate import Outputs, neighbour_scores
from contrastive_cxr.metrics import neighbours
from contrastive_cxr.metrics.statistics import intervals
from contrastive_cxr.models import weights
from contrastive_cxr.phases import PhaseContext
from contrastive_cxr.recipe.schema import Recipe
from contrastive_cxr.run import folder
from contrastive_cxr.run.tracking import Tracker
from contrastive_cxr.training.train import run_single

NAMES = ("knn_accuracy", "map_at_r")
VECTORS = ("features", "embedding")


def main() -> None:
    """Run the seeds, compare, write `benchmarks/results/label_free.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--recipe", default="xray/label-free")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--split", choices=("val", "test"), default="test")
    parser.add_argument("--out", type=Path, default=Path("runs/label-free"))
    parser.add_argument("--recorded", action="store_true")
    parser.add_argument("--words", default="", help="a remark for the file")
    parser.add_argument("--result", type=Path)
    options = parser.parse_args()
    recipe = recipes.load(options.recipe, options.overrides)
    data = open_dataset(recipe.data, recipe.task)
    found = [
        (recorded if options.recorded else compare)(
            recipe.model_copy(update={"seed": s}), data, options.out / f"seed{s}", options.split
        )
        for s in range(options.seeds)
    ]
    rows = data.rows(options.split)
    shared = [vectors for vectors in VECTORS if vectors in found[0]]
    paired = {
        vectors: {
            name: intervals.paired(
                np.mean([each[vectors]["after"].per_query[name] for each in found], axis=0),
                np.mean([each[vectors]["before"].per_query[name] for each in found], axis=0),
                data.patients[rows],
            )
            for name in NAMES
            if name in found[0][vectors]["after"].per_query
        }
        for vectors in shared
    }
    result: dict[str, Any] = {
        "recipe": recipe.name,
        "split": options.split,
        "n": len(rows),
        "words": options.words,
        "paired_over_seeds": paired,
        "seeds": [
            {
                vectors: {
                    when: {name: each[vectors][when].values[name] for name in (*NAMES, "knn_auc")}
                    for when in ("before", "after")
                }
                for vectors in shared
            }
            | {"budget": each["budget"]}
            for each in found
        ],
    }
    record.write(options.result, "label_free", result)


@dataclass(frozen=True)
class Recorded:
    """What a run recorded of its neighbours: scores, and whether the vote of each image was right."""

    values: dict[str, Any]
    per_query: dict[str, NDArray[np.float64]]


def recorded(recipe: Recipe, data: Dataset, out: Path, split: str) -> dict[str, Any]:
    """As `compare`, the trained network's votes as its run recorded them."""
    report, arrays = folder.read_json(out / "run" / "report.json"), out / "run" / "embed" / "arrays"
    names = data.manifest_table()["path"].to_numpy()[data.rows(split)]
    assert list(pd.read_csv(arrays / "rows.csv")["path"]) == list(names), "the run scored other images"
    right = np.load(arrays / "votes.npy").argmax(1) == data.labels[data.rows(split)]
    after = Recorded(report["neighbours"]["embed"], {"knn_accuracy": right.astype(float)})
    fabric = engine.launch(recipe.runtime)
    before = scored(recipe, data, fabric, untrained(recipe, data, fabric, out / "before"), split)
    return {"embedding": {"before": before["embedding"], "after": after}, "budget": report["budget"]}


def compare(recipe: Recipe, data: Dataset, out: Path, split: str) -> dict[str, Any]:
    """Neighbour scores of the untrained network and of the trained one."""
    fabric = engine.launch(recipe.runtime)
    places = {"before": untrained(recipe, data, fabric, out / "before"), "after": out / "run" / "embed"}
    run_single(recipe, out / "run", resume=(out / "run" / "recipe.yaml").is_file(), data=data)
    scores = {when: scored(recipe, data, fabric, place, split) for when, place in places.items()}
    turned = {vectors: {when: scores[when][vectors] for when in scores} for vectors in VECTORS}
    return turned | {"budget": folder.read_json(out / "run" / "report.json")["budget"]}


def untrained(recipe: Recipe, data: Dataset, fabric: engine.Fabric, where: Path) -> Path:
    """Folder of the run's first weights."""
    setting = PhaseContext(recipe, data, fabric, where, None, Tracker())
    assert recipe.embed is not None, "the recipe trains an embedding"
    if not (where / "model.json").is_file():
        network = setting.build("embed", projection=recipe.embed.projection)
        setting.finish("embed", network, engine.FitResult(0, None, 0, 0, 0, 0.0))
    return where


def scored(
    recipe: Recipe, data: Dataset, fabric: engine.Fabric, phase: Path, split: str
) -> dict[str, neighbours.NeighbourScores]:
    """Neighbours of the scored images among the training images, by the vectors of the model in `phase`."""
    network, _ = weights.load(phase)
    network.to(fabric.device)
    images, size = Images(data.images, fabric.device), recipe.model.image_size

    def both(pixels: Tensor) -> Tensor:
        features = network.features(augment.plain(pixels, size))
        return torch.cat([functional.normalize(features.float()), network.project(features)], dim=1)

    rows = {part: data.rows(part) for part in (split, "train")}
    found = {part: engine.encode(fabric, both, rows[part], 64, images.take, network=network) for part in rows}
    return {
        vectors: neighbour_scores(
            recipe, data, data, *(Outputs(rows[p], np.split(found[p], [network.width], 1)[place], None) for p in rows)
        )
        for place, vectors in enumerate(VECTORS)
    }


if __name__ == "__main__":
    main()
