"""The table of a comparison: as tables of words, as Markdown, and as one self-contained page."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import contrastive_cxr.report.facts.words as words
import contrastive_cxr.report.figures.comparison as comparison
from contrastive_cxr.html_templates import environment, labelled
from contrastive_cxr.recipe.augmentation import in_words

_BINARY = ("balanced_accuracy", "accuracy", "precision", "recall", "specificity", "f1", "auc")
_SEVERAL = ("balanced_accuracy", "accuracy", "macro_precision", "macro_f1", "auc")
_DIFFERENCES = ("balanced_accuracy", "accuracy", "macro_f1", "auc")
_DASH = "\N{EN DASH}"
_NARROW = {"balanced_accuracy": "Bal. acc.", "recall": "Recall"}


@dataclass(frozen=True)
class Table:
    """A title, a sentence that says what the table shows, column names, and rows of text."""

    title: str
    words: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def tables(facts: Mapping[str, Any]) -> list[Table]:
    """Scores, differences, cost and settings of a comparison (docs/reference/studies.md), without empty tables."""
    found = [
        _scores(facts),
        _differences(facts),
        _by_patient(facts),
        _costs(facts),
        _tta(facts),
        _robustness(facts),
        _parts(facts),
        _cost(facts),
        _settings(facts),
        _failed(facts),
    ]
    return [each for each in found if each is not None]


def markdown(facts: Mapping[str, Any]) -> str:
    """The tables as Markdown, with the notes below; names are plain text and never markup."""
    lines = [f"# {_text(heading(facts))}", ""]
    for each in tables(facts):
        lines += [f"## {_text(each.title)}", "", _text(each.words), ""]
        lines += [_row(each.columns), _row(["---"] * len(each.columns)), *map(_row, each.rows), ""]
    lines += [f"- {_text(note)}" for note in facts["notes"]]
    return "\n".join(lines).rstrip() + "\n"


def page(facts: Mapping[str, Any]) -> str:
    """The tables as one HTML page that needs no other file."""
    names = ("balanced_accuracy", "auc")
    return labelled(
        environment(Path(__file__).parent)
        .get_template("compare.html.j2")
        .render(
            heading=heading(facts),
            facts=facts,
            tables=tables(facts),
            figures=[(words.title(name), comparison.forest(facts, name)) for name in names],
        )
    )


def heading(facts: Mapping[str, Any]) -> str:
    """What is compared, in one line."""
    named = {line["run"] for line in facts["runs"]}
    runs = f"{len(named)} run{'s' * (len(named) != 1)}"
    return f"{runs} of {facts['task']['name']}: {facts['split']} part, {facts['n']} images"


def cell(entry: Mapping[str, Any] | None) -> str:
    """`0.893 (0.861-0.921)` with an en dash; only a dash if the run does not have the score, or it is undefined.

    Examples
    --------
    >>> cell({"value": 0.5, "low": 0.25, "high": 0.75}).replace(_DASH, "-")
    '0.500 (0.250-0.750)'
    """
    if entry is None or entry.get("value") is None:
        return _DASH
    if entry.get("low") is None:
        return f"{entry['value']:.3f}"
    return f"{entry['value']:.3f} ({entry['low']:.3f}{_DASH}{entry['high']:.3f})"


def change(entry: Mapping[str, Any] | None) -> str:
    """`+0.012 (-0.004 to +0.027)` of a paired difference.

    Examples
    --------
    >>> change({"difference": 0.012, "low": -0.004, "high": 0.027})
    '+0.012 (-0.004 to +0.027)'
    """
    if entry is None or entry["difference"] is None:
        return _DASH
    if entry["low"] is None:
        return f"{entry['difference']:+.3f}"
    return f"{entry['difference']:+.3f} ({entry['low']:+.3f} to {entry['high']:+.3f})"


def chance(p: float | None) -> str:
    """A p value: three decimals, or `<0.001`."""
    if p is None:
        return _DASH
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def setting(value: object) -> str:
    """The value of a setting: text unchanged, an augmentation in words, anything else as JSON; a dash for None."""
    if value is None:
        return _DASH
    if isinstance(value, Mapping) and "set" in value:
        return in_words(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _shown(facts: Mapping[str, Any]) -> tuple[str, ...]:
    return _BINARY if len(facts["task"]["classes"]) == 2 else _SEVERAL


def _titles(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(_NARROW.get(name, words.title(name)) for name in names)


def _scores(facts: Mapping[str, Any]) -> Table:
    names = _shown(facts)
    rows = tuple((line["name"], *(cell(line["scores"].get(name)) for name in names)) for line in facts["runs"])
    counts = ", ".join(f"{name} {n}" for name, n in facts["counts"].items())
    people = f" of {facts['patients']} known patients" if facts["patients"] else ""
    what = f"{facts['n']} images{people} ({counts}); positive is {facts['task']['positive']}; 95 % intervals."
    return Table("Scores", what, ("run", *_titles(names)), rows)


def _differences(facts: Mapping[str, Any]) -> Table | None:
    lines = [line for line in facts["runs"] if line["against"] is not None]
    if not lines:
        return None
    columns = ("run", *_titles(_DIFFERENCES), "McNemar p", "DeLong p")
    rows = tuple(
        (
            line["name"],
            *(change(line["against"]["paired"].get(name)) for name in _DIFFERENCES),
            chance(line["against"]["mcnemar"]["p"]),
            chance(None if line["against"]["delong"] is None else line["against"]["delong"]["p"]),
        )
        for line in lines
    )
    return Table(f"Difference to {facts['against']}", "Paired, on the same images; 95 % intervals.", columns, rows)


def _by_patient(facts: Mapping[str, Any]) -> Table | None:
    lines = [line for line in facts["runs"] if line["by_patient"]]
    if not lines:
        return None
    names = _shown(facts)
    rows = tuple((line["name"], *(cell(line["by_patient"].get(name)) for name in names)) for line in lines)
    return Table("Scores by patient", "The mean probability of a patient's images.", ("run", *_titles(names)), rows)


def _costs(facts: Mapping[str, Any]) -> Table | None:
    """Mean cost of an image, if a recipe gives costs of wrong decisions."""
    lines = [(line["name"], line["costs"]) for line in facts["runs"] if line["costs"]]
    if not lines:
        return None
    rows = tuple(
        (name, *(cell(costs[how]["mean_cost"]) for how in ("by_cost", "most_probable"))) for name, costs in lines
    )
    what = "Mean cost of an image, for the decision of least expected cost and for the most probable class."
    return Table("Decision costs", what, ("run", "least cost", "most probable"), rows)


def _tta(facts: Mapping[str, Any]) -> Table | None:
    """The effect of test-time augmentation within each run that has it."""
    lines = [(line["name"], line["tta"]) for line in facts["runs"] if line["tta"]]
    if not lines:
        return None
    rows = tuple(
        (name, tta["name"], *(change(tta["gain"].get(score)) for score in _DIFFERENCES)) for name, tta in lines
    )
    what = "With minus without, on the same images; the scores above are with it."
    return Table("Test-time augmentation", what, ("run", "set", *_titles(_DIFFERENCES)), rows)


def _robustness(facts: Mapping[str, Any]) -> Table | None:
    """Accuracy under benign changes within each run that measured it."""
    lines = [(line["name"], line["robustness"]) for line in facts["runs"] if line.get("robustness")]
    if not lines:
        return None
    rows = tuple(
        (
            name,
            cell(found["mean"]["scores"]["accuracy"]),
            change(found["mean"]["difference"]["accuracy"]),
            found["worst"]["title"],
            change(found["worst"]["difference"]["accuracy"]),
            found["worst_case"]["words"],
            change(found["worst_case"]["difference"]["accuracy"]),
        )
        for name, found in lines
    )
    what = "Accuracy under benign changes of the same images; differences are to the same run on the unchanged images."
    columns = ("run", "mean of all kinds", "difference", "worst kind", "difference, mean", "worst case", "difference")
    return Table("Robustness", what, columns, rows)


def _parts(facts: Mapping[str, Any]) -> Table | None:
    """Means over folds or seeds."""
    lines = [(line["name"], line["pooled"]) for line in facts["runs"] if line["pooled"]]
    if not lines:
        return None
    names = _shown(facts)
    rows = tuple(
        (name, str(len(pooled["parts"])), *(_spread(pooled["scores"]["image"].get(word)) for word in names))
        for name, pooled in lines
    )
    what = "Mean and standard deviation over the single runs; the scores above are those of the pooled predictions."
    return Table("Over folds or seeds", what, ("run", "runs", *_titles(names)), rows)


def _spread(entry: Mapping[str, Any] | None) -> str:
    if entry is None:
        return _DASH
    return f"{entry['mean']:.3f}" + ("" if entry["sd"] is None else f" (sd {entry['sd']:.3f})")


def _cost(facts: Mapping[str, Any]) -> Table:
    columns = ("run", "minutes", "image passes", "steps", "parameters trained", "in all", "peak memory, MiB", "device")
    rows = tuple(
        (
            line["name"],
            _count(line["cost"]["minutes"], 1),
            *(_count(line["cost"][name]) for name in ("images", "steps", "trainable", "parameters", "peak_memory_mib")),
            str(line["cost"]["device"] or _DASH),
        )
        for line in facts["runs"]
    )
    return Table("What training took", "All phases together; a dash means: not recorded.", columns, rows)


def _count(value: float | None, digits: int = 0) -> str:
    return _DASH if value is None else f"{value:,.{digits}f}"


def _settings(facts: Mapping[str, Any]) -> Table | None:
    if not facts["settings"]:
        return None
    names = list(dict.fromkeys(name for values in facts["settings"].values() for name in values))
    rows = tuple((name, *(setting(values.get(name)) for values in facts["settings"].values())) for name in names)
    return Table("Settings that differ", "All others are the same.", ("run", *facts["settings"]), rows)


def _failed(facts: Mapping[str, Any]) -> Table | None:
    rows = tuple((each["name"], each["error"]) for each in facts.get("failed", ()))
    return Table("Failed", "These have no scores.", ("run", "why"), rows) if rows else None


def _row(cells: Sequence[str]) -> str:
    """A line of a Markdown table."""
    return f"| {' | '.join(_text(str(each)) for each in cells)} |"


def _text(text: str) -> str:
    """One line of text, escaped so that nothing ends a cell, begins a tag or a link, or is code."""
    return re.sub(r"([\\`\[\]|])", r"\\\1", html.escape(" ".join(text.split()), quote=False))
