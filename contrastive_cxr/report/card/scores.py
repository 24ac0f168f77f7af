"""The card's items about the scores, from `report.json`; fields that a report does not have are left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import contrastive_cxr.report.facts.robust_words as robust_words
import contrastive_cxr.report.facts.words as words
from contrastive_cxr.report.card.found import Content, Found, Table

_DASH = "\N{EN DASH}"


def metrics(found: Found) -> Content:
    """The names of the measures."""
    lines = [f"Of the decisions: {'; '.join(words.title(name) for name in found.facts['scores'])}."]
    phases = found.facts.get("neighbours") or {}
    if phases:
        names = next(iter(phases.values()))
        lines.append(f"Of the neighbours among the training images: {'; '.join(words.title(name) for name in names)}.")
    return Content(tuple(lines))


def uncertainty(found: Found) -> Content:
    """What the intervals resample."""
    resamples = found.section("evaluation").get("resamples")
    unit = "patients" if found.facts.get("patients") else "images, as no patients are known"
    drawn = f", {resamples} resamples" if resamples else ""
    return Content(
        (f"95 % intervals over {unit}{drawn}; differences are paired where both sides scored the same images.",)
    )


def robustness(found: Found) -> Content:
    """What the scores are compared with: baselines, subgroups, benign changes of the images."""
    lines = []
    tables = []
    if found.facts.get("baselines"):
        lines.append(f"Blind baselines: {'; '.join(each['name'] for each in found.facts['baselines'])}.")
    columns = found.facts.get("subgroups") or {}
    if columns:
        lines.append(f"Subgroups: {', '.join(columns)}.")
    changed = found.facts.get("robustness")
    if changed:
        lines += changed["sentences"]
        tables.append(changes(changed, bool(found.facts.get("patients"))))
    return Content(tuple(lines), tuple(tables))


def changes(facts: Mapping[str, Any], grouped: bool) -> Table:
    """Accuracy under each kind of benign change, the mean over its severities, the worst kind first."""
    rows = [
        (
            robust_words.upper(change["title"]),
            _severities(change),
            _score(change["mean"]["scores"]["accuracy"], grouped),
            words.difference(change["mean"]["difference"]["accuracy"]),
        )
        for change in robust_words.worst_first(facts["changes"])
    ]
    return Table(("change", "severities", "Accuracy, mean", "minus the unchanged images"), tuple(rows))


def _severities(change: Mapping[str, Any]) -> str:
    """The numbers of a change's severities and their unit: `5, 10, 15 % of each side`."""
    values = [f"{line['value']:g}" for line in change["severities"] if line["value"] is not None]
    return f"{', '.join(values)} {change['unit']}" if values else "one"


def internal(found: Found) -> Content:
    """Whether the scored images have the same source as the training images."""
    if found.external:
        return Content(("These scores are of an external test; the run's own report has the internal ones.",))
    choosing = " It also chose the checkpoint." if found.facts["split"] == "val" else ""
    return Content((f"The {found.facts['split']} part of the run's own images.{choosing}",))


def external(found: Found) -> Content:
    """Whether new images were scored."""
    if not found.external:
        return Content()
    first = "New images that the run had never recorded, checked not to contain any of its training images."
    drop = found.facts.get("external_drop") or {}
    return Content((first, *drop.get("sentences", ())))


def performance(found: Found) -> Content:
    """Scores with intervals by image and by patient, of the blind baselines, of each class, and of neighbours."""
    facts = found.facts
    grouped = bool(facts.get("patients"))
    columns = [("joined probabilities" if facts.get("cascade") else "model", facts["scores"])]
    if facts.get("by_patient"):
        columns.append(("by patient", facts["by_patient"]["scores"]))
    if facts.get("cascade"):
        columns += [("flat", facts["cascade"]["flat"]["scores"]), ("by stages", facts["cascade"]["verdicts"]["scores"])]
    columns += [(each["name"], each["scores"]) for each in facts.get("baselines") or ()]
    tables = [_scores(columns, list(facts["scores"]), grouped)]
    per_class = facts.get("per_class") or {}
    if per_class:
        names = [name for name in next(iter(per_class.values())) if name != "n"]
        rows = tuple(
            (name, str(row["n"]), *(_score(row.get(each), grouped) for each in names))
            for name, row in per_class.items()
        )
        tables.append(Table(("class", "images", *(words.title(name) for name in names)), rows))
    phases = facts.get("neighbours") or {}
    if phases:
        columns = [(f"neighbours, {phase}", entries) for phase, entries in phases.items()]
        tables.append(_scores(columns, list(columns[0][1]), grouped))
    advice = facts.get("advice") or {"sentences": ()}
    return Content(tuple(advice["sentences"]), tuple(tables))


def added(found: Found) -> Content:
    """The model's scores minus those of each blind baseline."""
    baselines = found.facts.get("baselines") or ()
    if not baselines:
        return Content()
    names = list(baselines[0]["gain"])
    rows = tuple(
        (each["name"], *(words.difference(each["gain"][name]) for name in names if name in each["gain"]))
        for each in baselines
    )
    adds = found.facts.get("adds")
    lines = (adds["sentence"],) if isinstance(adds, Mapping) and "sentence" in adds else ()
    return Content(lines, (Table(("model minus", *(words.title(name) for name in names)), rows),))


def subgroups(found: Found) -> Content:
    """Scores of each group, and its difference to all other images."""
    tables = []
    grouped = bool(found.facts.get("patients"))
    for column, entry in (found.facts.get("subgroups") or {}).items():
        rows = []
        for group in entry["groups"]:
            counts = ", ".join(f"{name} {count}" for name, count in group["counts"].items())
            head = (group["name"], f"{group['n']} ({counts})")
            if group["scores"] is None:
                rows.append((*head, f"not scored: {group['reason']}", _DASH, _DASH, _DASH))
                continue
            shown = [_score(group["scores"].get(name), grouped) for name in ("balanced_accuracy", "auc")]
            differences = [
                words.difference(group["difference"][name]) if group["difference"] else _DASH
                for name in ("balanced_accuracy", "auc")
            ]
            rows.append((*head, *shown, *differences))
        title = f"{column}{', quartiles' if entry['quartiles'] else ''}"
        columns = (title, "images", "Balanced accuracy", "AUC", "Balanced accuracy minus rest", "AUC minus rest")
        tables.append(Table(columns, tuple(rows)))
    if not tables:
        return Content()
    return Content(
        ("The rest are all other scored images. Nothing is corrected for the number of groups: of twenty such "
         "intervals, one excludes 0 by chance.",),
        tuple(tables),
    )  # fmt: skip


def failures(found: Found) -> Content:
    """The confusion matrix."""
    classes = found.facts["task"]["classes"]
    rows = tuple(
        (name, *(str(count) for count in row)) for name, row in zip(classes, found.facts["confusion"], strict=True)
    )
    return Content(
        ("Rows are true classes, columns predicted ones. The page shows the most confident errors.",),
        (Table(("true, predicted", *classes), rows),),
    )


def _scores(columns: list[tuple[str, Mapping[str, Any]]], names: list[str], grouped: bool) -> Table:
    rows = tuple(
        (words.title(name), *(_score(scores.get(name), grouped) for _, scores in columns))
        for name in names
        if name != "macro_recall"  # the balanced accuracy again
    )
    return Table(("score", *(title for title, _ in columns)), rows)


def _score(entry: Mapping[str, Any] | None, grouped: bool) -> str:
    return _DASH if not entry else words.score(entry, grouped)
