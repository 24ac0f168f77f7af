"""The page of an audit: verdict, copies side by side, and inputs that predict the label without the picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contrastive_cxr.html_templates import environment, labelled
from contrastive_cxr.report.pages.compare_page import Table
from contrastive_cxr.report.pages.look_page import picture

GROUPS = 60  # most groups that are shown with pictures; audit.json has all
EACH = 12  # most pictures of a group
PEOPLE = 50
_DASH = "\N{EN DASH}"


def page(facts: Mapping[str, Any], pictures: Sequence[Sequence[NDArray[np.uint8]]]) -> str:
    """The page, self-contained.

    Parameters
    ----------
    facts : the contents of `audit.json` (docs/reference/audit.md)
    pictures : for the first groups, in the order of `facts["groups"]`, their first pictures uint8 [h, w]
    """
    shown = [
        (group, [picture(pixels) for pixels in chosen])
        for group, chosen in zip(facts["groups"][: len(pictures)], pictures, strict=True)
    ]
    return labelled(
        environment(Path(__file__).parent)
        .get_template("audit.html.j2")
        .render(facts=facts, tables=tables(facts), shown=shown, people=facts["patients_across_splits"][:PEOPLE])
    )


def tables(facts: Mapping[str, Any]) -> list[Table]:
    """Findings, sources in common, associations, shifts and baselines, without empty tables."""
    every = [_findings(facts), _shared(facts), _associations(facts), _shifts(facts), _baselines(facts)]
    return [each for each in every if each.rows]


def _findings(facts: Mapping[str, Any]) -> Table:
    counts = facts["counts"]
    rows = (
        ("images", f"{counts['images']:,}"),
        ("files that cannot be read", f"{counts['unreadable']:,}"),
        ("images with a copy", f"{counts['images_in_groups']:,}"),
        ("groups of identical images", f"{counts['identical']:,}"),
        ("groups of near copies", f"{counts['near']:,}"),
        ("groups in several splits", f"{counts['across_splits']:,}"),
        ("groups with several labels", f"{counts['conflicting_labels']:,}"),
        ("groups in several sources", f"{counts['across_sources']:,}"),
        ("patients in several splits", f"{len(facts['patients_across_splits']):,}"),
        ("images of unknown patients", f"{facts['images_without_patient']:,}"),
    )
    return Table("Findings", "How often images, patients and labels are repeated.", ("what", "count"), rows)


def _shared(facts: Mapping[str, Any]) -> Table:
    rows = []
    for each in facts["sources_shared"]:
        for place, name in enumerate(each["sources"]):
            labels = ", ".join(f"{label} {count:,}" for label, count in each["by_label"][place].items())
            share = f"{each['shared'][place]:,} of {each['images'][place]:,}"
            rows.append((name, each["sources"][1 - place], share, labels))
    words = "Pictures of one source that another source also has."
    return Table("Sources in common", words, ("source", "also in", "images", "labels"), tuple(rows))


def _associations(facts: Mapping[str, Any]) -> Table:
    rows = tuple(
        (
            {"bytes": "file size"}.get(each["input"], each["input"]),
            f"{each['values']:,}" if "values" in each else _DASH,
            f"{each['n']:,}",
            f"{each['test']}, p {_p(each['p'])}" if "p" in each else _DASH,
            _value(each["auc"]),
            _value(each["accuracy"]),
        )
        for each in facts["associations"]
    )
    words = (
        "How well facts about a file, without its picture, predict the label: AUC and accuracy of a decision tree "
        "(all: a random forest), out of fold, with patients and copies kept together. An AUC of 0.5 means that the "
        "input does not help. A small p with an AUC near 0.5 is a difference that does not help."
    )
    return Table("Label without the picture", words, ("input", "values", "images", "test", "AUC", "accuracy"), rows)


def _shifts(facts: Mapping[str, Any]) -> Table:
    rows = tuple(
        (f"{each['first']} from {each['second']}", each["input"], f"{each['n']:,}", _value(each["auc"]))
        for each in facts["shift"]
    )
    words = "How well decision trees tell two splits or sources apart. An AUC of 0.5 means that they see no difference."
    return Table("Differences between splits or sources", words, ("parts", "input", "images", "AUC"), rows)


def _baselines(facts: Mapping[str, Any]) -> Table:
    rows = tuple(
        (each["name"], each["split"], f"{each['n']:,}", _value(each["accuracy"]), _value(each["auc"]))
        for each in facts["baselines"]
    )
    words = "The scores of models that cannot see disease. A model is worth what it adds to the best of these."
    return Table("Blind baselines", words, ("baseline", "split", "images", "accuracy", "AUC"), rows)


def _value(value: float | None) -> str:
    return _DASH if value is None else f"{value:.3f}"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
