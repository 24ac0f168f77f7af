"""The table of published systems, from their finished runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from benchmarks import record
from benchmarks.studies.systems_rows import Row, parts_of, place, stopped
from contrastive_cxr.run import folder
from contrastive_cxr.run.log import MetricsLog
from contrastive_cxr.studies import compare

NOT_COMPARABLE = "runs, not comparable"
LAST = ("pixels", "image_passes", "minutes", "peak_memory_mib", "device", "verdict")
"""The table's last columns."""
SCORES = ("accuracy", "balanced_accuracy", "auc", "precision", "recall", "specificity", "f1")
"""What the file keeps of the scores; a run's own report has the rest."""


def table(done: list[Row], out: Path) -> dict[str, Any]:
    """Rows, and by system and images the paired differences to its first row."""
    lines, comparisons = [], {}
    for system in dict.fromkeys(row.system for row in done):
        own = [row for row in done if row.system == system]
        whole = [row for row in own if "." in parts_of(row, out)]
        for group in dict.fromkeys(task_of(row, out) for row in whole):
            members = [row for row in whole if task_of(row, out) == group]
            facts = compare.table_of([place(row, out) for row in members], names=[row.name for row in members])
            comparisons[f"{system}, {group}"] = brief(facts)
        lines += [line for row in own for line in lines_of(row, out)]
    for line in lines:
        line["scores"] = few(line["scores"])
        line["thumbnail_forest"] = [few(each) for each in line["thumbnail_forest"]]
    return {"rows": lines, "comparisons": comparisons}


def few(scores: Mapping[str, Any]) -> dict[str, Any]:
    """The scores of `SCORES` that there are, each with value, count and interval."""
    names = ("value", "n", "low", "high")
    return {score: {name: scores[score].get(name) for name in names} for score in SCORES if score in scores}


def brief(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Of a comparison its settings, and of each run the paired differences to the first one."""
    runs = [
        {"name": each["name"], "against": each["against"] and {"paired": few(each["against"]["paired"])}}
        for each in facts["runs"]
    ]
    return {name: facts[name] for name in ("task", "split", "n", "patients", "against", "settings")} | {"runs": runs}


def machine_of(done: list[Row], out: Path) -> dict[str, Any] | None:
    """Where the rows were trained; the file's own environment is that of the table."""
    files = [place(row, out) / part / "environment.json" for row in done for part in parts_of(row, out)]
    return next((record.machine(folder.read_json(file)) for file in files if file.is_file()), None)


def failure(row: Row, out: Path) -> dict[str, Any]:
    """A failed row's settings and the last line that it printed."""
    reason = stopped(row, out).read_text(encoding="utf-8").strip()
    return {"system": row.system, "row": row.name, "recipe": row.recipe, "changes": list(row.changes), "reason": reason}


def beside(result: dict[str, Any], earlier: dict[str, Any], systems: set[str]) -> dict[str, Any]:
    """The result with what an earlier file has of systems other than these numbers, in the order of the systems."""

    def others(name: str) -> list[dict[str, Any]]:
        return [line for line in earlier.get(name, []) if line["system"].split()[0] not in systems]

    comparisons = {
        name: facts for name, facts in earlier.get("comparisons", {}).items() if name.split()[0] not in systems
    }
    return {
        **result,
        "rows": sorted([*others("rows"), *result["rows"]], key=lambda line: str(line["system"])),
        "comparisons": dict(sorted({**comparisons, **result["comparisons"]}.items())),
        "failed": sorted([*others("failed"), *result["failed"]], key=lambda line: str(line["system"])),
    }


def task_of(row: Row, out: Path) -> str:
    """Name of the row's task."""
    return str(folder.read_json(place(row, out) / "report.json")["task"]["name"])


def lines_of(row: Row, out: Path) -> Iterator[dict[str, Any]]:
    """A line a network: of a cascade the joined verdict, the flat network and both stages."""
    where, there = place(row, out), parts_of(row, out)
    networks = [part for part in there if part != "."] or ["."]
    for part in networks:
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
            "verdict": verdict([where / part / name for name in phases]),
            "pixels": yaml.safe_load((where / part / "recipe.yaml").read_text())["model"]["image_size"],
            "device": facts["budget"]["device"],
        }
    if networks != ["."] and "." in there:
        facts = folder.read_json(where / "report.json")
        yield {
            "system": row.system, "row": f"{row.name}, cascade", "recipe": row.recipe, "changes": list(row.changes),
            "task": facts["task"]["name"], "split": facts["split"], "n": facts["n"],
            "scores": facts["cascade"]["verdicts"]["scores"], "thumbnail_forest": [],
        }  # fmt: skip


def verdict(phases: list[Path]) -> str:
    """`at its plateau`, where in every classifying phase the best validation AUC lies before the last fifth of five
    epochs or more."""
    logs = [MetricsLog(phase / "metrics.jsonl").rows() for phase in phases]
    curves = [[each["auc"] for each in rows if each["split"] == "val" and "auc" in each] for rows in logs]
    settled = [_flat(values) for values in curves if values]
    return "at its plateau" if settled and all(settled) else NOT_COMPARABLE


def _flat(values: list[float]) -> bool:
    """Whether the best of at least five values lies before their last fifth."""
    best = max(range(len(values)), key=values.__getitem__)
    return len(values) >= 5 and best < 0.8 * len(values) - 1


def markdown(result: dict[str, Any]) -> str:
    """The rows as a table."""
    start = "from scratch" if result["weights"] == "none" else "weights as in the recipes"
    text = [
        "# The published systems, measured",
        "",
        f"Networks of one system look at about equally many images (the column passes), {start}. Forest: a random "
        "forest on 32x32 thumbnails of the same images. Intervals are 95 %. No row chose anything on the part that it "
        "is scored on. Minutes are those of training; several networks share a GPU.",
        "",
        "| system | row | task | n | accuracy | balanced accuracy | AUC | forest, balanced accuracy | pixels | passes "
        "| minutes | MiB | device | |",
        "|---|---|---|---:|---|---|---|---|---:|---:|---:|---:|---|---|",
    ]
    for line in result["rows"]:
        forest = line["thumbnail_forest"]
        cells = [
            *(line[name] for name in ("system", "row", "task", "n")),
            *(value(line, name) for name in ("accuracy", "balanced_accuracy", "auc")),
            value({"scores": forest[0]}, "balanced_accuracy") if forest else "",
            *(line.get(name, "") for name in LAST),
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
