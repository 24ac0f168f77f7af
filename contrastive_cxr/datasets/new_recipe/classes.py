"""Which classes the labels make: other spellings of one word together, the one without a finding first."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

import pandas as pd

from contrastive_cxr import tasks
from contrastive_cxr.data.manifest import COLUMNS, Manifest
from contrastive_cxr.datasets.new_recipe.guess import WITHOUT_LABELS, Guess, some
from contrastive_cxr.datasets.new_recipe.label_columns import MOST_CLASSES, findings, listed_by
from contrastive_cxr.errors import RequestError
from contrastive_cxr.findings import NO_FINDING, plain

FEWEST = 5
"""Patients (images where they are not known) that a class has at least: for three parts, and two for a triplet."""
FORM = "class: [its labels]; "
_SHIPPED = ("ct", "xray/three-class")
_NOTHING = re.compile(r"(?i)^(?:0|no|none|false|neg(?:ative)?|normal|healthy|control|well|clear|no[ _-]?finding)$")
_WITHOUT = re.compile(r"(?i)^(?:non?|not|without|un)(?![a-z])|^(?:non|no)[-_ ]|_?non(?=[A-Z])|benign|neg")
_WITH = re.compile(r"(?i)covid|posit|malign|cancer|^(?:1|yes|true|pos)$|abnormal|sick|^ill$|diseas|infect")
_UNDECIDED = frozenset(
    ("todo", "tbd", "unknown", "unk", "na", "nan", "null", "undefined", "unlabelled", "unlabeled", "")
)


def guess(rows: Manifest, name: str) -> Guess:
    """The task over the labels of a manifest, or over its columns of findings where no row has a label.

    Raises
    ------
    RequestError
        No labels, one label alone, or more than are classes: what was seen, and what to write by hand.
    """
    labels = [str(label) for label in rows.column("label")]
    found = Guess({"name": name})
    if not any(labels):
        return _of_columns(rows.rows, found)
    mark = listed_by(rows.rows["label"])
    if mark:
        return _of_lists(labels, mark, found)
    owners = _owners(rows)
    counts = Counter(labels)
    for shipped in _SHIPPED:
        task = tasks.SHIPPED[shipped]
        if not tasks.unknown_labels(task, list(counts)) and len({task.encode(label) for label in counts}) == len(
            task.names
        ):
            groups = {each: [label for label in counts if task.encode(label) == n] for n, each in enumerate(task.names)}
            return _written(found, groups, counts, task.positive or task.names[-1])
    groups, left = _grouped(counts, owners)
    if left:
        words = ", ".join(f"'{label}' ({counts[label]:,} images of {len(owners[label]):,})" for label in left[:5])
        found.doubts.append(f"labels that are undecided or too rare to divide are left out (task.drop): {words}")
        found.set("drop", left, f"undecided, or fewer than {FEWEST} patients")
    _check(groups, counts)
    return _written(found, groups, counts, list(groups)[-1])


def _owners(rows: Manifest) -> dict[str, set[str]]:
    """The patients of each label; images of nobody count each by itself."""
    found: dict[str, set[str]] = {}
    for label, patient, path in zip(rows.column("label"), rows.column("patient"), rows.column("path"), strict=True):
        found.setdefault(str(label), set()).add(f"p {patient}" if patient else f"i {path}")
    return found


def _grouped(counts: Counter[str], owners: Mapping[str, set[str]]) -> tuple[dict[str, list[str]], list[str]]:
    """Classes with their labels in order, and the labels that are left out."""
    spellings: dict[str, list[str]] = {}
    for label in sorted(counts, key=lambda each: (-counts[each], each)):
        spellings.setdefault(_bare(label) or label, []).append(label)
    decided = [labels for labels in spellings.values() if labels[0].strip().casefold() not in _UNDECIDED]
    kept = [labels for labels in decided if len(set().union(*(owners[label] for label in labels))) >= FEWEST]
    kept = kept if len(kept) > 1 else decided
    left = [labels for labels in spellings.values() if labels not in kept]
    kept.sort(key=lambda labels: (_rank(labels[0]), _leaf(labels[0]).casefold()))
    names = [_leaf(labels[0]) for labels in kept]
    if len(set(names)) < len(names):
        names = [labels[0].replace("/", "-") for labels in kept]
    groups = dict(zip((name.replace(".", "_") for name in names), kept, strict=True))
    return groups, [label for labels in left for label in labels]


def _rank(label: str) -> int:
    """Where a class stands: without a finding first, the finding that is looked for last."""
    leaf = _leaf(label)
    if _NOTHING.match(leaf):
        return 0
    if _WITHOUT.search(leaf):
        return 1
    return 3 if _WITH.search(leaf) else 2


def _leaf(label: str) -> str:
    return label.rpartition("/")[2].strip() or label


def _bare(label: str) -> str:
    return re.sub(r"[\W_]+", "", label.casefold())


def _check(groups: Mapping[str, list[str]], counts: Counter[str]) -> None:
    """Refuse what cannot be a task."""
    listed = ", ".join(f"'{label}' ({count:,})" for label, count in counts.most_common(8))
    if len(groups) < 2:
        raise RequestError(
            f"{sum(counts.values()):,} images make {len(groups)} class{'es' * (len(groups) != 1)} to tell apart. Seen: "
            f"the labels {listed}",
            "write by hand: give a folder whose folders are the classes, or a table with a column of labels "
            f"(data.columns.label=COLUMN); {WITHOUT_LABELS}",
        )
    if len(groups) > MOST_CLASSES:
        raise RequestError(
            f"{len(groups)} different labels are more than classes are ({MOST_CLASSES}). Seen: {listed} ...",
            "write by hand: data.label_folders=1 where only the outermost folder is the class, "
            "data.columns.label=COLUMN for another column, or the classes in a recipe, "
            "'task.classes={normal: [LABEL], ill: [LABEL, LABEL]}'",
        )


def _written(found: Guess, groups: Mapping[str, list[str]], counts: Counter[str], positive: str) -> Guess:
    """The task with its reasons."""
    found.settings = {
        "name": found.settings["name"],
        "classes": dict(groups),
        "positive": positive,
        **{key: value for key, value in found.settings.items() if key == "drop"},
    }
    images = ", ".join(f"{name} {sum(counts[label] for label in labels):,}" for name, labels in groups.items())
    found.reasons["classes"] = f"{FORM}images: {images}"
    several = {name: labels for name, labels in groups.items() if len(labels) > 1}
    if several:
        words = "; ".join(f"{some(labels)} are one class" for labels in several.values())
        found.reasons["classes"] += f". {words}"
    found.reasons["positive"] = "the class that sensitivity and specificity are about"
    if len(groups) > 1 and _rank(groups[positive][0]) < 3:
        found.doubts.append(f"the positive class is '{positive}', the last one: say another with task.positive=NAME")
    return found


def _of_lists(labels: list[str], mark: str, found: Guess) -> Guess:
    """A task of any finding against none, where cells list findings."""
    names = Counter(part.strip() for label in labels for part in label.split(mark) if part.strip())
    found.set(
        "findings",
        {"columns": ["label"], "separator": mark, "several": "leave-out"},
        f"a cell lists findings: {some(names)}",
    )
    return _any_finding(found, names)


def _of_columns(rows: pd.DataFrame, found: Guess) -> Guess:
    """A task over columns of 1, 0, -1."""
    names = findings(rows, [str(column) for column in rows if column not in COLUMNS])
    if not names:
        raise RequestError(
            f"none of the {len(rows):,} images has a label. Seen: the columns {[str(each) for each in rows][:20]}",
            "write by hand: data.columns.label=COLUMN behind ccxr init FOLDER, or classes by findings in a recipe "
            f"(docs/reference/tables.md); {WITHOUT_LABELS}",
        )
    cells = {plain(cell) for name in names for cell in rows[name]}
    words = {sign: word for sign, word in (("-1", "leave-out"), ("", "negative")) if sign in cells}
    section: dict[str, object] = {"columns": names, **({"words": words} if words else {}), "several": "leave-out"}
    counts = Counter({name: int((rows[name].map(plain) == "1").sum()) for name in names})
    why = "each of these columns is a finding of 1 (has it), 0, -1 (uncertain) or nothing"
    found.set("findings", section, why)
    any_of_them = _any_finding(found, counts)
    task = tasks.Task.model_validate(any_of_them.settings)
    made = Counter(task.encode(task.of_cells(row)) for row in rows[names].itertuples(index=False, name=None))
    if min(made[0], made[1]) >= FEWEST:
        return any_of_them
    return _one_finding(any_of_them, counts, section)


def _one_finding(found: Guess, counts: Counter[str], section: dict[str, object]) -> Guess:
    """The most frequent finding against all else, where hardly an image has none, or any."""
    for name in NO_FINDING:
        del counts[name]
    first = max(counts, key=lambda name: counts[name])
    found.set("findings", {**section, "columns": list(counts)}, found.reasons["findings"])
    found.set(
        "classes", {f"no-{first}": ["none", "*"], first: [first]}, f"{FORM}{first} {counts[first]:,} against all else"
    )
    found.set("positive", first, "the class that sensitivity and specificity are about")
    others = [name for name in counts if name != first]
    listed = f"; others are {some(others)}" if others else ""
    found.doubts = [f"the task tells '{first}', the most frequent finding, from all else{listed}"]
    return found


def _any_finding(found: Guess, counts: Counter[str]) -> Guess:
    listed = ", ".join(f"{name} {count:,}" for name, count in counts.most_common(8))
    found.set(
        "classes", {"no-finding": ["none"], "finding": ["*"]}, f"{FORM}none is no finding, * is any one of {listed}"
    )
    found.set("positive", "finding", "the class that sensitivity and specificity are about")
    found.doubts.append(
        "the task tells images with any finding from those without; one finding alone is written as "
        f"{{without: [none], with: [{next(iter(counts))}]}}, the others in task.drop"
    )
    return found
