"""Every published system on real images, at one stated budget, in one table.

    python -m benchmarks.studies.systems --data ../shared/data [--passes N] [--own-size] [--only 3] [--out runs/systems]

Each row is a run of a shipped recipe (`recipes/systems`, `ct/three-phase`), changed in one word; rows of one system
look at equally many images, from scratch where --weights none. Without --own-size the large networks get smaller
images, so that two CPU cores can do it. --jobs trains several rows at once, as a GPU has room for (minutes are then
those of a shared device). A finished row is kept, an interrupted one goes on, and one that failed (a loss
that became infinite, say) stands in the table with its reason; remove its `.stopped` file to try it again. Writes
`benchmarks/results/systems.json` and `systems.md` beside it; with --only the file keeps its rows of the other systems.
A row whose validation was still rising when it ended says "runs, not comparable".
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path

from benchmarks import record
from benchmarks.studies import systems_table
from benchmarks.studies.systems_rows import Row, parts_of, place, rows, settled, stopped
from contrastive_cxr import recipe as recipes
from contrastive_cxr.data.dataset import Dataset, open_dataset
from contrastive_cxr.phases.supervised import epoch_size
from contrastive_cxr.recipe.schema import Recipe
from contrastive_cxr.run import folder

# Shares of the image passes in three phases.
SHARES = {"pretrain": 0.6, "embed": 0.2, "finetune": 0.2}


def main() -> None:
    """Run what is not finished, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with ct, xray and xray4")
    parser.add_argument("--out", type=Path, default=Path("runs/systems"))
    parser.add_argument("--passes", type=int, default=8000, help="image passes of each network")
    parser.add_argument("--only", action="append", help="numbers of systems; default: all")
    parser.add_argument("--jobs", type=int, default=1, help="rows trained at once")
    parser.add_argument("--row", action="append", help="names of rows; default: all")
    parser.add_argument("--own-size", action="store_true", help="published input sizes")
    parser.add_argument("--weights", choices=("none", "recipe"), default="none", help="recipe: as each recipe says")
    parser.add_argument("--words", default="", help="a remark for the file")
    parser.add_argument("--table-only", action="store_true", help="train nothing, write the table of what is finished")
    parser.add_argument("--result", type=Path, help="default: benchmarks/results/systems.json")
    parser.add_argument("overrides", nargs="*", help="for every row, such as data.cache_dir=DIR")
    options = parser.parse_args()
    chosen = [row for row in rows() if not options.only or row.system.split()[0] in options.only]
    chosen = [row for row in chosen if not options.row or row.name in options.row]
    if not options.table_only:
        due = [row for row in chosen if not settled(row, options.out)]
        words = [overrides(row, options) for row in due]
        with ThreadPoolExecutor(options.jobs) as pool:
            refused = [each for each in pool.map(run, due, words, repeat(options.out)) if each]
        if refused:
            raise SystemExit("\n".join(refused))
    done = [row for row in chosen if parts_of(row, options.out)]
    failed = [row for row in chosen if stopped(row, options.out).is_file()]
    result = {
        "weights": options.weights,
        "words": options.words,
        "run_environment": systems_table.machine_of(done, options.out),
        **systems_table.table(done, options.out),
        "failed": [systems_table.failure(row, options.out) for row in failed],
    }
    if options.only:
        earlier = options.result or record.RESULTS / "systems.json"
        known = folder.read_json(earlier) if earlier.is_file() else {}
        result = systems_table.beside(result, known, set(options.only))
    path = record.write(options.result or record.RESULTS / "systems.json", "systems", result)
    folder.write_text(path.with_suffix(".md"), systems_table.markdown(result))


def run(row: Row, words: list[str], out: Path) -> str:
    """Run a row in a process of its own, so that its memory is its own; say why where it was refused or interrupted."""
    where = place(row, out)
    command = [sys.executable, "-m", "contrastive_cxr", "run", row.recipe, *words, "--out", str(where)]
    record.say(f"{row.system}: {row.name}")
    command += ["--resume"] * (where / "recipe.yaml").is_file()
    ended = subprocess.run(command, check=False, stderr=subprocess.PIPE, text=True)
    sys.stderr.write(ended.stderr)
    if ended.returncode == 1:  # failed while running; 2: refused, 130: interrupted
        folder.write_text(stopped(row, out), ended.stderr.strip().rpartition("\n")[2] + "\n")
    elif ended.returncode:
        return f"{row.system}: {row.name} ended with exit code {ended.returncode}"
    return ""


def overrides(row: Row, options: argparse.Namespace) -> list[str]:
    """The row's own words, the budget's, and those of the command line."""
    words = [f"data.root={options.data / row.data}", "tracking.wandb=off", *row.changes, *options.overrides]
    if options.weights == "none":
        words.append("model.weights=none")
    if row.small is not None and not options.own_size:
        words.append(f"model.image_size={row.small}")
    recipe = recipes.load(row.recipe, words)
    return [*words, *epochs(recipe, open_dataset(recipe.data, recipe.task), options.passes)]


def epochs(recipe: Recipe, data: Dataset, passes: int) -> list[str]:
    """Epochs that come to `passes` images, in three phases shared out among them; schedules in proportion."""
    labels = data.labels[data.rows("train")]
    words = []
    present = [name for name in SHARES if getattr(recipe, name) is not None]
    for name in present:
        phase = getattr(recipe, name)
        size = epoch_size(labels, phase.imbalance) if name != "embed" else len(labels)
        share = SHARES[name] if len(present) > 1 else 1.0
        number = max(1, round(passes * share / size))
        words.append(f"{name}.epochs={number}")
        if phase.schedule.name == "step":
            words.append(
                f"{name}.schedule.step_epochs={max(1, round(number * phase.schedule.step_epochs / phase.epochs))}"
            )
        if phase.schedule.name == "inverse-time":
            words.append(f"{name}.schedule.half_epochs={number * phase.schedule.half_epochs / phase.epochs:g}")
    return words


if __name__ == "__main__":
    main()
