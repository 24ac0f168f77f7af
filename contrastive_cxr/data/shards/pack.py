"""Write the decoded images of a recipe as shards."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from contrastive_cxr import locks, terminal
from contrastive_cxr.data.cache import FACTS, NO_FACTS
from contrastive_cxr.data.dataset import PARTS, Dataset, open_dataset
from contrastive_cxr.data.shards import description, opening, parquet_files
from contrastive_cxr.data.shards.description import Description, Shard
from contrastive_cxr.errors import RequestError
from contrastive_cxr.files import read_json, tidy, write_bytes
from contrastive_cxr.recipe import schema
from contrastive_cxr.space import size_words
from contrastive_cxr.tasks import Task

Rows = NDArray[np.int64]
SHARD_IMAGES = 1024
GROUP = 64
SAMPLE = 64
"""Squares whose compressed size tells how large the shards will be."""
WRITTEN = (description.NAME, description.BEGUN, description.ROWS, "shards", locks.NAME)


@dataclass(frozen=True)
class Packed:
    """What `pack` wrote: images, shards in the folder, those of them that this call wrote, and bytes of all."""

    images: int
    shards: int
    written: int
    bytes: int


def pack(data: schema.Data, task: Task, out: Path, *, shard_images: int = SHARD_IMAGES, group: int = GROUP) -> Packed:
    """Decode the images of a task (into the cache, where they are not there yet) and write them as shards.

    A shard holds images of one class of the training part, in an order drawn once, so that what stands together in the
    table (images of a patient, of a day) is not read together; or images of another part, in the order of the table. A
    call that was killed, or stopped by a full disk, goes on after its last whole shard; in a finished folder what is
    missing or cut is written again.

    Parameters
    ----------
    data, task : of the recipe
    out : Path
        A new folder, or one that the same call began.
    shard_images : int
        Images of a shard; memory holds one shard twice.
    group : int
        Images that are read at once in training.

    Raises
    ------
    RequestError
        As `open_dataset`; the folder holds something else, or has too little room.
    CcxrError
        The disk became full; what is whole is kept.
    """
    parquet_files.require()
    refuse_other_things(out)
    dataset = open_dataset(data.model_copy(update={"shards": None}), task)
    strata, slots = divided(dataset, shard_images)
    identity = identity_of(dataset, data, shard_images, group)
    with locks.held(out / locks.NAME, f"the shards '{out}'"):
        refuse_another(out, identity)
        tidy(out, held=True)
        tidy(out / "shards", held=True)
        if not (out / description.NAME).is_file():
            write_bytes(out / description.BEGUN, json.dumps({"identity": identity}).encode())
        todo = [number for number in range(len(strata)) if not is_whole(out, number, identity)]
        check_space(out, dataset, [strata[number] for number in todo], group)
        with terminal.Stages("packing images", 1, shown=bool(todo)):
            for done, number in enumerate(todo, start=1):
                write_shard(out, number, strata[number], dataset, group, identity)
                terminal.share(done, len(todo))
        return finish(out, dataset, data, strata, slots, (identity, group, len(todo)))


def refuse_other_things(out: Path) -> None:
    """Refuse a folder that holds anything which `pack` did not write, or is none."""
    if out.exists() and not out.is_dir():
        raise RequestError(f"--out {out} is a file; name a new folder for the shards")
    if not out.is_dir():
        return
    names = sorted(path.name for path in out.iterdir() if not path.name.startswith("."))
    other = [name for name in names if name not in WRITTEN]
    ours = {description.NAME, description.BEGUN} & set(names)
    if other or (names and not ours and names != [locks.NAME]):
        raise RequestError(
            f"--out {out} holds other things ({', '.join((other or names)[:5])}); name a new folder for the shards"
        )


def refuse_another(out: Path, identity: str) -> None:
    """Refuse a folder that was packed, or begun, from other images, classes, parts or settings."""
    for name in (description.NAME, description.BEGUN):
        if (out / name).is_file():
            try:
                then = read_json(out / name).get("identity")
            except (ValueError, AttributeError, OSError):
                then = None
            if then != identity:
                raise RequestError(
                    f"--out {out} holds shards of other images, labels, parts or settings (digest "
                    f"{str(then)[:12]} there, {identity[:12]} now); name a new folder, or remove this one"
                )


def divided(dataset: Dataset, shard_images: int) -> tuple[list[Rows], Rows]:
    """The rows of each shard, and the slot of every row; rows with the same square share the slot of the first."""
    rng = np.random.default_rng(0)
    parts: list[Rows] = []
    for part in PARTS:
        rows = dataset.rows(part)
        if part != "train":
            parts.append(rows)
            continue
        parts += [rng.permutation(rows[dataset.labels[rows] == kind]) for kind in range(len(dataset.classes))]
    held = dataset.images.slots
    order = np.concatenate(parts)
    first = np.zeros(len(held), dtype=bool)
    first[order[np.unique(held[order], return_index=True)[1]]] = True
    strata = [
        chosen[start : start + shard_images]
        for chosen in (rows[first[rows]] for rows in parts)
        for start in range(0, len(chosen), shard_images)
    ]
    kept = np.concatenate(strata)
    by_square = np.full(int(held.max()) + 1, -1, dtype=np.int64)
    by_square[held[kept]] = np.arange(len(kept))
    return strata, by_square[held]


def identity_of(dataset: Dataset, data: schema.Data, shard_images: int, group: int) -> str:
    """SHA-256 of everything that the shards depend on."""
    found = hashlib.sha256()
    settings = {**description.settings_of(data), "found": dataset.intensity.model_dump(mode="json")}
    found.update(json.dumps([description.VERSION, shard_images, group, settings], sort_keys=True).encode())
    known = opening.keys(dataset.manifest.rows, bool(data.join))
    columns = known, dataset.split, dataset.labels, dataset.facts["digest"]
    for row in zip(*columns, strict=True):
        found.update("\t".join(map(str, row)).encode() + b"\n")
    for path, source, error in skipped(dataset):
        found.update(f"{source}\t{path}\t{error}\n".encode())
    return found.hexdigest()


def name_of(number: int) -> str:
    """A shard's file, below the folder."""
    return f"shards/shard-{number:06d}.parquet"


