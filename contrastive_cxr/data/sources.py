"""Sources become one checked manifest: a root is found (or painted), its layout read, several are joined."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from contrastive_cxr.data import layouts, painted_phantoms
from contrastive_cxr.data.cache_files import cache_folder
from contrastive_cxr.data.files import contents
from contrastive_cxr.data.files.addresses import parted
from contrastive_cxr.data.files.archives import is_archive
from contrastive_cxr.data.manifest import COLUMNS, Manifest, at_most
from contrastive_cxr.data.manifest_checks import check_files
from contrastive_cxr.data.tables import source_tables, split_lists, table_rows
from contrastive_cxr.errors import RequestError, raise_faults
from contrastive_cxr.recipe import schema

Reader = Callable[[str], layouts.Found]
DICOMDIR = "DICOMDIR"


def read_data(data: schema.Data, base: Path | None = None) -> Manifest:
    """The manifest of a recipe's data: one source, or the joined ones.

    Joined sources are named after their root folders; their patients get the name in front, so that 'p1' of two sources
    are two people; their own splits are kept, and all rows of a source without one count as train when others have one.

    Parameters
    ----------
    data : schema.Data
        The recipe's section.
    base : Path, optional
        Folder that relative roots start from; none: the current one.

    Raises
    ------
    RequestError
        With every fault found in any of the sources.
    """
    skip = data.on_bad_image == "skip"
    if not data.join:
        return read(data, base, data.cache_dir, skip)
    if data.root is not None:
        raise RequestError("data.root and data.join are both given; name the root inside data.join, or leave join out")
    manifests: list[Manifest] = []
    faults: list[str] = []
    for source in data.join:
        try:
            manifests.append(read(source, base, data.cache_dir, skip))
        except RequestError as error:
            faults += error.faults
    raise_faults(faults)
    return _join(manifests)


def read(
    source: schema.Source, base: Path | None = None, cache_dir: Path | None = None, skip: bool = False
) -> Manifest:
    """The manifest of one source, rows sorted by path, every file checked to be there and not empty.

    With `skip` files are not checked here: what cannot be decoded is left out later, and listed.

    Raises
    ------
    RequestError
        The root is missing, empty or of another layout, or rows are wrong; all faults at once.
    """
    manifest, faults = _rows(source, base, cache_dir)
    raise_faults([*faults, *([] if skip and len(manifest) else check_files(manifest))])
    return manifest


def rows(source: schema.Source, base: Path | None = None, cache_dir: Path | None = None) -> tuple[Manifest, list[str]]:
    """The rows of one source as far as they can be read, sorted by path, and the faults that `read` would raise."""
    manifest, faults = _rows(source, base, cache_dir)
    return manifest, [*faults, *check_files(manifest)]


def _rows(source: schema.Source, base: Path | None, cache_dir: Path | None) -> tuple[Manifest, list[str]]:
    """As `rows`, the files not looked at."""
    root = str(painted_phantoms.root_of(source, cache_dir)) if source.source == "phantom" else root_of(source, base)
    local = source_tables.local(source, root, cache_dir)
    found, faults, notes, unowned = _reader(local)(root)
    if source.split_lists:
        found, of_lists, said = split_lists.divided(found, local.split_lists, root)
        faults, notes = [*faults, *of_lists], (*notes, *said)
    for column in ("patient", "split"):
        if column not in found:
            found[column] = ""
    found = found.sort_values("path", kind="stable")
    if source.find_by == "content" and source.source != "phantom":
        described = contents.described(found, root, source, cache_folder(cache_dir))
        found, faults, notes = described.rows, [*faults, *described.faults], (*notes, *described.notes)
    if (found["patient"] == "").any():
        notes = (*notes, *unowned)
    name = parted(root.rstrip("/"))[1]
    found["root"] = root
    if "source" not in found:
        found["source"] = name
    notes = (*notes, *alike_labels(found["label"], name))
    manifest = Manifest(found[[*COLUMNS, *(column for column in found if column not in COLUMNS)]], notes)
    return manifest, [*faults, *_duplicates(manifest)]


def rows_of(data: schema.Data, base: Path | None = None) -> tuple[Manifest, list[str]]:
    """As `read_data`, but with the faults of rows given back: a first look wants to see what training refuses.

    Raises
    ------
    RequestError
        A source without a single row.
    """
    found = [rows(source, base, data.cache_dir) for source in data.join or (data,)]
    raise_faults(fault for manifest, faults in found if not len(manifest) for fault in faults)
    manifest = _join([each for each, _ in found]) if data.join else found[0][0]
    return manifest, [fault for _, faults in found for fault in faults]


def _reader(source: schema.Source) -> Reader:
    """The function that reads the source's layout."""
    if source.source == "folders":
        return lambda root: table_rows.of_folders(layouts.folders(root, source), root, source)
    if source.source == "covid-ct":
        return lambda root: layouts.covid_ct(Path(root), source.outside)
    return lambda root: table_rows.read(root, source)


