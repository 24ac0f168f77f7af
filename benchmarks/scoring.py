"""How long scoring takes after the last epoch, as a share of the training that it follows.

python -m benchmarks.scoring [--quick] [--data FOLDER] [--recipe xray/three-class-light] [--scratch runs/scoring]

The whole recipe is trained and scored, without data phantoms; a run that the scratch folder holds already is not made
again. Training is the time of the epochs of all phases, validation included. Scoring is the time from the end of the
last phase to that of the run, as the files say: encoding until the arrays are written, then forests and intervals until
`report.json`, then pictures, page and card.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import torch

from benchmarks import record
from contrastive_cxr import recipe as recipes
from contrastive_cxr.run.log import MetricsLog
from contrastive_cxr.training.run import run as run_recipe

PHASES = ("pretrain", "embed", "finetune")


def main() -> None:
    """Train what is missing, write the result."""
    parser = record.parser(__doc__)
    parser.add_argument("--data", type=Path, help="the recipe's images; without it phantoms")
    parser.add_argument("--recipe", default="xray/three-class-light")
    parser.add_argument("--scratch", type=Path, default=Path("runs/scoring"))
    parser.add_argument("overrides", nargs="*")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    name = options.recipe if options.data else "phantom"
    words = [f"data.root={options.data}"] if options.data else []
    if options.quick:
        words += ["data.images=120", "model.backbone=resnet18", "model.image_size=32"]
        words += ["embed.trainable=[layer4,projection]"]
    out = options.scratch / name.replace("/", "-")
    if not (out / "done.json").is_file():
        recipe = recipes.load(name, [*words, "tracking.wandb=off", *options.overrides])
        run_recipe(recipe, out, resume=out.is_dir())
    what = {"question": "Scoring beside training", "recipe": name, "words": options.words}
    record.write(options.result, "scoring", {**what, "figures": figures(out)})


def figures(run: Path) -> list[record.Figure]:
    """Seconds of training and of each part of scoring, and their ratio."""
    phases = [run / name for name in PHASES if (run / name / "done.json").is_file()]
    epochs = [MetricsLog(phase / "timing.jsonl").rows() for phase in phases]
    training = sum(row["seconds"] for rows in epochs for row in rows)
    last = phases[-1]
    files = (last / "done.json", last / "arrays" / "thumbnails.npy", run / "report.json", run / "done.json")
    ends = [path.stat().st_mtime for path in files]
    parts = [later - earlier for earlier, later in itertools.pairwise(ends)]
    names = ("encoding", "forests and intervals", "pictures, page and card")
    return [
        record.figure("scoring over training", sum(parts) / training, wanted="<= 0.08"),
        record.figure("training", training / 60, "minutes"),
        *(record.figure(f"scoring: {name}", value, "s") for name, value in zip(names, parts, strict=True)),
    ]


if __name__ == "__main__":
    main()
