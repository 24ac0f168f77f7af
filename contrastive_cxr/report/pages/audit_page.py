"""The page of an audit: verdict, copies side by side, and what tells without a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contrastive_cxr.html_templates import environment
from contrastive_cxr.report.pages.compare_page import Table
from contrastive_cxr.report.pages.look_page import picture

GROUPS = 60  # groups with pictures; the rest stands in audit.json
EACH = 12  # pictures of a group
PEOPLE = 50
_DASH = "\N{EN DASH}"


def page(facts: Mapping[str, Any], pictures: Sequence[Sequence[NDArray[np.uint8]]]) -> str:
    """The page, self-contained.

    Parameters
    ----------
    facts : the contents of `audit.json` (docs/reference/audit.md)
    pictures : of the first groups, in the order of `facts["groups"]`, the first pictures uint8 [h, w]
    """
    shown = [
        (group, [picture(pixels) for pixels in chosen])
        for group, chosen in zip(facts["groups"][: len(pictures)], pictures, strict=True)
    ]
    return (
        environment(Path(__file__).parent)
        .get_template("audit.html.j2")
        .render(facts=facts, tables=tables(facts), shown=shown, people=facts["patients_across_splits"][:PEOPLE])
    )


def tables(facts: Mapping[str, Any]) -> list[Table]:
    """Findings, sources in common, associations, shifts and baselines; those that there are."""
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
    return Table("Findings", "What stands in the data more than once.", ("what", "count"), rows)


def _shared(facts: Mapping[str, Any]) -> Table:
    rows = []
    for each in facts["sources_shared"]:
        for place, name in enumerate(each["sources"]):
            labels = ", ".join(f"{label} {count:,}" for label, count in each["by_label"][place].items())
            share = f"{each['shared'][place]:,} of {each['images'][place]:,}"
            rows.append((name, each["sources"][1 - place], share, labels))
    words = "Pictures of one source that the other has too."
    return Table("Sources in common", words, ("source", "also in", "images", "labels"), tuple(rows))


def _associations(facts: Mapping[str, Any]) -> Table:
    rows = tuple(
        (
            each["input"],
            f"{each['values']:,}" if "values" in each else _DASH,
            f"{each['n']:,}",
            f"{each['test']}, p {_p(each['p'])}" if "p" in each else _DASH,
            _value(each["auc"]),
            _value(each["accuracy"]),
        )
        for each in facts["associations"]
    )
    words = (
        "What is known of a file besides its picture, against the label. AUC and accuracy of a tree (of all: a forest) "
        "on it alone, out of fold, patients and copies kept together; 0.5 is no use. A small p with an AUC near 0.5 is "
        "a difference that does not help."
    )
    return Table("Label without the picture", words, ("input", "values", "images", "test", "AUC", "accuracy"), rows)


def _shifts(facts: Mapping[str, Any]) -> Table:
    rows = tuple(
        (f"{each['first']} from {each['second']}", each["input"], f"{each['n']:,}", _value(each["auc"]))
        for each in facts["shift"]
    )
    words = "How well trees tell two splits, or two sources, apart; 0.5 is no difference that it can see."
    return Table("Shift", words, ("told apart", "by", "images", "AUC"), rows)


def _baselines(facts: Mapping[str, Any]) -> Table:
    rows = tuple(
        (each["name"], each["split"], f"{each['n']:,}", _value(each["accuracy"]), _value(each["auc"]))
        for each in facts["baselines"]
    )
    words = "What something that cannot see disease reaches. A score is worth what it adds to the best of these."
    return Table("Blind baselines", words, ("baseline", "split", "images", "accuracy", "AUC"), rows)


def _value(value: float | None) -> str:
    return _DASH if value is None else f"{value:.3f}"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
