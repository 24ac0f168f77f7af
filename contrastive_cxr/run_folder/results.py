"""What a finished run says of the images it scored, read from its folder: no model, no torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from numpy.typing import NDArray

from contrastive_cxr import recipe as recipes
from contrastive_cxr import report
from contrastive_cxr.data.tables.text_tables import read_table
from contrastive_cxr.errors import RequestError
from contrastive_cxr.recipe.text import earlier, yaml_text
from contrastive_cxr.run import folder as folders
from contrastive_cxr.run_layout import MODEL, STAGES

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Scored:
    """A run and the part that it scored.

    Attributes
    ----------
    run : Path
        The folder, as it was named.
    facts : dict
        Its `report.json`.
    recipe : dict
        Its recipe as a tree of plain values; empty where the folder has none.
    rows : DataFrame [n] of str
        The images: `path`, `root`, `class`, `patient`, `digest`, ...
    probabilities : float64 [n, C]
        Of the last phase; of pooled runs their mean, of a cascade the joined ones; without a classifier, the votes.
    verdicts : int64 [n] or None
        The decisions by stages of a cascade.
    cost : dict
        `minutes`, `images`, `steps`, `trainable`, `parameters`, `peak_memory_mib`, `device`; None where not recorded.
    """

    run: Path
    facts: dict[str, Any]
    recipe: dict[str, Any]
    rows: pd.DataFrame
    probabilities: Floats
    verdicts: Ints | None
    cost: dict[str, Any]

    @property
    def classes(self) -> list[str]:
        """Names of the classes, by number."""
        return list(self.facts["task"]["classes"])


def read(run: Path, split: str | None = None) -> Scored:
    """Read a finished run: of one task, a cascade, or one that pools folds or seeds.

    Parameters
    ----------
    run : Path
        The run folder, or a folder that `ccxr evaluate --out` wrote.
    split : str, optional
        The part that must have been scored: `train`, `val`, `test`, or `external-test` for `RUN/external-test`.

    Raises
    ------
    RequestError
        No such folder, not evaluated, another part than `split`, or arrays that do not fit the report.
    """
    folder = Path(run) / split if split is not None and split.startswith("external-") else Path(run)
    facts = _facts(Path(run), folder)
    if folder == Path(run) and split not in (None, facts["split"]):
        raise RequestError(
            f"{run}: its report is on the {facts['split']} part, not on {split}; score that with "
            f"ccxr evaluate {run} --split {split} --out DIR, and compare DIR"
        )
    try:
        rows, probabilities, verdicts = _outputs(folder, facts)
    except (OSError, ValueError, KeyError) as error:
        raise RequestError(f"{folder}: its arrays cannot be read ({error}); evaluate the run again") from error
    if not len(rows) == len(probabilities) == facts["n"]:
        raise RequestError(
            f"{folder}: its arrays have {len(rows)} rows, its report.json has {facts['n']}; evaluate the run again"
        )
    return Scored(Path(run), facts, _recipe(folder), rows, probabilities, verdicts, _cost(Path(run), facts))


def _facts(run: Path, folder: Path) -> dict[str, Any]:
    if not run.is_dir():
        raise RequestError(f"{run} does not exist; give the folder of a finished run")
    path = folder / "report.json"
    if not path.is_file():
        why = "is no run folder" if not (run / "recipe.yaml").is_file() else "has no such report"
        raise RequestError(f"{run} {why}: there is no {path}; finish the run, or evaluate it, first")
    facts: dict[str, Any] = folders.read_json(path)
    version = facts.get("version") if isinstance(facts, dict) else None
    if version != report.VERSION:
        raise RequestError(
            f"{path} is a report of version {version}, this program compares version {report.VERSION} (their intervals "
            f"are made otherwise); score the run again with ccxr evaluate {run}"
        )
    return facts


def _outputs(folder: Path, facts: dict[str, Any]) -> tuple[pd.DataFrame, Floats, Ints | None]:
    """Rows, probabilities and, of a cascade, decisions."""
    if (folder / "parts.json").is_file():
        rows, probabilities, _ = joined([place / facts["phase"] / "arrays" for place in places_of(folder)])
        return rows, probabilities, None
    arrays = folder / "arrays" if facts["cascade"] is not None else folder / facts["phase"] / "arrays"
    rows = table(arrays / "rows.csv")
    if facts["cascade"] is not None:
        probabilities = folders.read_array(arrays / "joined.npy").astype(np.float64)
        return rows, probabilities, folders.read_array(arrays / "verdicts.npy")
    return rows, probabilities_of(arrays).astype(np.float64), None


def places_of(pool: Path) -> list[Path]:
    """The folders that a pool's `parts.json` names, with a report and arrays each: runs, or their external tests."""
    record = folders.read_json(pool / "parts.json")
    return [pool / record.get("folders", {}).get(name, name) for name in record["parts"]]