def root_of(source: schema.Source, base: Path | None = None) -> str:
    """The source's root: an absolute path of a folder that is not empty or of an archive; or a URL as it is given.

    Raises
    ------
    RequestError
        It is not given, does not exist, is empty or a file.
    """
    if source.root is None:
        raise RequestError(f"data.root is not given; source '{source.source}' needs the folder that holds its images")
    if isinstance(source.root, str):
        return _without_lists(source.root, source)
    root = ((base or Path.cwd()) / source.root.expanduser()).resolve()
    if root.name == DICOMDIR and root.is_file():
        return str(root.parent)
    if not root.exists():
        raise RequestError(f"data.root {root} does not exist; give the folder that holds the images")
    if is_archive(str(root)):
        return _without_lists(str(root), source)
    if not root.is_dir():
        raise RequestError(
            f"data.root {root} is a file; give the folder (or the ZIP or tar archive) that holds the images"
        )
    if not any(root.iterdir()):
        raise RequestError(f"data.root {root} is empty; give the folder that holds the images")
    return str(root)


def _without_lists(root: str, source: schema.Source) -> str:
    """The root, where its layout can be read from an archive or URL."""
    if source.source == "covid-ct":
        raise RequestError(
            f"data.root {root} is an archive or URL, from which class folders and tables are read and not "
            f"{source.source}; unpack it to a folder of this disk"
        )
    return root


def _duplicates(manifest: Manifest) -> list[str]:
    """Faults of files that two rows name."""
    hashes = pd.util.hash_array(manifest.column("path"), categorize=False)
    if len(np.unique(hashes)) == len(manifest):  # comparing the names takes ten times as much memory
        return []
    again = manifest.rows[manifest.rows.duplicated("path", keep=False)]
    faults = []
    for path, rows in again.groupby("path", sort=True):
        pairs = zip(rows["label"], rows["split"], strict=True)
        parts = " and ".join(f"{label} in {part}" if part else label for label, part in pairs)
        faults.append(f"image '{path}' has {len(rows)} rows ({parts}); each image has one row")
    return at_most(faults)


def alike_labels(labels: Iterable[str], place: str) -> tuple[str, ...]:
    """A note of labels that differ by case or blanks alone, each with its count."""
    counts = Counter(labels)
    groups: dict[str, list[str]] = {}
    for label in counts:
        groups.setdefault("".join(label.casefold().split()), []).append(label)
    return tuple(
        f"{place}: the labels {' and '.join(f'{label!r} ({counts[label]:,})' for label in sorted(group))} differ by "
        "case or blanks alone; give them one spelling, or map all of them in task.classes"
        for group in groups.values()
        if len(group) > 1
    )


def _join(manifests: list[Manifest]) -> Manifest:
    """One manifest of several; names made different, patients prefixed, missing splits filled."""
    some_split = any((manifest.column("split") != "").any() for manifest in manifests)
    names: list[str] = []
    parts = []
    for manifest in manifests:
        rows = manifest.rows.copy()
        name = base = rows["source"].iloc[0] if rows["source"].nunique() == 1 else Path(rows["root"].iloc[0]).name
        while name in names:
            name = f"{base}-{sum(other.startswith(base) for other in names) + 1}"
        names.append(name)
        own = rows["source"].nunique() > 1  # a column of the table says it
        rows["source"] = [f"{name}/{each}" for each in rows["source"]] if own else name
        rows["patient"] = [f"{name}/{patient}" if patient else "" for patient in rows["patient"]]
        if some_split and (rows["split"] == "").all():
            rows["split"] = "train"
        parts.append(rows)
    notes = tuple(note for manifest in manifests for note in manifest.notes)
    return Manifest(pd.concat(parts, ignore_index=True).fillna(""), notes)
