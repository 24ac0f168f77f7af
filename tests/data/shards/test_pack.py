"""Packing: every square once, in a form that others read; what stops it leaves nothing half-written."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from contrastive_cxr.data.dataset import open_dataset
from contrastive_cxr.data.shards import description
from contrastive_cxr.errors import CcxrError, RequestError
from tests.data.shards.packed import GROUP, SHARD, from_shards, packed

ROOT = Path(__file__).resolve().parents[3]
KILLED = """
import os, signal, sys
from pathlib import Path
from contrastive_cxr import files
from tests.data.shards.packed import packed

real, calls = os.replace, []

def replace(old, new):
    calls.append(str(new).endswith("%s"))
    if sum(calls) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    real(old, new)

os.replace = replace
packed(Path(sys.argv[1]), Path(sys.argv[2]))
"""


def content(folder: Path) -> dict[str, bytes]:
    """All files of a folder, by name."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_every_square_is_packed_once_and_other_programs_read_it(cache: Path, tmp_path: Path) -> None:
    recipe, done = packed(cache, tmp_path / "shards")
    data = open_dataset(recipe.data, recipe.task)
    files = sorted((tmp_path / "shards/shards").iterdir())
    assert (done.images, done.shards, done.written) == (len(data), len(files), len(files))
    assert done.bytes == sum(file.stat().st_size for file in files)
    by_digest = dict(zip(data.facts["digest"], data.take(np.arange(len(data))), strict=True))
    tables = [pyarrow.parquet.read_table(file).to_pylist() for file in files]
    rows = [row for table in tables for row in table]
    assert sorted(row["digest"] for row in rows) == sorted(by_digest)
    assert all(row["pixels"] == by_digest[row["digest"]].tobytes() for row in rows)
    assert max(map(len, tables)) == SHARD
    assert pyarrow.parquet.ParquetFile(files[0]).metadata.row_group(0).num_rows == GROUP


def test_a_shard_of_the_training_part_is_of_one_class_and_the_others_keep_their_order(
    cache: Path, tmp_path: Path
) -> None:
    recipe, _ = packed(cache, tmp_path / "shards")
    data = from_shards(recipe, tmp_path / "shards")
    assert data.images.layout is not None
    shards = data.images.layout.shards
    kinds = [set(data.labels[shards == number]) for number in np.unique(shards[data.rows("train")])]
    assert all(len(each) == 1 for each in kinds)
    train = data.images.slots[data.rows("train")]
    assert not (np.diff(train) > 0).all(), "the training images are in an order of their own"
    for part in ("val", "test"):
        slots = data.images.slots[data.rows(part)]
        assert (np.diff(slots) == 1).all(), f"{part} is read in the order of its rows"


def test_the_same_call_in_a_finished_folder_writes_what_is_missing_and_nothing_else(
    cache: Path, tmp_path: Path
) -> None:
    out = tmp_path / "shards"
    packed(cache, out)
    whole = content(out)
    assert packed(cache, out)[1].written == 0
    first, second = sorted((out / "shards").iterdir())[:2]
    first.unlink()
    second.write_bytes(second.read_bytes()[:100])
    assert packed(cache, out)[1].written == 2
    assert content(out) == whole


