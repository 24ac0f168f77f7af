"""Record a finished run: its scores, neighbours, baselines and budget, as `report.json` has them.

python -m benchmarks.studies.from_run RUN [RUN ...] --name NAME [--words "what was done"] [--beside RESULT]

Several runs are recorded side by side, with the mean and standard deviation of each score over them; RESULT is another
result's file, such as that of a plain script on the same rows, that stands beside them whole.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import record
from contrastive_cxr.run import folder

KEPT = (
    "experiment",
    "task",
    "phase",
    "split",
    "n",
    "patients",
    "counts",
    "scores",
    "by_patient",
    "per_class",
    "confusion",
    "neighbours",
    "neighbour_gain",
    "answer_gain",
    "baselines",
    "external_drop",
    "robustness",
    "tta",
    "cascade",
    "budget",
    "notes",
)


def main() -> None:
    """Read the reports, write `benchmarks/results/NAME.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--name", required=True)
    parser.add_argument("--words", default="")
    parser.add_argument("--beside", type=Path)
    options = parser.parse_args()
    reports = {run.name: folder.read_json(run / "report.json") for run in options.runs}
    result: dict[str, Any] = {
        "words": options.words,
        "run_environment": record.machine(folder.read_json(options.runs[0] / "environment.json")),
        "runs": {name: {key: report.get(key) for key in KEPT} for name, report in reports.items()},
    }
    for report in result["runs"].values():
        for line in report["baselines"] or []:
            line.pop("roc", None)
    if options.beside:
        result["beside"] = folder.read_json(options.beside)
    if len(reports) > 1:
        result["over_runs"] = {unit: over_runs(reports, unit) for unit in ("scores", "by_patient")}
    record.write(None, options.name, result)


def over_runs(reports: dict[str, dict[str, Any]], unit: str) -> dict[str, Any]:
    """Mean, standard deviation and single values of each score, by image (`scores`) or by patient."""
    each = [
        report["scores"] if unit == "scores" else (report["by_patient"] or {}).get("scores", {})
        for report in reports.values()
    ]
    table = {}
    for name in each[0]:
        values = [scores[name]["value"] for scores in each]
        if None not in values:
            table[name] = {"mean": float(np.mean(values)), "sd": float(np.std(values, ddof=1)), "values": values}
    return table


if __name__ == "__main__":
    main()
