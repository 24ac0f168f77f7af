"""The order of the card: the items of CLAIM 2024 and TRIPOD+AI, and the function that fills each.

Numbers are those of CLAIM's 2024 update (Tejani and others, Radiology: Artificial Intelligence 2024;6(4):e240300) and
of TRIPOD+AI (Collins and others, BMJ 2024;385:e078378); the names of the items are our own. Abstracts (CLAIM 2,
TRIPOD+AI 2) belong to papers and have no place here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import contrastive_cxr.report.card.data as data
import contrastive_cxr.report.card.model as model
import contrastive_cxr.report.card.reliability as reliability
import contrastive_cxr.report.card.scores as scores
from contrastive_cxr.report.card.found import Content, Found, Table, read

Fill = Callable[[Found], Content]


@dataclass(frozen=True)
class Entry:
    """An item of the layout: name, item numbers, field in the section `card`, and the function that fills it."""

    title: str
    claim: str = ""
    tripod: str = ""
    text: str = ""
    fill: Fill | None = None


LAYOUT: tuple[tuple[str, tuple[Entry, ...]], ...] = (
    ("Model and purpose", (
        Entry("Model and task", "1", "1", fill=model.identity),
        Entry("Background and intended use", "3", "3a, 3b", "intended_use"),
        Entry("Known health inequalities", "", "3c", "inequalities"),
        Entry("Objectives", "4, 6", "4", "objectives"),
        Entry("Study design", "5", "", "design"),
    )),
    ("Data", (
        Entry("Origin of the data", "7", "5a, 5b, 6a", "origin", data.sources),
        Entry("Inclusion and exclusion", "8", "6b, 6c", "eligibility", data.left_out),
        Entry("Preprocessing", "9", "7, 12b", fill=data.preprocessing),
        Entry("Selection of subsets", "10", "", fill=data.subsets),
        Entry("De-identification", "11", "", "deidentification"),
        Entry("Missing data", "12", "11", "missing_data", data.missing),
        Entry("Acquisition of the images", "13", "9a, 9b, 9c", "acquisition"),
        Entry("Audit: leaks, copies, shortcuts", "", "7", fill=data.audit),
    )),
    ("Reference standard", (
        Entry("Definition and source of the labels", "14-18", "8a, 8b, 8c", "reference_standard", data.label_map),
    )),
    ("Parts of the data", (
        Entry("How images were assigned", "19", "12a", fill=data.assignment),
        Entry("Level at which parts are disjoint", "20", "", fill=data.disjoint),
        Entry("Sample size", "21", "10", "sample_size"),
        Entry("Images, patients and digests", "35", "20a, 21", fill=data.parts),
        Entry("Characteristics of the parts", "36", "20b, 20c", fill=data.characteristics),
    )),
    ("Model and training", (
        Entry("Description of the model", "22", "12c, 12g, 15, 22", fill=model.description),
        Entry("Software and machine", "23", "", fill=model.software),
        Entry("Initial weights", "24", "", fill=model.start),
        Entry("Training and its budget", "25", "12c", fill=model.training),
        Entry("Unequal classes", "", "13", fill=model.imbalance),
        Entry("Choice of the weights", "26", "12c", fill=model.choice),
        Entry("Ensembling", "27", "", fill=model.ensemble),
        Entry("Fairness", "", "14", "fairness"),
    )),
    ("Evaluation", (
        Entry("Measures", "28", "12e", fill=scores.metrics),
        Entry("Uncertainty", "29", "12e", fill=scores.uncertainty),
        Entry("Robustness", "30", "12d", fill=scores.robustness),
        Entry("Explanations", "31", "", fill=model.explanations),
        Entry("Internal testing", "32", "12a", fill=scores.internal),
        Entry("External testing", "33", "16", fill=scores.external),
        Entry("Registration", "34", "18d", "registration"),
    )),
    ("Results", (
        Entry("Scores and their intervals", "37, 38", "23a", fill=scores.performance),
        Entry("What the model adds to blind baselines", "37", "23a", fill=scores.added),
        Entry("Calibration", "38", "12e, 12f, 23a, 24", fill=reliability.calibration),
        Entry("Thresholds", "38", "15, 23a", fill=reliability.thresholds),
        Entry("Subgroups", "36, 37", "23a, 23b", fill=scores.subgroups),
        Entry("Failures", "39", "", fill=scores.failures),
    )),
    ("Limits and use", (
        Entry("Limits", "40", "26", "limits"),
        Entry("Use in practice", "41", "25, 27a, 27b, 27c", "practice"),
    )),
    ("Other information", (
        Entry("Ethics", "", "17", "ethics"),
        Entry("Protocol", "42", "18c", "protocol"),
        Entry("Availability of data, code and model", "43", "18e, 18f, 22", "availability"),
        Entry("Licence", "43", "22", "licence"),
        Entry("Funding", "44", "18a", "funding"),
        Entry("Conflicts of interest", "", "18b", "conflicts"),
        Entry("Patients and public", "", "19", "involvement"),
        Entry("Contact", "", "", "contact"),
    )),
)  # fmt: skip


@dataclass(frozen=True)
class Item:
    """An item with its content: item numbers, the author's text first, then the computed lines and tables."""

    title: str
    numbers: str
    lines: tuple[str, ...]
    tables: tuple[Table, ...]

    @property
    def stated(self) -> bool:
        """Whether the item has any content."""
        return bool(self.lines or self.tables)


@dataclass(frozen=True)
class Card:
    """The whole card: a name, and {heading: items}."""

    name: str
    sections: tuple[tuple[str, tuple[Item, ...]], ...]

    @property
    def counts(self) -> tuple[int, int]:
        """(number of stated items, number of items)."""
        items = [item for _, section in self.sections for item in section]
        return sum(item.stated for item in items), len(items)


def build(facts: Mapping[str, Any], folder: Path, run: Path | None = None) -> Card:
    """The card of an evaluated run, from its files; no model is loaded.

    Parameters
    ----------
    facts : mapping
        The contents of `folder/report.json`.
    folder : Path
        The folder of the report: a run, or an external test.
    run : Path, optional
        The run whose model was scored, if that is neither `folder` nor its parent folder.
    """
    found = read(facts, Path(folder), run)
    texts = found.section("card")
    sections = tuple((title, tuple(_item(entry, found, texts) for entry in entries)) for title, entries in LAYOUT)
    return Card(str(facts["experiment"]), sections)


def _item(entry: Entry, found: Found, texts: Mapping[str, Any]) -> Item:
    content = entry.fill(found) if entry.fill else Content()
    written = str(texts.get(entry.text) or "").strip() if entry.text else ""
    claim = f"CLAIM 2024 {entry.claim}" if entry.claim else ""
    tripod = f"TRIPOD+AI {entry.tripod}" if entry.tripod else ""
    lines = (*((written,) if written else ()), *content.lines)
    return Item(entry.title, "; ".join(filter(None, (claim, tripod))), lines, content.tables)
