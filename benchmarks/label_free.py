"""Does label-free training help? k-NN accuracy of an embedding after it against the same network before, over seeds.

python -m benchmarks.label_free data.root=DIR [--recipe xray/label-free] [--seeds 3] [--out FOLDER]

The network before is the run's own first weights (same seed, same shape). Neighbours of the run's test images among its
training images; the paired interval resamples images and averages each image's gain over the seeds.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import record
from contrastive_cxr import engine
from contrastive_cxr import recipe as recipes
from contrastive_cxr.data.dataset import Dataset, open_dataset
from contrastive_cxr.evaluate import intervals, neighbours
from contrastive_cxr.experiment.evaluate import neighbour_scores, outputs
from contrastive_cxr.experiment.single import run_single
from contrastive_cxr.phases import Setting
from contrastive_cxr.recipe.schema import Recipe
from contrastive_cxr.run import folder
from contrastive_cxr.run.tracking import Tracker

NAMES = ("knn_accuracy", "map_at_r")


def main() -> None:
    """Run the seeds, compare, write `benchmarks/results/label_free.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--recipe", default="xray/label-free")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("runs/label-free"))
    options = parser.parse_args()
    recipe = recipes.load(options.recipe, options.overrides)
    data = open_dataset(recipe.data, recipe.task)
    found = [
        compare(recipe.model_copy(update={"seed": s}), data, options.out / f"seed{s}") for s in range(options.seeds)
    ]
    rows = data.rows("test")
    paired = {
        name: intervals.paired(
            np.mean([each["after"].per_query[name] for each in found], axis=0),
            np.mean([each["before"].per_query[name] for each in found], axis=0),
            data.patients[rows],
        )
        for name in NAMES
    }
    result: dict[str, Any] = {
        "recipe": recipe.name,
        "n": len(rows),
        "paired_over_seeds": paired,
        "seeds": [
            {when: {name: each[when].values[name] for name in (*NAMES, "knn_auc")} for when in ("before", "after")}
            | {"budget": each["budget"]}
            for each in found
        ],
    }
    record.write(None, "label_free", result)


def compare(recipe: Recipe, data: Dataset, out: Path) -> dict[str, Any]:
    """Neighbour scores of the untrained network and of the trained one."""
    fabric = engine.launch(recipe.runtime)
    setting = Setting(recipe, data, fabric, out / "before", None, Tracker())
    assert recipe.embed is not None, "the recipe trains an embedding"
    network = setting.build("embed", projection=recipe.embed.projection)
    if not (out / "before" / "model.json").is_file():
        setting.finish("embed", network, engine.FitResult(0, None, 0, 0, 0, 0.0))
    run_single(recipe, out / "run", resume=(out / "run" / "recipe.yaml").is_file(), data=data)
    places = {"before": out / "before", "after": out / "run" / "embed"}
    scores = {when: scored(recipe, data, fabric, place) for when, place in places.items()}
    return {**scores, "budget": folder.read_json(out / "run" / "report.json")["budget"]}


def scored(recipe: Recipe, data: Dataset, fabric: engine.Fabric, phase: Path) -> neighbours.NeighbourScores:
    """Neighbours of the test images among the training images, by the model in `phase`."""
    rows: dict[str, NDArray[np.int64]] = {part: data.rows(part) for part in ("test", "train")}
    found = {part: outputs(recipe, data, fabric, phase, rows[part]) for part in rows}
    return neighbour_scores(recipe, data, data, found["test"], found["train"])


if __name__ == "__main__":
    main()