def probabilities_of(arrays: Path) -> NDArray[np.floating[Any]]:
    """Probabilities [n, C] in a phase's arrays; without a classifier, the vote of the neighbours."""
    file = arrays / "probabilities.npy"
    found: NDArray[np.floating[Any]] = folders.read_array(file if file.is_file() else arrays / "votes.npy")
    return found


def table(path: Path) -> pd.DataFrame:
    """A `rows.csv`: all text, nothing missing."""
    return read_table(path)


def joined(
    folders_of: Sequence[Path], part: str = "", array: str = "", axis: int = 0
) -> tuple[pd.DataFrame, Floats, Ints]:
    """Rows, mean probabilities [n, C] and labels [n] of the images that several runs scored, in order of path.

    Parameters
    ----------
    part : str
        `val_` for the validation rows that a run kept.
    array : str
        Name of an array in the place of the probabilities, of any further axes.
    axis : int
        Which of its axes the images are on; they come first in what is returned.
    """

    def values(arrays: Path) -> NDArray[Any]:
        if not array:
            return probabilities_of(arrays)
        return np.moveaxis(folders.read_array(arrays / f"{part}{array}.npy"), axis, 0)

    tables = [
        table(arrays / f"{part}rows.csv").assign(
            p=list(values(arrays)), y=folders.read_array(arrays / f"{part}labels.npy")
        )
        for arrays in folders_of
    ]
    every = pd.concat(tables, ignore_index=True)
    groups = every.groupby(["root", "path"], sort=True)
    probabilities = np.stack([np.mean(np.stack(list(part)), axis=0) for part in groups["p"].apply(list)])
    first = groups.first().reset_index()
    return first, probabilities.astype(np.float64), first["y"].to_numpy(dtype=np.int64)


def patient_numbers(rows: pd.DataFrame) -> Ints:
    """Patients as numbers, int64 [n]; -1 where unknown."""
    codes = pd.factorize(rows["patient"])[0].astype(np.int64)
    return np.where(rows["patient"].to_numpy() == "", -1, codes)


def _recipe(folder: Path) -> dict[str, Any]:
    """The recipe beside a report, or of the run around an evaluation; as it was written where it no longer loads."""
    place = next((path for path in (folder / "recipe.yaml", folder.parent / "recipe.yaml") if path.is_file()), None)
    if place is None:
        return {}
    try:
        return recipes.load(place).model_dump(mode="json")
    except RequestError:  # of an earlier version of the program
        try:
            tree = yaml_text.parse(place.read_text(encoding="utf-8"))
        except (yaml.YAMLError, OSError, ValueError):
            return {}
        if not isinstance(tree, dict):
            return {}
        earlier.rename(tree)
        return tree


def _cost(run: Path, facts: dict[str, Any]) -> dict[str, Any]:
    """What training took, over the stages of a cascade and the parts of a pool."""
    if (run / "parts.json").is_file():
        each = [_cost_below(place) for place in places_of(run)]
        sizes = each[:1]  # the parts are one network, trained several times
    elif facts["cascade"] is not None:
        each = sizes = [_cost_below(run / name) for name in STAGES[1:]]
    else:
        return _single_cost(run, facts)
    return {
        **{name: _sum(each, name) for name in ("minutes", "images", "steps")},
        **{name: _sum(sizes, name) for name in ("trainable", "parameters")},
        "peak_memory_mib": max((part["peak_memory_mib"] for part in each if part["peak_memory_mib"]), default=None),
        "device": each[0]["device"],
    }


def _cost_below(run: Path) -> dict[str, Any]:
    return _single_cost(run, folders.read_json(run / "report.json"))


def _single_cost(run: Path, facts: dict[str, Any]) -> dict[str, Any]:
    """Of one network: times and images are sums over its phases, sizes those of the phase that trained most."""
    budget = facts.get("budget") or {}
    phases = budget.get("phases") or {}
    cards = [training for name in phases if (training := _training(run / name)) is not None]
    memory = [each.get("peak_memory_mib") for each in (budget, *phases.values(), *cards)]
    return {
        **{name: _sum(list(phases.values()), name) for name in ("minutes", "images", "steps")},
        **{
            name: max((card[name] for card in cards if card.get(name) is not None), default=None)
            for name in ("trainable", "parameters")
        },
        "peak_memory_mib": max((each for each in memory if each is not None), default=None),
        "device": budget.get("device"),
    }


def _training(phase: Path) -> dict[str, Any] | None:
    """What `model.json` says of the training of a phase; None where there is no such file."""
    try:
        card = json.loads((phase / MODEL).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    training = card.get("training") if isinstance(card, dict) else None
    return training if isinstance(training, dict) else None


def _sum(parts: Sequence[dict[str, Any]], name: str) -> Any:
    """Sum of a field; None where no part has it, or one lacks it."""
    values = [part.get(name) for part in parts]
    return None if not values or None in values else sum(values)
