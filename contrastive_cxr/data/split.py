"""Which image trains, which chooses, which is scored."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from contrastive_cxr.data.manifest import Manifest
from contrastive_cxr.errors import raise_faults
from contrastive_cxr.recipe import schema

SweepSpec = NDArray[np.str_]
Numbers = NDArray[np.int64]


def divide(
    manifest: Manifest,
    labels: Numbers,
    split: schema.Split,
    *,
    digests: Sequence[str] | None = None,
    need: Sequence[str] = ("train", "val"),
    names: Sequence[str] | None = None,
) -> SweepSpec:
    """Divide the rows by the recipe's rule.

    The division is stratified by class and keeps patients and equal images together. It depends on the rows' sources
    and paths and on `split.seed`, not on the order of the rows.

    Parameters
    ----------
    manifest : Manifest
        N rows of the task.
    labels : int64 [N]
        Class numbers, >= 0.
    split : schema.Split
        The rule.
    digests : str [N], optional
        Content digests; rows with equal ones stay together.
    need : sequence of str
        Parts that must hold images; ("test",) where something trained is only scored.
    names : sequence of str, optional
        The classes' names, for the sentences of faults; their numbers where not given.

    Returns
    -------
    str [N]
        `train`, `val`, `test` or `unused`.

    Raises
    ------
    RequestError
        The rule does not fit the data: shares that leave nothing to train, a source without its own split, a class with
        too few patients.
    """
    raise_faults(_faults(split))
    own = np.array([word or "unused" for word in manifest.column("split")], dtype="<U6")
    if split.kind == "official":
        parts = own
    else:
        keeps_test = split.kind == "val-within-train"
        within = keeps_test or (split.kind == "within-train" and (own != "unused").any())
        pool = own == "train" if within else np.ones(len(own), dtype=bool)
        parts = np.where(keeps_test & (own == "test"), own, "unused")
        order = _order(manifest, np.flatnonzero(pool))
        raise_faults(_none_to_divide(split) if not len(order) else [])
        groups = _groups(manifest.column("patient")[order], None if digests is None else np.asarray(digests)[order])
        parts[order] = _by_rule(labels[order], groups, split, names)
    raise_faults(_empty(parts, split, need))
    return parts


def _faults(split: schema.Split) -> list[str]:
    faults = []
    if split.kind in ("within-train", "fractions") and split.val + split.test >= 1:
        faults.append(
            f"data.split.val {split.val} and data.split.test {split.test} leave nothing to train; sum below 1"
        )
    if split.kind == "folds" and split.fold >= split.folds:
        faults.append(f"data.split.fold is {split.fold}; with {split.folds} folds it is 0 to {split.folds - 1}")
    if split.kind == "folds" and split.val + 1 / split.folds >= 1:
        faults.append(f"data.split.val {split.val} and one of {split.folds} folds leave nothing to train; lower val")
    return faults


def _none_to_divide(split: schema.Split) -> list[str]:
    return [
        f"data.split.kind={split.kind} divides the source's own train part, and the data has none; name the column or "
        "the lists that say the split (data.columns.split, data.split_lists), or set data.split.kind=fractions"
    ]


def _empty(parts: SweepSpec, split: schema.Split, need: Sequence[str]) -> list[str]:
    """Faults of parts that are needed and hold no image."""
    there = {str(part): int((parts == part).sum()) for part in np.unique(parts) if part != "unused"}
    missing = [part for part in need if part not in there]
    if not missing:
        return []
    has = ", ".join(f"{part} {count}" for part, count in there.items()) or "no split at all"
    if split.kind == "official" and missing == ["val"] and "test" in there:
        return [
            f"data.split.kind=official, but the data has no val part (it has {has}); use "
            "data.split.kind=val-within-train to take one out of its train part and keep its test part, or "
            "within-train to take val and test out of the train part"
        ]
    if split.kind == "official":
        return [
            f"data.split.kind=official, but the data has no {' and no '.join(missing)} part (it has {has}); use "
            "data.split.kind=within-train to take parts out of its train part, or fractions to divide all of it"
        ]
    return [
        f"data.split.kind={split.kind} gives no {' and no '.join(missing)} part (it gives {has}); raise data.split.val "
        "or data.split.test, or give more images"
    ]


def _order(manifest: Manifest, rows: Numbers) -> Numbers:
    """The rows sorted by path and source, so that the order they came in does not matter."""
    return rows[np.lexsort((manifest.column("source")[rows].astype(str), manifest.column("path")[rows].astype(str)))]


def _groups(patients: NDArray[np.object_], digests: NDArray[np.str_] | None) -> Numbers:
    """Number of each row's group, int64 [N]: rows joined by a patient or a digest, directly or through others."""
    links = [_chain(patients)] + ([] if digests is None else [_chain(digests)])
    left, right = (np.concatenate([pair[side] for pair in links]) for side in (0, 1))
    graph = coo_array((np.ones(len(left)), (left, right)), shape=(len(patients), len(patients)))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def _chain(keys: NDArray[np.object_] | NDArray[np.str_]) -> tuple[Numbers, Numbers]:
    """Pairs (row, another row of the same key); rows with an empty key stay alone."""
    rows = np.array([row for row, key in enumerate(keys) if key], dtype=np.int64)
    first: dict[str, int] = {}
    return rows, np.array([first.setdefault(str(keys[row]), int(row)) for row in rows], dtype=np.int64)


