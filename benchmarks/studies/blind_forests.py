"""Random forests against extremely randomised trees, for the blind baselines: scores and CPU time, on real images.

python -m benchmarks.studies.blind_forests --data ../shared/data [--seeds 3]

Border and thumbnail of the validation parts and of those that were split off training images, in each of the sets `ct`,
`xray` and `xray4`. Both have 500 trees; the second chooses among three times as many columns. Differences are the
second's score less the first's. `metrics.baselines.forest` takes the second for large tables.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

from benchmarks import record
from contrastive_cxr import recipe as recipes
from contrastive_cxr.data.dataset import open_dataset
from contrastive_cxr.evaluation.report_facts import material
from contrastive_cxr.metrics import baselines, scores
from contrastive_cxr.metrics.baselines import Material
from contrastive_cxr.metrics.statistics.weighted import Ints

Forest = ExtraTreesClassifier | RandomForestClassifier

SETS = (
    ("ct", "ct/three-phase-light", ("val",)),
    ("xray", "xray/three-class-light", ("val", "test")),
    ("xray4", "systems/xray-cnn4", ("val",)),
)


def main() -> None:
    """Measure each set, write the result."""
    parser = record.parser(__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path("runs/blind-forests"))
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    figures = []
    for folder, recipe, parts in SETS:
        words = [f"data.root={options.data / folder}", f"data.cache_dir={options.cache}"]
        loaded = recipes.load(recipe, words)
        data = open_dataset(loaded.data, loaded.task)
        trained = data.rows("train")
        train = material(data, trained)
        for part in parts:
            rows = data.rows(part)
            scored = material(data, rows)
            for name, seen in (("border", border), ("thumbnail", thumbnail)):
                head = f"{folder}, {part} ({len(rows)}), {name}"
                labels = data.labels[trained], data.labels[rows]
                figures += list(compared(head, (seen(train), seen(scored)), labels, options.seeds))
    what = {
        "question": "Random forests against extremely randomised trees, for the blind baselines",
        "words": options.words,
    }
    record.write(options.result, "blind_forests", {**what, "figures": figures})


def border(material: Material) -> NDArray[np.float32]:
    """What the second baseline sees."""
    return baselines.border(material.images, material.facts)


def thumbnail(material: Material) -> NDArray[np.float32]:
    """What the third baseline sees."""
    return baselines.thumbnails(material.images)


def compared(
    head: str, seen: tuple[NDArray[np.float32], NDArray[np.float32]], labels: tuple[Ints, Ints], seeds: int
) -> Iterator[record.Figure]:
    """Scores of the random forest, differences of the other, CPU time of both; the table's size."""
    columns = seen[0].shape[1]
    kinds: dict[str, Callable[[int], Forest]] = {
        "random forest": lambda seed: RandomForestClassifier(500, random_state=seed, n_jobs=-1),
        "extremely randomised trees": lambda seed: ExtraTreesClassifier(
            500, max_features=3 * int(np.sqrt(columns)), random_state=seed, n_jobs=-1
        ),
    }
    found: dict[str, list[dict[str, float]]] = {}
    spent: dict[str, list[float]] = {}
    for name, kind in kinds.items():
        found[name], spent[name] = [], []
        for seed in range(seeds):
            begun = time.process_time()
            given = kind(seed).fit(seen[0], labels[0]).predict_proba(seen[1])
            spent[name].append(time.process_time() - begun)
            found[name].append(scores.point(given, labels[1]))
    yield record.figure(f"{head}: numbers of the training table", seen[0].size)
    plain, other = found.values()
    for score in ("auc", "balanced_accuracy"):
        yield record.figure(f"{head}: {score} of the random forest", [each[score] for each in plain])
        apart = [ours[score] - each[score] for each, ours in zip(plain, other, strict=True)]
        yield record.figure(f"{head}: {score}, difference", apart)
    for name, seconds in spent.items():
        yield record.figure(f"{head}: {name}, CPU time", seconds, "s")


if __name__ == "__main__":
    main()
