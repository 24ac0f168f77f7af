"""Every published system on real images, at one stated budget, in one table.

    python -m benchmarks.systems --data ../shared/data [--passes N] [--own-size] [--only 3] [--out runs/systems]

Each row is a run of a shipped recipe (`recipes/systems`, `ct/three-phase`), changed in one word; rows of one system
look at equally many images, from scratch where --weights none. Without --own-size the large networks get smaller
images, so that two CPU cores can do it. --jobs trains several rows at once, as a GPU has room for (minutes are then
those of a shared device). A finished row is kept, an interrupted one goes on, and one that failed (a loss
that became infinite, say) stands in the table with its reason; remove its `.stopped` file to try it again. Writes
`benchmarks/results/systems.json` and `systems.md` beside it; a row whose validation was still rising when it ended
says "runs, not comparable".
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

from benchmarks import record
from contrastive_cxr import recipe as recipes
from contrastive_cxr.data.dataset import Dataset, open_dataset
from contrastive_cxr.experiment import compare
from contrastive_cxr.phases.supervised import epoch_size
from contrastive_cxr.recipe.schema import Recipe
from contrastive_cxr.run import folder
from contrastive_cxr.run.log import MetricsLog

NOT_COMPARABLE = "runs, not comparable"
# The official validation part of the CT slices is scored; the last epoch is taken, so that it chooses nothing.
UNCHOSEN = tuple(f"{phase}.choose_by=last" for phase in ("pretrain", "embed", "finetune"))
# Shares of the image passes in three phases.
SHARES = {"pretrain": 0.6, "embed": 0.2, "finetune": 0.2}


@dataclass(frozen=True)
class Row:
    """One run.

    Parameters
    ----------
    system : str
        Number and name, such as `3 small CNN`; rows of one system are compared, those on other images apart.
    name : str
        Its row and folder.
    recipe : str
        Shipped name.
    data : str
        Folder below --data.
    changes : tuple of str
        Overrides against the recipe.
    small : int or None
        Input side without --own-size, pixels; None: the recipe's.
    """

    system: str
    name: str
    recipe: str
    data: str
    changes: tuple[str, ...] = ()
    small: int | None = None


def rows() -> Iterator[Row]:
    """Every system, and every choice that its study compared; a system's first row is what the others differ from."""
    ct, one = "1 covid-ct", ("pretrain.choose_by=last",)
    yield Row(ct, "densenet169", "systems/ct-backbones", "ct", one, 96)
    for name in ("resnet18", "resnet50", "alexnet", "densenet121", "densenet161"):
        yield Row(ct, name, "systems/ct-backbones", "ct", (*one, f"model.backbone={name}"), 96)
    yield Row(ct, "imagenet-statistics", "systems/ct-backbones", "ct", (*one, "model.normalise=imagenet"), 96)
    yield Row(ct, "three-phases", "ct/three-phase", "ct", UNCHOSEN, 96)
    yield Row(ct, "three-phases-augmented", "ct/three-phase", "ct", (*UNCHOSEN, "embed.positives=augmented"), 96)
    flat = "2 resnet"
    yield Row(flat, "resnet50", "systems/xray-resnet", "xray", (), 64)
    for name in ("resnet101", "resnet152"):
        yield Row(flat, name, "systems/xray-resnet", "xray", (f"model.backbone={name}",), 64)
    yield Row(flat, "resnet50-bce", "systems/xray-resnet", "xray", ("pretrain.loss=bce",), 64)
    small = "3 small-cnn"
    yield Row(small, "as-shipped", "systems/xray-small-cnn", "xray", (), 96)
    for word, values in {
        "pretrain.loss": ("cross-entropy", "hinge", "squared-hinge"),
        "pretrain.optimiser.name": ("rmsprop", "adam"),
        "pretrain.optimiser.lr": ("0.2", "0.3", "0.4", "0.5"),
        "model.init": ("zero", "normal", "he"),
    }.items():
        for value in values:
            name = f"{word.removeprefix('pretrain.').removeprefix('model.')}-{value}"
            yield Row(small, name, "systems/xray-small-cnn", "xray", (f"{word}={value}",), 96)
    for name, side in (("xray-bit", 96), ("xray-vit", 96), ("xray-hybrid-vit", 96)):
        yield Row("4 imagenet-21k", name, f"systems/{name}", "xray4", (), side)
    shifted = "5 imbalance"
    for network in ("cnn4", "cnn2"):
        for word in ("none", "oversample", "undersample", "class-weights"):
            changes = (f"pretrain.imbalance={word}",)
            yield Row(shifted, f"{network}-{word}", f"systems/xray-{network}", "xray4", changes, 128)
    for word in ("none", "mirror-turn", "equalise-shift"):
        changes = (f"evaluation.tta={word}",)
        yield Row(shifted, f"resnet50-tta-{word}", "systems/xray-resnet50-frozen", "xray4", changes, 128)


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
    done = [row for row in chosen if (place(row, options.out) / "report.json").is_file()]
    failed = [row for row in chosen if stopped(row, options.out).is_file()]
    result = {
        "own_size": options.own_size,
        "weights": options.weights,
        "words": options.words,
        **table(done, options.out),
        "failed": [failure(row, options.out) for row in failed],
    }
    path = record.write(options.result, "systems", result)
    folder.write_text(path.with_suffix(".md"), markdown(result))


def place(row: Row, out: Path) -> Path:
    """Its run folder."""
    return out / row.system.replace(" ", "-") / row.name