def is_whole(out: Path, number: int, identity: str) -> bool:
    """Whether a shard is there as this call would write it; a file that was cut has no footer."""
    file = out / name_of(number)
    return file.is_file() and parquet_files.identity_of(str(file)) == f"{identity}:{number}"


def check_space(out: Path, dataset: Dataset, todo: list[Rows], group: int) -> None:
    """Refuse a disk without room for the shards that are missing, judged by a sample of their squares."""
    if not todo:
        return
    rows = np.concatenate(todo)
    sample = rows[np.linspace(0, len(rows) - 1, min(SAMPLE, len(rows))).round().astype(np.int64)]
    each = len(parquet_files.shard_bytes(dataset.take(sample), ["0" * 64] * len(sample), group, "")) / len(sample)
    needed, room = int(each * len(rows)), shutil.disk_usage(out).free
    if needed > room:
        raise RequestError(
            f"--out {out}: {len(rows):,} images need about {size_words(needed)} there and its disk has "
            f"{size_words(room)} free; make room, then the same command goes on, or name another folder"
        )


def write_shard(out: Path, number: int, rows: Rows, dataset: Dataset, group: int, identity: str) -> None:
    """Write one shard, whole or not at all."""
    digests = dataset.facts["digest"].iloc[rows].tolist()
    content = parquet_files.shard_bytes(dataset.take(rows), digests, group, f"{identity}:{number}")
    write_bytes(out / name_of(number), content)


def finish(
    out: Path, dataset: Dataset, data: schema.Data, strata: list[Rows], slots: Rows, how: tuple[str, int, int]
) -> Packed:
    """Write the table of rows and, last of all, the description that readers begin with."""
    identity, group, written = how
    shards = tuple(
        Shard(file=name_of(number), images=len(rows), bytes=(out / name_of(number)).stat().st_size)
        for number, rows in enumerate(strata)
    )
    whole = Description(
        size=data.cache_size, group=group, images=sum(map(len, strata)), settings=description.settings_of(data),
        intensity=dataset.intensity.model_dump(mode="json"), identity=identity, shards=shards,
    )  # fmt: skip
    write_bytes(out / description.ROWS, parquet_files.table_bytes(table_of(dataset, slots, bool(data.join))))
    write_bytes(out / description.NAME, whole.model_dump_json(indent=1).encode())
    (out / description.BEGUN).unlink(missing_ok=True)
    return Packed(whole.images, len(shards), written, sum(shard.bytes for shard in shards))


def skipped(dataset: Dataset) -> Iterator[tuple[str, str, str]]:
    """Path, source and error of each file that could not be read."""
    table = dataset.skipped
    return zip(table["path"], table["source"], table["error"], strict=True)


def table_of(dataset: Dataset, slots: Rows, several: bool) -> pd.DataFrame:
    """A line a row: its key, slot, facts, and the sums of its pixels; then the files that could not be read."""
    facts = dataset.facts[[*FACTS]].reset_index(drop=True)
    totals, squares = (np.concatenate(each) for each in zip(*sums(dataset), strict=True))
    table = pd.DataFrame({"key": opening.keys(dataset.manifest.rows, several), "slot": slots}).join(facts)
    table = table.assign(total=totals, squares=squares)
    bad = [
        (f"{source}/{path}" if several else path, -1, *NO_FACTS, error, 0, 0)
        for path, source, error in skipped(dataset)
    ]
    return pd.concat([table, pd.DataFrame(bad, columns=list(table.columns))], ignore_index=True) if bad else table


def sums(dataset: Dataset, block: int = 64) -> Iterator[tuple[Rows, Rows]]:
    """Sum of the pixels of each row, and of their squares, in blocks of rows; int64, exact."""
    for start in range(0, len(dataset), block):
        pixels = dataset.images[np.arange(start, min(start + block, len(dataset)))]
        wide = pixels.reshape(len(pixels), -1).astype(np.int64)
        yield wide.sum(axis=1), (wide * wide).sum(axis=1)
