"""Encoding and predicting in bfloat16 against float32: the speed, and what it does to vectors and scores.

python -m benchmarks.inference_precision RUN [RUN ...] [--data key=value ...] [--repeats 3]

For each run, the last phase's model and the images that the run scored: images a second in both precisions (in turn,
from the decoded cache), the least cosine between the vectors, the largest difference of a probability, the decisions
that differ, and balanced accuracy and AUC in bfloat16 less those in float32.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks import record, timing
from contrastive_cxr import engine
from contrastive_cxr import recipe as recipes
from contrastive_cxr.data.dataset import Dataset, open_dataset
from contrastive_cxr.evaluation.predictions import Outputs, outputs
from contrastive_cxr.metrics import scores
from contrastive_cxr.recipe.schema import InferencePrecision, Recipe
from contrastive_cxr.run_layout import phases_with_model

WORDS: tuple[InferencePrecision, ...] = ("32-true", "bf16-mixed")


def main() -> None:
    """Measure every run, write the result."""
    parser = record.parser(__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--data", nargs="*", default=[], help="changes of the recipes, such as data.root=DIR")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    figures = [line for run in options.runs for line in measured(run, options.data, options.repeats)]
    what = {"question": "Inference in bfloat16 against float32", "words": options.words}
    record.write(options.result, "inference_precision", {**what, "figures": figures})


def measured(run: Path, changes: list[str], repeats: int) -> list[record.Figure]:
    """The figures of one run."""
    recipe = recipes.load(run / "recipe.yaml", changes)
    data = open_dataset(recipe.data, recipe.task)
    phase, rows = run / phases_with_model(run)[-1], data.rows("test" if len(data.rows("test")) else "val")
    fabric = engine.launch(recipe.runtime.model_copy(update={"precision": "32-true"}))
    found: dict[str, Outputs] = {}

    def work(word: InferencePrecision) -> None:
        found[word] = outputs(in_precision(recipe, word), data, fabric, phase, rows)

    spent = timing.in_turn({word: partial(work, word) for word in WORDS}, repeats, fabric.device)
    name = f"{run.name}, {recipe.model.backbone} at {recipe.model.image_size} pixels"
    faster = timing.ratios(spent["32-true"], spent["bf16-mixed"])
    lines = [record.figure(f"{name}: bfloat16, times as fast", faster)]
    lines += [
        record.figure(f"{name}: {word}", [len(rows) / each for each in spent[word]], "images/s") for word in WORDS
    ]
    return [*lines, *differences(name, data, rows, found["32-true"], found["bf16-mixed"])]


def in_precision(recipe: Recipe, word: InferencePrecision) -> Recipe:
    """The recipe with `evaluation.precision`."""
    return recipe.model_copy(update={"evaluation": recipe.evaluation.model_copy(update={"precision": word})})


def differences(
    name: str, data: Dataset, rows: NDArray[np.int64], exact: Outputs, rounded: Outputs
) -> list[record.Figure]:
    """How vectors, probabilities and scores differ."""
    cosine = (exact.vectors.astype(np.float64) * rounded.vectors).sum(1).min()
    lines = [record.figure(f"{name}: least cosine", float(cosine), wanted=">= 0.9999")]
    if exact.probabilities is None or rounded.probabilities is None:
        return lines
    apart = np.abs(exact.probabilities - rounded.probabilities).max()
    other = (exact.probabilities.argmax(1) != rounded.probabilities.argmax(1)).sum()
    lines += [
        record.figure(f"{name}: largest difference of a probability", float(apart)),
        record.figure(f"{name}: decisions that differ, of {len(rows)}", int(other)),
    ]
    each: list[dict[str, Any]] = [scores.point(said.probabilities, data.labels[rows]) for said in (exact, rounded)]
    for score in ("balanced_accuracy", "auc"):
        lines.append(record.figure(f"{name}: {score}, bfloat16 less float32", each[1][score] - each[0][score]))
    return lines


if __name__ == "__main__":
    main()
