"""A gallery in Lance files: its folder, what is wrong with one, and that LanceDB opens it too."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from contrastive_cxr.errors import CcxrError, RequestError
from contrastive_cxr.retrieval import Gallery, StoreGallery, open_gallery
from contrastive_cxr.retrieval.gallery_files import About
from contrastive_cxr.retrieval.stores import lance_library, training
from contrastive_cxr.retrieval.stores.convert import converted
from contrastive_cxr.retrieval.stores.filling import fill
from contrastive_cxr.retrieval.stores.lance_store import DATA, FILLING, RECORD, LanceStore
from contrastive_cxr.retrieval.stores.words import target
from tests.retrieval import clusters

lance = pytest.importorskip("lance")
MODEL = "a" * 64


def filled(folder: Path, count: int = 60, kind: Any = "exact", address: str = "") -> StoreGallery:
    vectors = clusters.vectors(count, 0)
    fill(LanceStore(folder, address), About(MODEL, {}, "", kind), 16, clusters.rows(count), lambda a, b: vectors[a:b])
    made = open_gallery(folder)
    assert isinstance(made, StoreGallery)
    return made


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lance") / "gallery"
    filled(folder)
    return folder


@pytest.fixture
def folder(kept: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(kept, tmp_path / "gallery"))


def test_the_folder_and_lancedb(folder: Path) -> None:
    lancedb = pytest.importorskip("lancedb")
    assert sorted(os.listdir(folder)) == [RECORD, DATA]
    record = json.loads((folder / RECORD).read_text())
    assert (record["store"], record["format"], record["dimensions"], record["kind"]) == ("lance", 1, 16, "exact")
    table = lancedb.connect(folder).open_table("vectors")
    query = clusters.vectors(1, 1)[0]
    ours = open_gallery(folder).search(query, 3).ids[0].tolist()
    assert table.search(query).limit(3).to_pandas()["id"].tolist() == ours


def test_a_folder_becomes_lance_and_a_folder_again(tmp_path: Path) -> None:
    first = Gallery.build(clusters.vectors(300, 0), clusters.rows(300), MODEL, kind="exact", made_by="/runs/a")
    store = converted(first, None, LanceStore(tmp_path / "lance"), "ivf-pq")
    assert isinstance(store, StoreGallery)
    assert store.record.kind == "ivf-pq"
    again = converted(store, tmp_path / "folder", None, "ivf")
    assert isinstance(again, Gallery)
    loaded = Gallery.load(tmp_path / "folder", verify=True)
    assert (np.asarray(loaded.vectors) == first.vectors).all()
    pd.testing.assert_frame_equal(loaded.rows, first.rows, check_dtype=False)
    assert (loaded.about.model, loaded.about.made_by, loaded.about.kind) == (MODEL, "/runs/a", "ivf")
    third = converted(store, None, LanceStore(tmp_path / "other"), "exact")
    queries = clusters.vectors(9, 1)
    expected = first.search(queries, 5, ["P3"] * 9)
    for each in (loaded, third):
        found = each.search(queries, 5, ["P3"] * 9)
        assert (found.distances >= expected.distances - 1e-6).all()
        assert (found.ids == expected.ids).mean() > 0.9


def test_files_elsewhere_are_named_in_the_record(tmp_path: Path) -> None:
    made = filled(tmp_path / "gallery", address=(tmp_path / "elsewhere" / "v.lance").as_uri())
    assert sorted(os.listdir(tmp_path / "gallery")) == [RECORD]
    assert (tmp_path / "elsewhere" / "v.lance").is_dir()
    assert made.search(clusters.vectors(60, 0)[4], 1).ids.tolist() == [[15]]


def other_format(folder: Path) -> None:
    record = json.loads((folder / RECORD).read_text())
    (folder / RECORD).write_text(json.dumps(record | {"format": 0}))


def newer_format(folder: Path) -> None:
    record = json.loads((folder / RECORD).read_text())
    (folder / RECORD).write_text(json.dumps(record | {"format": 9}))


def damaged_record(folder: Path) -> None:
    record = json.loads((folder / RECORD).read_text())
    (folder / RECORD).write_text(json.dumps(record | {"kind": "magic"}))


def no_json(folder: Path) -> None:
    (folder / RECORD).write_text("{")


def no_files(folder: Path) -> None:
    shutil.rmtree(folder / DATA)


def no_manifest(folder: Path) -> None:
    shutil.rmtree(folder / DATA / "_versions")


def no_column(folder: Path) -> None:
    lance.dataset(str(folder / DATA)).drop_columns(["patient"])


def other_width(folder: Path) -> None:
    record = json.loads((folder / RECORD).read_text())
    (folder / RECORD).write_text(json.dumps(record | {"dimensions": 32}))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (other_format, "a store of an older version of contrastive_cxr"),
        (newer_format, "a store of a newer version of contrastive_cxr"),
        (damaged_record, r"its record is damaged \(kind: "),
        (no_json, "is not JSON"),
        (no_files, "vectors.lance is missing"),
        (no_manifest, "Lance cannot use its files"),
        (no_column, "its files have no column 'patient'"),
        (other_width, "gallery.json says vectors of 32 numbers, its files hold 16"),
    ],
)
def test_a_damaged_store_is_refused_in_one_sentence(folder: Path, spoil: Callable[[Path], None], said: str) -> None:
    spoil(folder)
    with pytest.raises(RequestError, match=said) as caught:
        open_gallery(folder)
    assert all("\n" not in fault for fault in caught.value.faults)


def test_the_gallery_of_a_folder_says_where_to_go(folder: Path) -> None:
    with pytest.raises(RequestError, match="is a gallery in a store; open it with"):
        Gallery.load(folder)


def test_a_full_disk_changes_nothing(folder: Path) -> None:
    made = open_gallery(folder)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    try:
        with pytest.raises(CcxrError, match=r"File too large|Lance cannot|cannot be read or written"):
            made.add(clusters.vectors(400, 5), pd.DataFrame({"label": ["new"] * 400}))  # type: ignore[attr-defined]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert len(open_gallery(folder)) == 60
    made.add(clusters.vectors(4, 5), pd.DataFrame({"label": ["new"] * 4}))  # type: ignore[attr-defined]
    assert open_gallery(folder).search(clusters.vectors(4, 5)[0], 1).labels.tolist() == [["new"]]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_read_only_can_be_searched(folder: Path) -> None:
    for place, _, _ in os.walk(folder):
        os.chmod(place, 0o500)
    made = open_gallery(folder)
    assert made.search(clusters.vectors(1, 0), 2).counts.tolist() == [2]
    with pytest.raises(RequestError, match="cannot be written to"):
        made.remove([7])  # type: ignore[attr-defined]


def test_a_killed_index_build_leaves_an_unfinished_gallery_that_goes_on(tmp_path: Path) -> None:
    code = f"""
