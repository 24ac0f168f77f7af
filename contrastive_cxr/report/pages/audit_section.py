"""What the report's page shows of the audit beside its words: counts, and copies side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contrastive_cxr.data.files.addresses import join
from contrastive_cxr.report.card.found import read
from contrastive_cxr.report.figures.cases import thumbnail

EACH = 4  # pictures of a group
SIDE = 160  # pixels
_COUNTS = (
    ("images", "images audited"),
    ("across_splits", "groups of copies in several parts of the split"),
    ("groups", "groups of copies in all"),
    ("images_in_groups", "images with a copy"),
    ("conflicting_labels", "groups of copies with several labels"),
    ("unreadable", "files that cannot be read"),
)


@dataclass(frozen=True)
class Copy:
    """One of several copies: its picture as a data address (None: not readable here), and what is said of it."""

    image: str | None
    path: str
    label: str
    split: str
    transform: str


@dataclass(frozen=True)
class Copies:
    """A group: the first pictures, how many more there are, and whether it stands in several parts of the split."""

    shown: Sequence[Copy]
    more: int
    across: bool


def counts(audit: Mapping[str, Any]) -> list[tuple[str, int]]:
    """(words, count) of what was audited and found; of a run that was not audited, what is known of its patients."""
    rows = [(words, audit["counts"][name]) for name, words in _COUNTS] if audit["counts"] else []
    if audit["patients_across_splits"] is not None:
        rows.append(("patients in several parts of the split", audit["patients_across_splits"]))
    return [*rows, ("images of unknown patients", audit["images_without_patient"])]


def copies(audit: Mapping[str, Any], folder: Path, run: Path | None = None) -> list[Copies]:
    """The groups of report.json, with pictures where the files are at hand.

    Parameters
    ----------
    folder, run : as for `page.write`; the run's manifest says in which folder a file lies
    """
    if not audit["groups"]:
        return []
    table = read({}, folder, run).manifest()
    names = ("source", "path", "root")
    roots = {} if table is None else {(source, path): root for source, path, root in table[[*names]].to_numpy()}
    return [_group(group, roots) for group in audit["groups"]]


def _group(group: Mapping[str, Any], roots: Mapping[tuple[str, str], str]) -> Copies:
    order = list(range(len(group["images"])))
    if group["across_splits"]:  # one of each part first: they are what leaks
        order.sort(key=lambda place: group["splits"][: place + 1].count(group["splits"][place]))
    return Copies([_copy(group, place, roots) for place in order[:EACH]], len(order[EACH:]), group["across_splits"])


def _copy(group: Mapping[str, Any], place: int, roots: Mapping[tuple[str, str], str]) -> Copy:
    path, labels = group["images"][place], group.get("classes") or group["labels"]
    root = roots.get((group["sources"][place], path))
    image = None if root is None else thumbnail(join(root, path), SIDE)
    return Copy(image, path, labels[place], group["splits"][place], group["transforms"][place])
