"""Did the numbers move? Validation scores of an earlier checkout and of this one, the same recipe over seeds.

    git worktree add --detach FOLDER COMMIT
    python -m benchmarks.before_after FOLDER --data ../shared/data/xray [--seeds 0 1 2] [--scratch runs/before-after]

A short training of `xray/three-class-scratch`, or of --recipe FILE where the earlier program has another recipe of that
name, by both programs in turn, seed by seed, each run a process of its own: all three phases, smaller pictures, fewer
epochs. Compared are the scores of the last epoch of each phase on the validation part, later less earlier: none of them
should fall by more than the earlier seeds differ among themselves. What is finished stays in the scratch folder and is
not done again.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from benchmarks import record
from contrastive_cxr.run.log import MetricsLog

SHORT = (
    "data.cache_size=112", "model.image_size=96", "pretrain.initial_image_size=48", "pretrain.epochs=3",
    "embed.epochs=1", "finetune.epochs=3", "tracking.wandb=off", "evaluation.audit=false",
    "evaluation.baselines=false",
)  # fmt: skip
SCORES = {
    "pretrain": ("balanced_accuracy", "auc"),
    "embed": ("knn_accuracy", "map_at_r"),
    "finetune": ("balanced_accuracy", "auc"),
}
Table = dict[str, list[float]]


def main() -> None:
    """Train what is missing, write the result."""
    parser = record.parser(__doc__)
    parser.add_argument("earlier", type=Path, help="a checkout of the earlier program")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--recipe", type=Path, help="a recipe file that both programs read")
    parser.add_argument("--scratch", type=Path, default=Path("runs/before-after"))
    parser.add_argument("overrides", nargs="*")
    options = parser.parse_args()
    trees = {"earlier": options.earlier.resolve(), "later": Path(__file__).resolve().parent.parent}
    recipe = str(options.recipe.resolve()) if options.recipe else "xray/three-class-scratch"
    words = [recipe, f"data.root={options.data.resolve()}", *SHORT, *options.overrides]
    found: dict[str, Table] = {name: {} for name in trees}
    for seed in options.seeds:
        for name, tree in trees.items():
            out = (options.scratch / f"{name}-{seed}").resolve()
            cache = f"data.cache_dir={(options.scratch / f'cache-{name}').resolve()}"
            trained(tree, [*words, f"seed={seed}", cache], out, options.threads)
            for score, value in scores(out).items():
                found[name].setdefault(score, []).append(value)
    what = {"question": "Validation scores before and after", "seeds": options.seeds, "settings": SHORT}
    commits = {name: commit_of(tree) for name, tree in trees.items()}
    figures = compared(found["earlier"], found["later"])
    record.write(
        options.result,
        "before_after",
        {**what, "commits": commits, "scores": found, "figures": figures, "words": options.words},
    )


def trained(tree: Path, words: list[str], out: Path, threads: int) -> None:
    """Run the program of `tree`, unless the run is finished."""
    if (out / "report.json").is_file():
        return
    limits = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    resume = ["--resume"] if (out / "recipe.yaml").is_file() else []
    command = [sys.executable, "-m", "contrastive_cxr", "run", *words, "--out", str(out), *resume]
    subprocess.run(command, cwd=tree, env=os.environ | limits, stdout=subprocess.DEVNULL, check=True)


def scores(run: Path) -> dict[str, float]:
    """Scores of each phase's last validation."""
    found = {}
    for phase, names in SCORES.items():
        last = [row for row in MetricsLog(run / phase / "metrics.jsonl").rows() if row["split"] == "val"][-1]
        found |= {f"{phase}: {name}": float(last[name]) for name in names}
    return found


def compared(earlier: Table, later: Table) -> list[record.Figure]:
    """Of each score: the difference seed by seed, and both sides; as much is allowed as the earlier seeds lie apart.

    Examples
    --------
    >>> [line.value for line in compared({"auc": [0.7, 0.8, 0.9]}, {"auc": [0.8, 0.8, 1.0]})]
    [0.1, 0.8, 0.8]
    """
    lines = []
    for name, before in earlier.items():
        after = later[name]
        lines += [
            record.figure(
                f"{name}: later less earlier", np.subtract(after, before), wanted=f">= {-np.ptp(before):.4f}"
            ),
            record.figure(f"{name}: earlier", before),
            record.figure(f"{name}: later", after),
        ]
    return lines


def commit_of(tree: Path) -> str:
    """Short hash of a checkout."""
    words = ["git", "describe", "--always", "--dirty=+"]
    return subprocess.run(words, cwd=tree, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    main()
