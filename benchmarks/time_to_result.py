"""Minutes to reach the score at which a plain script ends, for the recipe and for the script itself.

python -m benchmarks.time_to_result --data FOLDER [--recipe xray/three-class-light] [--seeds 0 1] [--scratch runs/time]
        [--rivals densenet169 lite0] [--elsewhere FOLDER]

Plain scripts (`plain_supervised`: DenseNet-169 from scratch at 112 pixels, or EfficientNet-Lite0 from ImageNet weights
at 128; AdamW, one cycle, ten epochs) and phase 1 of the recipe on the same rows, one after the other. After each epoch
all are scored by balanced accuracy on the validation part; with --elsewhere the last weights also on images from
elsewhere. The minutes are those of training alone, on the machine alone. How long until 95 % and 100 % of the score at
which a script ended (mean over its seeds)? The script's own epochs answer too. What is done stays in the scratch
folder and is not done again.
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
from contrastive_cxr.data.dataset import Dataset, open_dataset
from contrastive_cxr.evaluation.external import evaluate
from contrastive_cxr.metrics import scores
from contrastive_cxr.recipe.schema import Recipe
from contrastive_cxr.run.folder import read_json
from contrastive_cxr.run.log import MetricsLog
from contrastive_cxr.training.run import run as run_recipe

SHARES = (0.95, 1.0)
SIZES = {"densenet169": 112, "lite0": 128}
"""Plain scripts by network, and the side of their input, pixels."""
WANTED = {"densenet169": "<= 0.1", "lite0": "<= 0.5"}
"""Share of a script's whole time."""


def main() -> None:
    """Train what is missing, write the result."""
    parser = record.parser(__doc__)
    parser.add_argument("--data", type=Path, help="the X-rays; without it phantoms")
    parser.add_argument("--recipe", default="xray/three-class-light")
    parser.add_argument("--rivals", nargs="+", choices=SIZES, default=list(SIZES), help="the plain scripts")
    parser.add_argument("--elsewhere", type=Path, help="class folders of images from elsewhere")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--epochs", type=int, default=10, help="of the plain script")
    parser.add_argument("--size", type=int, help="of the plain scripts' input; default: 112 and 128")
    parser.add_argument("--scratch", type=Path, default=Path("runs/time-to-result"))
    parser.add_argument("overrides", nargs="*")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    base = [f"data.root={options.data}"] if options.data else []
    if not options.data:
        options.recipe = "phantom"
    if options.quick:
        options.epochs, options.size, options.seeds, options.rivals = 2, 32, [0], options.rivals[:1]
        base += ["data.images=120", "model.backbone=resnet18", "model.image_size=32", "pretrain.epochs=2"]
    words = [*base, "embed=null", "finetune=null", "tracking.wandb=off", "evaluation.audit=false", *options.overrides]
    plain = {name: {seed: plain_curve(options, words, name, seed) for seed in options.seeds} for name in options.rivals}
    ours = {seed: our_curve(options, words, seed) for seed in options.seeds}
    lines = [line for name, curves in plain.items() for line in figures(name, curves, ours)]
    what = {"question": "Time to a result", "recipe": options.recipe, "words": options.words}
    curves = {**plain, "ours": ours}
    record.write(options.result, "time_to_result", {**what, "curves": curves, "figures": [*lines, *elsewhere(curves)]})


def plain_curve(options: Namespace, words: list[str], name: str, seed: int) -> list[dict[str, float]]:
    """Minutes and balanced accuracy of a plain script's epochs; of the last one also the accuracy elsewhere."""
    kept = options.scratch / f"{name}-{seed}.json"
    if kept.is_file():
        return list(json.loads(kept.read_text()))
    recipe = recipes.load(options.recipe, words)
    data = open_dataset(recipe.data, recipe.task)
    train, val, size = data.rows("train"), data.rows("val"), options.size or SIZES[name]
    curve: list[dict[str, float]] = []

    def score(network: torch.nn.Module, minutes: float) -> None:
        network.eval()
        found = scores.point(plain_supervised.predict(network, data, val, size), data.labels[val])
        curve.append({"minutes": minutes, "balanced_accuracy": found["balanced_accuracy"]})

    settings = Namespace(
        seed=seed, size=size, batch=32, lr=1e-3, workers=plain_supervised.WORKERS, network=name,
        state=options.scratch / f"{name}-{seed}.ckpt",
    )  # fmt: skip
    settings.state.parent.mkdir(parents=True, exist_ok=True)
    network, _ = plain_supervised.fit(data, train, options.epochs, settings, score)
    if options.elsewhere:
        others = strangers(options, recipe)
        told = plain_supervised.predict(network, others, others.rows("test"), size)
        curve[-1]["elsewhere"] = float((told.argmax(1) == others.labels[others.rows("test")]).mean())
    kept.write_text(json.dumps(curve))
    return curve


