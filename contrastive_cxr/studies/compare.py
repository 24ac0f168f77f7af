"""Several runs in one table: scores, cost, settings that differ, and paired differences on the same images."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contrastive_cxr.errors import RequestError, raise_faults
from contrastive_cxr.metrics import scores
from contrastive_cxr.metrics.statistics import significance
from contrastive_cxr.report.pages import compare_page
from contrastive_cxr.run import folder as folders
from contrastive_cxr.run_folder.results import Scored, patient_numbers, read
from contrastive_cxr.studies.comparability import align, differences
from contrastive_cxr.studies.settings import differing

VERSION = 1
_PAIRED = ("accuracy", "balanced_accuracy", "macro_precision", "macro_recall", "macro_f1", "auc")
_MIXED = (
    "Patients have several images: the intervals draw whole patients; McNemar's and DeLong's tests take every image as "
    "independent, so their p is too small."
)


def compare(
    runs: Sequence[Path],
    *,
    against: Path | None = None,
    split: str | None = None,
    out: Path | None = None,
    resamples: int = 2000,
) -> dict[str, Any]:
    """Compare finished runs that scored the same images with the same label map.

    Reads what the run folders hold (`report.json`, arrays, `recipe.yaml`), no model.

    Parameters
    ----------
    runs : sequence of Path
        Two or more: runs of one task, cascades, or runs that pool folds or seeds.
    against : Path, optional
        The run that differences are taken to; none: the first.
    split : str, optional
        The part that all must have scored, or `external-test` for `RUN/external-test`.
    out : Path, optional
        Folder for `compare.json`, `compare.md` and `compare.html`; none: nothing is written.
    resamples : int
        Bootstrap resamples of a difference's interval.

    Returns
    -------
    dict
        The contents of `compare.json` (docs/reference/studies.md).

    Raises
    ------
    RequestError
        A folder that is no finished run; runs over other images, labels or label maps, with what differs.
    """
    named = list(runs)
    if against is not None and not any(_same(against, run) for run in named):
        named.insert(0, against)
    raise_faults(_list_faults(named, out))
    facts = table_of(named, against=against, split=split, resamples=resamples)
    if out is not None:
        write(out, facts)
    return facts


def table_of(
    runs: Sequence[Path],
    *,
    against: Path | None = None,
    names: Sequence[str] | None = None,
    split: str | None = None,
    resamples: int = 2000,
    notes: Sequence[str] = (),
) -> dict[str, Any]:
    """The facts of a comparison of one or more runs; `names` are theirs in the table, parameters else as `compare`."""
    found = _read_all(runs, split)
    called = dict(zip(map(str, runs), names or short_names(runs), strict=True))
    first = next((each for each in found if against is not None and _same(each.run, against)), found[0])
    raise_faults(differences(first, [each for each in found if each is not first], called))
    order = [first.run, *(each.run for each in found if each is not first)]
    found = [first, *(align(first, each) for each in found if each is not first)]
    patients = patient_numbers(first.rows)
    lines = [line for each in found for line in _lines(each, first, called, patients, resamples)]
    grouped = bool((patients >= 0).any())
    return dict(
        folders.plain(
            {
                "version": VERSION,
                "task": first.facts["task"],
                "split": first.facts["split"],
                "n": first.facts["n"],
                "patients": first.facts["patients"],
                "counts": first.facts["counts"],
                "against": called[str(first.run)],
                "settings": differing(
                    [(called[str(run)], each.recipe) for run, each in zip(order, found, strict=True)]
                ),
                "runs": lines,
                "notes": [*_notes(lines, grouped, first.facts), *notes],
            }
        )
    )


def _read_all(runs: Sequence[Path], split: str | None) -> list[Scored]:
    """The runs, or every fault of them."""
    found: list[Scored] = []
    faults: list[str] = []
    for run in runs:
        try:
            found.append(read(run, split))
        except RequestError as error:
            faults += error.faults
    raise_faults(faults)
    return found


def write(out: Path, facts: dict[str, Any]) -> None:
    """Write `compare.json`, `compare.md` and `compare.html` into `out`, in the place of earlier ones."""
    folders.write_json(out / "compare.json", facts)
    folders.write_text(out / "compare.md", compare_page.markdown(facts))
    folders.write_text(out / "compare.html", compare_page.page(facts))


def tables(facts: dict[str, Any]) -> list[compare_page.Table]:
    """The tables of a comparison, as the terminal, the Markdown and the page show them."""
    return compare_page.tables(facts)


def short_names(runs: Sequence[Path]) -> list[str]:
    """The folders' names below what they have in common.

    Examples
    --------
    >>> short_names([Path("runs/a"), Path("runs/b/flat")])
    ['a', 'b/flat']
    """
    places = [Path(os.path.abspath(run)) for run in runs]
    common = Path(os.path.commonpath([place.parent for place in places]))
    return [place.relative_to(common).as_posix() for place in places]


def _list_faults(runs: Sequence[Path], out: Path | None) -> list[str]:
    faults = []
    if len(runs) < 2:
        faults.append(f"{len(runs)} run is given; a comparison needs two or more")
    for number, run in enumerate(runs):
        if any(_same(run, other) for other in runs[:number]):
            faults.append(f"{run} is given twice; name each run once")
    if out is not None and out.exists() and not out.is_dir():
        faults.append(f"--out {out}: is a file; name a folder for the table")
    return faults


def _same(one: Path, other: Path) -> bool:
    return Path(one).resolve() == Path(other).resolve()


def _lines(
    each: Scored, first: Scored, called: dict[str, str], patients: NDArray[np.int64], resamples: int
) -> list[dict[str, Any]]:
    """The row of a run; of a cascade also one of its decisions by stages."""
    name, facts = called[str(each.run)], each.facts
    labels = _labels(first)

    by_patient = facts.get("by_patient")
    line = {
        "name": name,
        "run": str(each.run),
        "experiment": facts["experiment"],
        "phase": facts["phase"],
        "pooled": _pooled(each.run),
        "scores": facts["scores"],
        "per_class": facts["per_class"],
        "by_patient": None if by_patient is None else by_patient["scores"],
        "costs": facts.get("costs"),
        "tta": facts.get("tta"),
        "robustness": _robustness(facts),
        "cost": each.cost,
        "against": None if each is first else _against(each.probabilities, first, labels, patients, resamples, False),
    }
    if each.verdicts is None:
        return [line]
    hard = np.eye(len(each.classes))[each.verdicts]
    decided = facts["cascade"]["verdicts"]
    return [
        line | {"name": f"{name} (joined)"},
        line
        | {
            "name": f"{name} (by stages)",
            "scores": decided["scores"],
            "per_class": {},
            "by_patient": None,
            "costs": None,
            "tta": None,
            "robustness": None,
            "against": _against(hard, first, labels, patients, resamples, True),
        },
    ]


def _against(
    said: NDArray[np.floating[Any]], first: Scored, labels: NDArray[np.int64], patients: NDArray[np.int64],
    resamples: int, decisions: bool,
) -> dict[str, Any]:  # fmt: skip
    """Differences to the first run, with intervals and tests; of `decisions` alone, which rank nothing, no AUC."""
    names = [name for name in _PAIRED if not (decisions and name == "auc")]
    theirs = first.probabilities
    positive = first.classes.index(first.facts["task"]["positive"])
    return {
        "paired": scores.paired(said, theirs, labels, patients, names, resamples),
        "mcnemar": significance.mcnemar(said.argmax(1) == labels, theirs.argmax(1) == labels),
        "delong": None
        if decisions
        else significance.delong(said[:, positive], theirs[:, positive], labels == positive),
    }


def _robustness(facts: dict[str, Any]) -> dict[str, Any] | None:
    """Scores under benign changes: the mean, the worst kind and the worst case; None where they were not measured."""
    found = facts.get("robustness")
    return None if found is None else {name: found[name] for name in ("clean", "mean", "worst", "worst_case")}


def _labels(each: Scored) -> NDArray[np.int64]:
    """Class numbers, int64 [n], from the names that stand beside the images."""
    numbers = {name: number for number, name in enumerate(each.classes)}
    return np.array([numbers[name] for name in each.rows["class"]], dtype=np.int64)


def _pooled(run: Path) -> dict[str, Any] | None:
    """Mean, deviation and single values of each score over the folds or seeds; None for a single run."""
    path = run / "pooled.json"
    return folders.read_json(path) if path.is_file() else None


def _notes(lines: Sequence[dict[str, Any]], grouped: bool, facts: dict[str, Any]) -> list[str]:
    """What a reader of the table needs to know."""
    notes = []
    compared = sum(line["against"] is not None for line in lines)
    if compared > 1:
        notes.append(
            f"{compared} rows are compared with the same one and no p or interval is adjusted for that: with many rows "
            "one in twenty looks different by chance."
        )
    if grouped and compared:
        notes.append(_MIXED)
    if facts["split"] == "val":
        notes.append("The scored part is the validation part, which may have chosen checkpoints.")
    if compared and len(facts["task"]["classes"]) > 2:
        notes.append(f"DeLong's test is of class {facts['task']['positive']} against the others.")
    return notes