def _by_rule(labels: Numbers, groups: Numbers, split: schema.Split, names: Sequence[str] | None) -> SweepSpec:
    """Parts of sorted rows by fractions or folds."""
    rng = np.random.default_rng(split.seed)
    if split.kind != "folds":
        test = split.test if split.kind != "val-within-train" else 0.0
        shares = {"train": 1 - split.val - test, "val": split.val, "test": test}
        shares = {part: share for part, share in shares.items() if share > 0}
        chosen = _deal(labels, groups, list(shares.values()), rng)
        raise_faults(_short(labels, groups, chosen, len(shares), names))
        return np.array(list(shares), dtype="<U6")[chosen]
    folds = _deal(labels, groups, [1 / split.folds] * split.folds, rng)
    raise_faults(_short(labels, groups, folds, split.folds, names))
    parts = np.where(folds == split.fold, "test", "train").astype("<U6")
    if split.val > 0:
        rest = np.flatnonzero(folds != split.fold)
        val = split.val / (1 - 1 / split.folds)
        chosen = _deal(labels[rest], groups[rest], [1 - val, val], np.random.default_rng((split.seed, split.fold)))
        raise_faults(_short(labels[rest], groups[rest], chosen, 2, names))
        parts[rest[chosen == 1]] = "val"
    return parts


def _deal(labels: Numbers, groups: Numbers, shares: Sequence[float], rng: np.random.Generator) -> Numbers:
    """Number of the part each row goes to, int64 [N].

    Groups come from the largest to the smallest, in random order among equals, and each goes where its classes lag most
    behind their shares of what has been dealt so far (error diffusion): parts keep the shares at every size of group,
    so no part gets only the patients with many images, and single images at the end even it out.
    """
    _, groups = np.unique(groups, return_inverse=True)
    _, labels = np.unique(labels, return_inverse=True)
    counts = np.zeros((groups.max() + 1, labels.max() + 1))
    np.add.at(counts, (groups, labels), 1)
    shuffled = rng.permutation(len(counts))
    target = np.array(shares)[:, None]
    held, seen = np.zeros((len(shares), counts.shape[1])), np.zeros(counts.shape[1])
    part = np.empty(len(counts), dtype=np.int64)
    for group in shuffled[np.argsort(-counts[shuffled].sum(axis=1), kind="stable")]:
        seen += counts[group]
        part[group] = np.argmax(((target * seen - held) * counts[group] / counts.sum(axis=0)).sum(axis=1))
        held[part[group]] += counts[group]
    _fill(counts, part, held)
    return part[groups]


def _fill(counts: NDArray[np.float64], part: Numbers, held: NDArray[np.float64]) -> None:
    """Give each part that lacks a class a small group from the part that has most of it, and at least two groups."""
    for lacking, label in zip(*np.nonzero(held == 0), strict=True):
        for giver in np.argsort(-held[:, label], kind="stable"):
            having = np.flatnonzero((part == giver) & (counts[:, label] > 0))
            if len(having) > 1:
                group = having[np.argmin(counts[having].sum(axis=1))]
                held[giver] -= counts[group]
                held[lacking] += counts[group]
                part[group] = lacking
                break


def _short(labels: Numbers, groups: Numbers, chosen: Numbers, parts: int, names: Sequence[str] | None) -> list[str]:
    """Faults of classes that are not in every part."""
    faults = []
    for label in np.unique(labels):
        of_class = labels == label
        if len(np.unique(chosen[of_class])) < parts:
            faults.append(
                f"class '{label if names is None else names[label]}' has {of_class.sum()} images of "
                f"{len(np.unique(groups[of_class]))} patients, too few for each of {parts} parts to have one; give "
                "more, set data.split.val or test to 0, or use fewer folds"
            )
    return faults