def test_a_call_that_was_killed_is_refused_to_readers_and_goes_on(cache: Path, tmp_path: Path) -> None:
    packed(cache, tmp_path / "alone")
    out = tmp_path / "shards"
    program = KILLED % ".parquet"
    done = subprocess.run(
        [sys.executable, "-c", program, str(cache), str(out)], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL
    assert len(list((out / "shards").glob("*.parquet"))) == 2
    recipe, _ = packed(cache, tmp_path / "alone")
    with pytest.raises(RequestError, match="is not packed to its end; the same `ccxr data pack` command goes on"):
        from_shards(recipe, out)
    assert packed(cache, out)[1].written == len(list((out / "shards").iterdir())) - 2
    assert content(out) == content(tmp_path / "alone")


def test_a_disk_that_becomes_full_keeps_what_is_whole_and_the_call_goes_on(cache: Path, tmp_path: Path) -> None:
    packed(cache, tmp_path / "alone")
    out, sizes = tmp_path / "shards", [file.stat().st_size for file in sorted((tmp_path / "alone/shards").iterdir())]
    largest = max(range(len(sizes)), key=lambda number: sizes[number])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (max(sizes) - 1, before[1]))
        with pytest.raises(CcxrError, match="goes on"):
            packed(cache, out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert not (out / description.NAME).exists()
    assert len(list((out / "shards").iterdir())) == largest, "whole shards, and no part of one"
    packed(cache, out)
    assert content(out) == content(tmp_path / "alone")


def test_a_disk_without_room_is_refused_before_a_shard_is_written(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    facts = shutil.disk_usage(tmp_path)
    recipe, _ = packed(cache, tmp_path / "alone")
    monkeypatch.setattr("contrastive_cxr.data.shards.pack.shutil.disk_usage", lambda _: facts._replace(free=9000))
    with pytest.raises(RequestError, match=r"60 images need about [\d.]+ KiB there and its disk has 8.8 KiB free"):
        packed(cache, tmp_path / "shards")
    assert not list((tmp_path / "shards").rglob("*.parquet"))
    del recipe


def test_folders_with_other_things_are_refused(cache: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine"
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    with pytest.raises(RequestError, match=r"holds other things \(thesis.txt\)"):
        packed(cache, out)
    assert content(out) == {"thesis.txt": b"mine"}
    (tmp_path / "file").write_text("")
    with pytest.raises(RequestError, match="is a file"):
        packed(cache, tmp_path / "file")


def test_a_folder_of_other_shards_is_refused(cache: Path, tmp_path: Path) -> None:
    out = tmp_path / "shards"
    packed(cache, out)
    whole = content(out)
    for change in ("data.images=63", "data.resize=crop", "data.split.val=0.3"):
        with pytest.raises(RequestError, match="holds shards of other images, labels, parts or settings"):
            packed(cache, out, change)
    assert content(out) == whole


def test_copies_share_a_square_and_files_that_cannot_be_read_are_told(cache: Path, tmp_path: Path) -> None:
    from PIL import Image

    root = tmp_path / "images"
    for name in ("normal", "nodule", "opacity"):
        (root / name).mkdir(parents=True)
        for number in range(9):
            noise = np.random.default_rng([ord(name[2]), number]).integers(0, 256, (40, 40), np.uint8)
            Image.fromarray(noise).save(root / name / f"{number}.png")
    (root / "normal/copy.png").write_bytes((root / "normal/3.png").read_bytes())
    (root / "normal/broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno picture")
    words = (
        "data.source=folders", f"data.root={root}", "data.split.kind=fractions", "data.on_bad_image=skip",
        "data.split.val=0.2", "data.split.test=0.2",
    )  # fmt: skip
    recipe, done = packed(cache, tmp_path / "shards", *words)
    assert done.images == 27
    plain, data = open_dataset(recipe.data, recipe.task), from_shards(recipe, tmp_path / "shards")
    assert np.array_equal(plain.take(np.arange(28)), data.take(np.arange(28)))
    assert data.skipped.to_dict("records") == plain.skipped.to_dict("records")
    with pytest.raises(RequestError, match=r"1 of the recipe's images could not be read .*normal/broken.png"):
        from_shards(recipe, tmp_path / "shards", on_bad_image="refuse")


def test_the_description_names_its_format(cache: Path, tmp_path: Path) -> None:
    packed(cache, tmp_path / "shards")
    tree = json.loads((tmp_path / "shards" / description.NAME).read_text())
    assert (tree["format"], tree["version"]) == (description.FORMAT, description.VERSION)
    assert sum(shard["images"] for shard in tree["shards"]) == tree["images"] == 60
