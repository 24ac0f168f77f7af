"""The card's items about the images: their origin, their division into parts, the findings of the audit."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import pandas as pd

from contrastive_cxr.metrics.subgroups import is_measured
from contrastive_cxr.report.card.found import Content, Found, Table

_PARTS = ("train", "val", "test", "unused")
_SPLITS = {
    "official": "the split of the source itself",
    "val-within-train": "the split of the source itself, its validation part taken at random out of its train part",
    "within-train": "validation and test part taken at random out of the source's train part, its other parts unused",
    "fractions": "all rows divided at random by fractions",
    "folds": "all rows in folds",
}
_UNKNOWN = "No patient is known, so images of one patient may be in several parts. Disjoint only by image."
_OWN = ("path", "root", "label", "patient", "split", "source", "class", "digest")


def sources(found: Found) -> Content:
    """The sources by name, with their images and patients."""
    table = found.manifest()
    if table is None or "source" not in table:
        return Content()
    rows = []
    for name, part in table.groupby("source", sort=True):
        rows.append((str(name), str(len(part)), _patients(part), _counted(part["label"])))
    return Content(tables=(Table(("source", "images", "patients", "labels"), tuple(rows)),))


def left_out(found: Found) -> Content:
    """Labels that the task drops, and files that could not be read."""
    lines = []
    dropped = found.section("task").get("drop") or []
    if dropped:
        lines.append(f"Images with these labels are left out: {', '.join(map(str, dropped))}.")
    skipped = found.facts.get("skipped") or []
    if skipped:
        lines.append(f"{len(skipped)} files could not be read and are left out; the report lists them.")
    lines += [str(note) for note in found.facts.get("notes") or () if " left out" in str(note)]
    return Content(tuple(lines))


def preprocessing(found: Found) -> Content:
    """How files become the network's input."""
    data = found.section("data")
    if not data:
        return Content()
    intensity = found.section("data", "intensity")
    settings = {
        "stored intensities to 8 bits": intensity.get("kind"),
        "how images are made square": data.get("resize"),
        "side of the cached images, pixels": data.get("cache_size"),
        "side of the network's input, pixels": found.section("model").get("image_size"),
        "share cut off at each side": data.get("border_crop"),
        "denoising": data.get("denoise"),
        "histogram equalisation": data.get("equalise"),
        "input statistics": found.section("model").get("normalise"),
    }
    for source, ends in (intensity.get("ranges") or {}).items():
        settings[f"range of the deeper files of {source}"] = f"{ends[0]:g}, {ends[1]:g}"
    if intensity.get("kind") == "auto":
        settings["window of CT files without their own, HU"] = intensity.get("ct")
    if intensity.get("kind") in ("percentile", "window"):
        settings["lower and upper end"] = f"{intensity.get('low')}, {intensity.get('high')}"
    rows = tuple((name, str(value)) for name, value in settings.items() if value is not None)
    return Content(tables=(Table(("setting", "value"), rows),))


def subsets(found: Found) -> Content:
    """The number of rows that are neither trained on nor scored."""
    table = found.manifest()
    if table is None:
        return Content()
    unused = int((table["split"] == "unused").sum())
    return Content((f"{unused} of {len(table)} images of the sources are used neither for training nor for scores.",))


def missing(found: Found) -> Content:
    """How many patients are unknown."""
    table = found.manifest()
    if table is None:
        return Content()
    unknown = int((table["patient"] == "").sum())
    return Content((f"The patient of {unknown} of {len(table)} images is not known.",) if unknown else ())


