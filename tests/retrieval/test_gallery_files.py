"""A gallery whose writer is killed, or has company."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from contrastive_cxr import files, locks
from contrastive_cxr.errors import Signalled
from contrastive_cxr.retrieval import Gallery
from tests.retrieval import clusters


class Killed(BaseException):
    """Stands for SIGKILL: what comes after it in the process is not done."""


def gallery(count: int) -> Gallery:
    return Gallery.build(clusters.vectors(count, seed=1), clusters.rows(count), "m", kind="hnsw")


@pytest.mark.parametrize("renamed", [0, 1, 2, 4])
def test_killed_between_the_renames_it_is_the_new_one_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renamed: int
) -> None:
    """Five files change: vectors, rows, record, index and its record, which refuse each other when mixed."""
    gallery(200).save(tmp_path)
    rename, calls = os.replace, []

    def dies(source: Path, target: Path) -> None:
        if not str(target).endswith(files.RENAMES):
            if len(calls) == renamed:
                raise Killed
            calls.append(target)
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", dies)
        patch.setattr(Path, "unlink", lambda path, missing_ok=False: None)  # a killed process removes nothing
        with pytest.raises(Killed):
            gallery(240).save(tmp_path)
    assert len(Gallery.load(tmp_path, verify=True)) == 240
    files.tidy(tmp_path, held=True)
    known = {"vectors.npy", "rows.csv", "gallery.json", "index.faiss", "index.json"}
    assert set(os.listdir(tmp_path)) - {locks.NAME} == known


def test_killed_before_all_is_on_the_disk_it_is_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gallery(200).save(tmp_path)
    sync = os.fsync

    def dies(handle: int) -> None:
        if "index" in os.readlink(f"/proc/self/fd/{handle}"):
            raise Signalled(signal.SIGTERM)
        sync(handle)

    monkeypatch.setattr(os, "fsync", dies)
    with pytest.raises(Signalled):
        gallery(240).save(tmp_path)
    monkeypatch.undo()
    assert len(Gallery.load(tmp_path, verify=True)) == 200


def test_a_list_of_renames_by_somebody_else_is_no_list(tmp_path: Path) -> None:
    """It moves half-written files of its folder alone; what is no list is passed over."""
    inside = tmp_path / "gallery"
    gallery(200).save(inside)
    (tmp_path / "mine").write_text("mine")
    (inside / f".a{files.RENAMES}").write_text('{"../mine": "vectors.npy", "rows.csv": "vectors.npy"}')
    (inside / f".b{files.RENAMES}").write_text("no list")
    (inside / f".c{files.RENAMES}").write_text('["a", "b"]')
    assert len(Gallery.load(inside, verify=True)) == 200
    assert (tmp_path / "mine").read_text() == "mine"


def test_a_second_writer_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Path, bool]] = []
    held = locks.held

    def noted(path: Path, what: str, *, wait: bool = False) -> object:
        asked.append((path, wait))
        return held(path, what, wait=wait)

    monkeypatch.setattr(locks, "held", noted)
    gallery(200).save(tmp_path)
    assert asked == [(tmp_path / locks.NAME, True)]
    assert not (tmp_path / locks.NAME).exists()
