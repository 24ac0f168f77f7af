"""Minutes to reach the score at which a plain script ends, for the recipe and for the script itself.

python -m benchmarks.time_to_result --data FOLDER [--recipe xray/fast-scratch] [--seeds 0 1] [--scratch runs/time]

The plain script (`plain_supervised`: DenseNet-169 at 112 pixels, AdamW, one cycle, ten epochs) and phase 1 of the
recipe, from scratch on the same rows, one after the other. After each epoch both are scored by balanced accuracy on the
validation part; the minutes are those of training alone, on the machine alone. How long until 95 % and 100 % of the
score at which the script ended (mean over its seeds)? The script's own epochs answer too. What is done stays in the
scratch folder and is not done again.
"""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import plain_supervised, record
from contrastive_cxr import recipe as recipes
from contrastive_cxr.data.dataset import open_dataset
from contrastive_cxr.metrics import scores
from contrastive_cxr.run.log import MetricsLog
from contrastive_cxr.training.run import run as run_recipe

SHARES = (0.95, 1.0)


def main() -> None:
    """Train what is missing, write the result."""
    parser = record.parser(__doc__)
    parser.add_argument("--data", type=Path, help="the X-rays; without it phantoms")
    parser.add_argument("--recipe", default="xray/fast-scratch")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--epochs", type=int, default=10, help="of the plain script")
    parser.add_argument("--size", type=int, default=112, help="of the plain script's input")
    parser.add_argument("--scratch", type=Path, default=Path("runs/time-to-result"))
    parser.add_argument("overrides", nargs="*")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    base = [f"data.root={options.data}"] if options.data else []
    if not options.data:
        options.recipe = "phantom"
    if options.quick:
        options.epochs, options.size, options.seeds = 2, 32, [0]
        base += ["data.images=120", "model.backbone=resnet18", "model.image_size=32", "pretrain.epochs=2"]
    words = [*base, "embed=null", "finetune=null", "tracking.wandb=off", "evaluation.audit=false", *options.overrides]
    plain = {seed: plain_curve(options, words, seed) for seed in options.seeds}
    ours = {seed: our_curve(options, words, seed) for seed in options.seeds}
    target = float(np.mean([curve[-1]["balanced_accuracy"] for curve in plain.values()]))
    what = {"question": "Time to a result", "recipe": options.recipe, "target": target, "words": options.words}
    curves = {"plain": plain, "ours": ours}
    record.write(options.result, "time_to_result", {**what, "curves": curves, "figures": figures(plain, ours, target)})


def plain_curve(options: Namespace, words: list[str], seed: int) -> list[dict[str, float]]:
    """Minutes and balanced accuracy of the plain script's epochs."""
    kept = options.scratch / f"plain-{seed}.json"
    if kept.is_file():
        return list(json.loads(kept.read_text()))
    recipe = recipes.load(options.recipe, words)
    data = open_dataset(recipe.data, recipe.task)
    train, val = data.rows("train"), data.rows("val")
    curve: list[dict[str, float]] = []

    def score(network: torch.nn.Module, minutes: float) -> None:
        network.eval()
        found = scores.point(plain_supervised.predict(network, data, val, options.size), data.labels[val])
        curve.append({"minutes": minutes, "balanced_accuracy": found["balanced_accuracy"]})

    settings = Namespace(
        seed=seed, size=options.size, batch=32, lr=1e-3, workers=plain_supervised.WORKERS,
        state=options.scratch / f"plain-{seed}.ckpt",
    )  # fmt: skip
    settings.state.parent.mkdir(parents=True, exist_ok=True)
    plain_supervised.fit(data, train, options.epochs, settings, score)
    kept.write_text(json.dumps(curve))
    return curve


def our_curve(options: Namespace, words: list[str], seed: int) -> list[dict[str, float]]:
    """Minutes and balanced accuracy of the recipe's epochs in phase 1."""
    out = options.scratch / f"ours-{seed}"
    if not (out / "report.json").is_file():
        recipe = recipes.load(options.recipe, [*words, f"seed={seed}"])
        run_recipe(recipe, out, resume=out.is_dir())
    minutes = np.cumsum([row["train_seconds"] for row in MetricsLog(out / "pretrain" / "timing.jsonl").rows()]) / 60
    rows = [row for row in MetricsLog(out / "pretrain" / "metrics.jsonl").rows() if row["split"] == "val"]
    return [
        {"minutes": float(minutes[row["epoch"] - 1]), "balanced_accuracy": row["balanced_accuracy"]} for row in rows
    ]


def reached(curve: list[dict[str, float]], target: float) -> float:
    """Minutes until a curve first reaches the target; infinity where it never does."""
    return next((point["minutes"] for point in curve if point["balanced_accuracy"] >= target), float("inf"))


def figures(plain: dict[int, Any], ours: dict[int, Any], target: float) -> list[record.Figure]:
    """Minutes of both sides and their ratio, seed by seed."""
    lines = [record.figure("balanced accuracy at which the plain script ends", target)]
    ends = [curve[-1]["minutes"] for curve in plain.values()]
    aim = "<= 0.1" if torch.cuda.is_available() else "<= 0.5"
    for share in SHARES:
        spent = [reached(curve, share * target) for curve in ours.values()]
        name = f"{share:.0%} of it"
        if np.isfinite(spent).all():
            lines.append(record.figure(f"{name}: ours over the whole script", np.divide(spent, ends), wanted=aim))
            lines.append(record.figure(f"{name}: ours", spent, "minutes"))
        theirs = [reached(curve, share * target) for curve in plain.values()]
        if np.isfinite(theirs).all():
            lines.append(record.figure(f"{name}: plain script", theirs, "minutes"))
        never = sum(not np.isfinite(value) for value in spent)
        lines.append(record.figure(f"{name}: seeds of ours that never reached it", never, wanted="<= 0"))
    return [*lines, record.figure("the whole plain script", ends, "minutes")]


if __name__ == "__main__":
    main()