import os
from contrastive_cxr.retrieval.stores import filling
from contrastive_cxr.retrieval.stores.lance_store import LanceStore
from contrastive_cxr.retrieval.gallery_files import About
from tests.retrieval import clusters
LanceStore.build_index = lambda *_: os._exit(9)
vectors = clusters.vectors(60, 0)
filling.fill(LanceStore({str(tmp_path / "g")!r}), About({MODEL!r}), 16, clusters.rows(60), lambda a, b: vectors[a:b])
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    assert (tmp_path / "g" / FILLING).is_file()
    with pytest.raises(RequestError, match="its gallery is unfinished"):
        open_gallery(tmp_path / "g")

    def none(first: int, end: int) -> Any:
        raise AssertionError("all rows are there")

    fill(LanceStore(tmp_path / "g"), About(MODEL), 16, clusters.rows(60), none)
    assert len(open_gallery(tmp_path / "g")) == 60
    assert sorted(os.listdir(tmp_path / "g")) == [RECORD, DATA]


def test_without_pylance_one_sentence_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(lance_library.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        RequestError, match=r"needs pylance, which is not installed: pip install 'contrastive_cxr\[lance\]'"
    ):
        target("lance", tmp_path / "g")


@pytest.mark.parametrize(
    ("word", "out", "said"),
    [
        ("lanse", "g", r"--store lanse: is not folder, lance.*did you mean 'lance'"),
        ("folder:s3://b", "g", "is not folder"),
        ("lance:elsewhere", "g", "is not folder"),
        ("lance", None, "--out: name a new folder"),
        ("postgresql://h/d", "g", "--out g: a gallery in PostgreSQL has no folder"),
    ],
)
def test_words_of_store(word: str, out: str | None, said: str) -> None:
    with pytest.raises(RequestError, match=said):
        target(word, None if out is None else Path(out))


def test_lists_and_sample_stay_within_their_memory() -> None:
    assert [training.lists_for(rows, 512) for rows in (100, 10_000, 10**6, 10**9)] == [2, 200, 2000, 3276]
    for rows in (10**6, 10**9):
        lists = training.lists_for(rows, 512)
        assert len(training.sample_rows(min(rows, 10**6), lists)) * 512 * 4 <= training.SAMPLE_BYTES


@pytest.mark.parametrize("count", [3, 40, 400])
def test_codes_are_trained_of_few_vectors_too(count: int) -> None:
    centroids, codebook = training.trained(clusters.vectors(count, 0), 2)
    assert centroids.shape == (2, 16)
    assert codebook.shape == (2, 256 if count >= 256 else 16, 8)
    assert np.isfinite(codebook).all()