def strangers(options: Namespace, recipe: Recipe) -> Dataset:
    """The images from elsewhere, decoded as the recipe's."""
    split = recipe.data.split.model_copy(update={"kind": "official"})
    changed = {"root": options.elsewhere.resolve(), "split": split}
    return open_dataset(recipe.data.model_copy(update=changed), recipe.task, need=(), unsplit="test")


def our_curve(options: Namespace, words: list[str], seed: int) -> list[dict[str, float]]:
    """Minutes and balanced accuracy of the recipe's epochs in phase 1."""
    out = options.scratch / f"ours-{seed}"
    if not (out / "report.json").is_file():
        recipe = recipes.load(options.recipe, [*words, f"seed={seed}"])
        run_recipe(recipe, out, resume=out.is_dir())
    minutes = np.cumsum([row["train_seconds"] for row in MetricsLog(out / "pretrain" / "timing.jsonl").rows()]) / 60
    rows = [row for row in MetricsLog(out / "pretrain" / "metrics.jsonl").rows() if row["split"] == "val"]
    curve = [
        {"minutes": float(minutes[row["epoch"] - 1]), "balanced_accuracy": row["balanced_accuracy"]} for row in rows
    ]
    if options.elsewhere:
        facts = evaluate(out, [f"data.root={options.elsewhere.resolve()}"], out=options.scratch / f"elsewhere-{seed}")
        curve[-1]["elsewhere"] = read_json(facts / "report.json")["scores"]["accuracy"]["value"]
    return curve


def reached(curve: list[dict[str, float]], target: float) -> float:
    """Minutes until a curve first reaches the target; infinity where it never does."""
    return next((point["minutes"] for point in curve if point["balanced_accuracy"] >= target), float("inf"))


def figures(name: str, plain: dict[int, Any], ours: dict[int, Any]) -> list[record.Figure]:
    """Minutes of a plain script and of the recipe, and their ratio, seed by seed."""
    target = float(np.mean([curve[-1]["balanced_accuracy"] for curve in plain.values()]))
    script = f"plain {name}"
    lines = [record.figure(f"{script}: balanced accuracy at its end", target)]
    ends = [curve[-1]["minutes"] for curve in plain.values()]
    for share in SHARES:
        spent = [reached(curve, share * target) for curve in ours.values()]
        level = f"{script}, {share:.0%} of it"
        if np.isfinite(spent).all():
            lines.append(
                record.figure(f"{level}: ours over the whole script", np.divide(spent, ends), "", WANTED[name])
            )
            lines.append(record.figure(f"{level}: ours", spent, "minutes"))
        theirs = [reached(curve, share * target) for curve in plain.values()]
        if np.isfinite(theirs).all():
            lines.append(record.figure(f"{level}: the script", theirs, "minutes"))
        never = sum(not np.isfinite(value) for value in spent)
        lines.append(record.figure(f"{level}: seeds of ours that never reached it", never, wanted="<= 0"))
    return [*lines, record.figure(f"{script}: whole", ends, "minutes")]


def elsewhere(curves: dict[str, dict[int, Any]]) -> list[record.Figure]:
    """Accuracy on the images from elsewhere at the end, where it was measured."""
    found = {name: [curve[-1].get("elsewhere") for curve in each.values()] for name, each in curves.items()}
    return [
        record.figure(f"{name}: accuracy elsewhere", values) for name, values in found.items() if None not in values
    ]


if __name__ == "__main__":
    main()