def label_map(found: Found) -> Content:
    """Which labels are which class."""
    task = found.section("task")
    classes = task.get("classes")
    if not isinstance(classes, Mapping):
        return Content()
    rows = tuple((str(name), ", ".join(map(str, labels))) for name, labels in classes.items())
    findings = task.get("findings")
    columns = findings.get("columns") if isinstance(findings, Mapping) else task.get("columns")
    lines = [f"Columns: {', '.join(map(str, columns or ['label']))}. Positive class: {task.get('positive')}."]
    if isinstance(findings, Mapping):
        words = {"1": "positive", "0": "negative", **(findings.get("words") or {})}
        meant = ", ".join(f"{value or 'an empty cell'} {word}" for value, word in words.items())
        lines.append(
            f"Each cell lists findings, divided by '{findings.get('separator')}'."
            if findings.get("separator")
            else f"Each column is a finding: {meant}."
        )
        lines.append(f"An image with findings of several classes: {findings.get('several')}.")
    return Content(tuple(lines), (Table(("class", "labels"), rows),))


def assignment(found: Found) -> Content:
    """How images were assigned to the parts."""
    split = found.section("data", "split")
    if not split:
        return Content()
    words = _SPLITS.get(str(split.get("kind")), str(split.get("kind")))
    if split.get("kind") in ("within-train", "fractions"):
        words += f": {split.get('val')} to choose, {split.get('test')} to be scored, seed {split.get('seed')}"
    if split.get("kind") == "val-within-train":
        words += f": {split.get('val')} to choose, seed {split.get('seed')}"
    if found.manifests and len(found.manifests) > 1:
        words += f"; {len(found.manifests)} runs: {', '.join(found.manifests)}"
    return Content((f"{words[:1].upper()}{words[1:]}.",))


def disjoint(found: Found) -> Content:
    """The level at which the parts are disjoint: checked before every run, and counted again here."""
    table = found.manifest()
    if table is None:
        return Content()
    used = table[table["split"].isin(["train", "val", "test"])]
    known = used[used["patient"] != ""]
    shared = {
        "patients": int((known.groupby("patient")["split"].nunique() > 1).sum()),
        "images of the same content": _shared(used, "digest"),
    }
    if not len(known):
        del shared["patients"]
    counts = ", ".join(f"{count} {name}" for name, count in shared.items() if count is not None)
    shared_text = f" In two parts: {counts}." if counts else ""
    if not len(known):
        return Content((f"{_UNKNOWN}{shared_text}",))
    level = "patient" if len(known) == len(used) else "patient where it is known, else image"
    return Content((f"Disjoint by {level}.{shared_text}",))


def parts(found: Found) -> Content:
    """Counts of each part, and the digest of its rows."""
    tables = []
    for name, table in found.manifests.items():
        classes = list(found.section("task").get("classes") or sorted(set(table["class"])))
        there = [part for part in _PARTS if (table["split"] == part).any()]
        rows, digests = [], []
        for part in there:
            own = table[table["split"] == part]
            counts = [str(int((own["class"] == each).sum())) for each in classes]
            label = f"{name}: {part}" if name else part
            rows.append((label, str(len(own)), *counts, _patients(own)))
            digests.append((label, digest(own)))
        tables.append(Table(("part", "images", *map(str, classes), "patients"), tuple(rows)))
        tables.append(Table(("part", "SHA-256 of its rows"), tuple(digests)))
    scored = _scored(found)
    return Content((scored,), tuple(tables))


def digest(rows: pd.DataFrame) -> str:
    """SHA-256 of the rows of a part, which does not depend on their folder or their order.

    It is computed from the lines `path TAB class TAB patient TAB digest`, sorted, each ended by a line feed, in UTF-8.

    Parameters
    ----------
    rows : DataFrame of str
        With the columns `path`, `class`, `patient` and `digest` (of the file's content; '' if not recorded).
    """
    table = rows.reindex(columns=["path", "class", "patient", "digest"], fill_value="")
    lines = sorted("\t".join(row) + "\n" for row in table.itertuples(index=False))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def characteristics(found: Found) -> Content:
    """The values of the subgroup columns in each part, and the names of all other columns."""
    table = found.manifest()
    if table is None:
        return Content()
    wanted = [*(found.section("evaluation").get("subgroups") or ()), *(found.facts.get("subgroups") or ())]
    columns = [str(column) for column in dict.fromkeys(wanted) if column in table]
    tables = [
        _measured(table, column) if is_measured(list(table[column])) else _named(table, column) for column in columns
    ]
    others = [str(column) for column in table if column not in _OWN]
    lines = (f"Further columns of the manifest: {', '.join(others)}.",) if others else ()
    return Content(lines if tables or others else (), tuple(tables))