def stopped(row: Row, out: Path) -> Path:
    """File that says why a row failed."""
    where = place(row, out)
    return where.with_name(f"{where.name}.stopped")


def failure(row: Row, out: Path) -> dict[str, Any]:
    """A failed row's settings and the last line that it printed."""
    reason = stopped(row, out).read_text(encoding="utf-8").strip()
    return {"system": row.system, "row": row.name, "recipe": row.recipe, "changes": list(row.changes), "reason": reason}


def settled(row: Row, out: Path) -> bool:
    """Whether a row is finished or failed; both are left alone."""
    return (place(row, out) / "report.json").is_file() or stopped(row, out).is_file()


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


def table(done: list[Row], out: Path) -> dict[str, Any]:
    """Rows, and by system and images the paired differences to its first row."""
    lines, comparisons = [], {}
    for system in dict.fromkeys(row.system for row in done):
        own = [row for row in done if row.system == system]
        for group in dict.fromkeys(task_of(row, out) for row in own):
            members = [row for row in own if task_of(row, out) == group]
            facts = compare.table_of([place(row, out) for row in members], names=[row.name for row in members])
            facts["runs"] = [{key: value for key, value in each.items() if key != "run"} for each in facts["runs"]]
            comparisons[f"{system}, {group}"] = facts
        lines += [line for row in own for line in lines_of(row, out)]
    return {"rows": lines, "comparisons": comparisons}


def task_of(row: Row, out: Path) -> str:
    """Name of the row's task."""
    return str(folder.read_json(place(row, out) / "report.json")["task"]["name"])


def lines_of(row: Row, out: Path) -> Iterator[dict[str, Any]]:
    """A line a network: of a cascade the joined verdict, the flat network and both stages."""
    where = place(row, out)
    cascade = (where / "flat" / "report.json").is_file()
    for part in ("flat", "stage1", "stage2") if cascade else (".",):
        facts = folder.read_json(where / part / "report.json")
        phases = facts["budget"]["phases"]
        yield {
            "system": row.system,
            "row": row.name if part == "." else f"{row.name}, {part}",
            "recipe": row.recipe,
            "changes": list(row.changes),
            "task": facts["task"]["name"],
            "split": facts["split"],
            "n": facts["n"],
            "scores": facts["scores"],
            "thumbnail_forest": [line["scores"] for line in facts["baselines"] if "thumbnail" in line["name"]],
            "image_passes": sum(phase["images"] for phase in phases.values()),
            "minutes": round(sum(phase["minutes"] for phase in phases.values()), 1),
            "peak_memory_mib": round(max(phase["peak_memory_mib"] or 0 for phase in phases.values())),
            "verdict": verdict(where / part / next(iter(phases))),
        }
    if cascade:
        facts = folder.read_json(where / "report.json")
        yield {
            "system": row.system, "row": f"{row.name}, cascade", "recipe": row.recipe, "changes": list(row.changes),
            "task": facts["task"]["name"], "split": facts["split"], "n": facts["n"],
            "scores": facts["cascade"]["verdicts"]["scores"], "thumbnail_forest": [],
        }  # fmt: skip


def verdict(phase: Path) -> str:
    """`at its plateau`, where the best validation AUC lies before the last fifth of five epochs or more."""
    values = [each["auc"] for each in MetricsLog(phase / "metrics.jsonl").rows() if each["split"] == "val"]
    best = max(range(len(values)), key=values.__getitem__, default=0)
    return "at its plateau" if len(values) >= 5 and best < 0.8 * len(values) - 1 else NOT_COMPARABLE


def markdown(result: dict[str, Any]) -> str:
    """The rows as a table."""
    size = "published input sizes" if result["own_size"] else "smaller input sizes"
    start = "from scratch" if result["weights"] == "none" else "weights as in the recipes"
    text = [
        "# The published systems, measured",
        "",
        f"Networks of one system look at about equally many images (the column passes), {start}, {size}. Forest: a "
        "random forest on 32x32 thumbnails of the same images. Intervals are 95 %. No row chose anything on the part "
        "that it is scored on.",
        "",
        "| system | row | task | n | accuracy | balanced accuracy | AUC | forest, balanced accuracy | passes | minutes "
        "| MiB | |",
        "|---|---|---|---:|---|---|---|---|---:|---:|---:|---|",
    ]
    for line in result["rows"]:
        forest = line["thumbnail_forest"]
        cells = [
            *(line[name] for name in ("system", "row", "task", "n")),
            *(value(line, name) for name in ("accuracy", "balanced_accuracy", "auc")),
            value({"scores": forest[0]}, "balanced_accuracy") if forest else "",
            *(line.get(name, "") for name in ("image_passes", "minutes", "peak_memory_mib", "verdict")),
        ]
        text.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    if result["failed"]:
        text += ["", "Rows that did not come to an end:", ""]
        text += [f"- {each['system']}, {each['row']}: {each['reason']}" for each in result["failed"]]
    return "\n".join(text) + "\n"


def value(line: dict[str, Any], name: str) -> str:
    """A score with its interval, such as `0.824 (0.797-0.849)`."""
    entry = line["scores"].get(name)
    if entry is None or entry["value"] is None:
        return ""
    ends = "" if entry["low"] is None else f" ({entry['low']:.3f}-{entry['high']:.3f})"
    return f"{entry['value']:.3f}{ends}"


if __name__ == "__main__":
    main()