def _named(table: pd.DataFrame, column: str) -> Table:
    """How often each value occurs in each part; the 20 most frequent values."""
    there = [part for part in _PARTS if (table["split"] == part).any()]
    counts = pd.crosstab(table[column], table["split"])
    shown = counts.loc[counts.sum(axis=1).sort_values(ascending=False, kind="stable").index[:20]]
    rows = tuple(
        (str(value) or "not stated", *(str(int(count)) for count in line))
        for value, line in zip(shown.index, shown[there].to_numpy(), strict=True)
    )
    return Table((column, *there), rows)


def _measured(table: pd.DataFrame, column: str) -> Table:
    """Median and range of numbers in each part."""
    there = [part for part in _PARTS if (table["split"] == part).any()]
    numbers = pd.to_numeric(table[column].where(table[column] != ""))
    parts_of = [numbers[table["split"] == part] for part in there]
    rows = (
        ("median", *(f"{part.median():.6g}" for part in parts_of)),
        ("lowest to highest", *(f"{part.min():.6g} to {part.max():.6g}" for part in parts_of)),
        ("not stated", *(str(int(part.isna().sum())) for part in parts_of)),
    )
    return Table((column, *there), rows)


def audit(found: Found) -> Content:
    """What the report says of the audit: its word and findings, the worst first; of earlier reports what `ccxr audit`
    said."""
    told = found.facts.get("audit")
    if told and (told["word"] or told["findings"]):
        first = f"Verdict: {told['word']}." if told["word"] else "Not audited."
        weights = {"leak": "Leak: ", "warning": "Warning: ", "note": ""}
        lines = (f"{weights[each['level']]}{each['sentence']}" for each in told["findings"])
        clean = () if told["findings"] or found.audit is None else _sentences(found.audit)
        return Content((first, *((told["note"],) if told["note"] else ()), *lines, *clean))
    if found.audit is None:
        return Content(("Not audited.",))
    verdict = found.audit.get("verdict")
    entry = dict(verdict) if isinstance(verdict, Mapping) else {**found.audit, "word": verdict}
    sentences = entry.get("sentences") or ()
    word = entry.get("word") if isinstance(entry.get("word"), str) else "not given; see audit.json"
    return Content((f"Verdict: {word}.", *(str(each) for each in sentences)))


def _sentences(audit: Mapping[str, Any]) -> tuple[str, ...]:
    verdict = audit.get("verdict")
    return tuple(map(str, verdict.get("sentences", ()))) if isinstance(verdict, Mapping) else ()


def _scored(found: Found) -> str:
    facts = found.facts
    counts = ", ".join(f"{name} {count}" for name, count in facts["counts"].items())
    patients = f", {facts['patients']} known patients" if facts.get("patients") else ""
    part = "new images, an external test" if found.external else f"the {facts['split']} part"
    return f"Scored: {part}, {facts['n']} images ({counts}){patients}."


def _patients(rows: pd.DataFrame) -> str:
    known = rows[rows["patient"] != ""]
    unknown = len(rows) - len(known)
    if not len(known):
        return "not known"
    return f"{known['patient'].nunique()}" + (f" and {unknown} images of unknown ones" if unknown else "")


def _counted(labels: pd.Series[str]) -> str:
    counts = labels.value_counts()
    shown = [f"{label} {count}" for label, count in counts.head(12).items()]
    return ", ".join(shown) + (f" and {len(counts) - 12} more" if len(counts) > 12 else "")


def _shared(rows: pd.DataFrame, column: str) -> int | None:
    """How many values of a column are in two parts; None if the column is not recorded."""
    if column not in rows:
        return None
    known = rows[rows[column] != ""]
    return int((known.groupby(column)["split"].nunique() > 1).sum())
