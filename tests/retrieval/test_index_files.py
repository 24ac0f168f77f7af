"""An index beside its vectors: used where it is ours and fits, else built again."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contrastive_cxr import files
from contrastive_cxr.errors import RequestError
from contrastive_cxr.retrieval import Gallery, gallery_files
from contrastive_cxr.retrieval import index as indexes
from tests.retrieval.clusters import rows, vectors

QUERIES = vectors(8, 1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Gallery.build(vectors(500, 0), rows(500), kind="ivf").save(tmp_path)
    return tmp_path


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The index files that FAISS was given."""
    seen: list[Path] = []
    read = indexes.read

    def counted(path: Path, *rest: Any) -> object:
        seen.append(path)
        return read(path, *rest)

    monkeypatch.setattr(indexes, "read", counted)
    return seen


def remove(folder: Path) -> None:
    (folder / "index.faiss").unlink()


def damage(folder: Path) -> None:
    content = bytearray((folder / "index.faiss").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "index.faiss").write_bytes(content)


def break_record(folder: Path) -> None:
    (folder / "index.json").write_text("{")


def forge(folder: Path) -> None:
    record = json.loads((folder / "index.json").read_text())
    (folder / "index.json").write_text(json.dumps(record | {"effort": record["effort"] + 1}))


def another(folder: Path) -> None:
    """The index of other vectors, sealed by us."""
    Gallery.build(vectors(500, 7), rows(500), kind="ivf").save(folder / "other")
    for name in ("index.faiss", "index.json"):
        (folder / "other" / name).replace(folder / name)


def test_our_own_index_is_read(folder: Path, reads: list[Path], caplog: pytest.LogCaptureFixture) -> None:
    Gallery.load(folder)
    assert reads == [folder / "index.faiss"]
    assert not caplog.records


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (remove, "there is none"),
        (damage, "index.faiss is damaged"),
        (break_record, "index.json is damaged"),
        (forge, "another user or program wrote it"),
        (another, "it is of other vectors"),
    ],
)
def test_an_index_that_does_not_fit_is_built_again_and_never_read(
    folder: Path, reads: list[Path], caplog: pytest.LogCaptureFixture, change: Callable[[Path], None], words: str
) -> None:
    expected = Gallery.load(folder).search(QUERIES).ids.tolist()
    change(folder)
    reads.clear()
    with caplog.at_level(logging.WARNING):
        assert Gallery.load(folder).search(QUERIES).ids.tolist() == expected
    assert words in caplog.text
    assert reads == []
    caplog.clear()
    Gallery.load(folder)  # it was written back
    assert reads == [folder / "index.faiss"]
    assert not caplog.records


def test_another_users_index_is_read_only_when_asked(
    folder: Path, reads: list[Path], tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("another user")))
    before = (folder / "index.json").read_bytes()
    Gallery.load(folder, trust_index=True)
    assert reads == [folder / "index.faiss"]
    reads.clear()
    Gallery.load(folder)
    assert reads == []
    assert (folder / "index.json").read_bytes() != before  # now it is this user's


def test_without_a_place_for_a_secret_no_index_is_trusted(
    folder: Path, reads: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    for _ in range(2):
        assert len(Gallery.load(folder).search(QUERIES)) == 8
    assert reads == []


def test_the_secret_is_the_users_alone(folder: Path, state: Path) -> None:
    del folder
    key = state / "contrastive_cxr" / "index.key"
    assert len(key.read_bytes()) == 32
    assert key.stat().st_mode & 0o077 == 0


def test_an_exact_gallery_leaves_no_index_of_a_former_kind(folder: Path) -> None:
    gallery = Gallery.load(folder)
    gallery.rebuild("exact")
    gallery.save(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["gallery.json", "rows.csv", "vectors.npy"]
    assert Gallery.load(folder).search(QUERIES, 3).counts.tolist() == [3] * 8


def rewrite(folder: Path, **changes: object) -> None:
    """Another user's index beside the gallery: its record with changes, and the digests of the files as they are."""
    record = json.loads((folder / "index.json").read_text()) | changes
    record["index_sha256"] = files.digest(folder / "index.faiss")
    if (folder / "index-keys.npy").is_file():
        record["keys_sha256"] = files.digest(folder / "index-keys.npy")
    (folder / "index.json").write_text(json.dumps(record))


def lying_lengths(folder: Path) -> None:
    """Every eight bytes of the head that may be a length say 2^40, one after the other, until one is believed."""
    whole = (folder / "index.faiss").read_bytes()
    place = whole.index(len(vectors(500, 0)).to_bytes(8, "little"))
    (folder / "index.faiss").write_bytes(whole[:place] + (2**40).to_bytes(8, "little") + whole[place + 8 :])


def cut(folder: Path) -> None:
    whole = (folder / "index.faiss").read_bytes()
    (folder / "index.faiss").write_bytes(whole[: len(whole) // 2])


def narrower(folder: Path) -> None:
    """A sound index of vectors of another width."""
    Gallery.build(vectors(500, 7, 8), rows(500), kind="ivf").save(folder / "other")
    (folder / "other" / "index.faiss").replace(folder / "index.faiss")


def fewer(folder: Path) -> None:
    Gallery.build(vectors(400, 7), rows(400), kind="ivf").save(folder / "other")
    (folder / "other" / "index.faiss").replace(folder / "index.faiss")


def another_kind(folder: Path) -> None:
    Gallery.build(vectors(500, 0), rows(500), kind="hnsw").save(folder / "other")
    (folder / "other" / "index.faiss").replace(folder / "index.faiss")


def pickled_keys(folder: Path) -> None:
    np.save(folder / "index-keys.npy", np.array([{}] * 500, dtype=object), allow_pickle=True)


def keys_below_zero(folder: Path) -> None:
    np.save(folder / "index-keys.npy", np.arange(-500, 0))


def keys_of_text(folder: Path) -> None:
    np.save(folder / "index-keys.npy", np.array(["1"] * 500))


def nothing(folder: Path) -> None:
    """The record alone lies."""


@pytest.mark.parametrize(
    ("change", "record"),
    [
        (lying_lengths, {}),
        (cut, {}),
        (narrower, {}),
        (fewer, {}),
        (another_kind, {}),
        (pickled_keys, {}),
        (keys_below_zero, {}),
        (keys_of_text, {}),
        (nothing, {"count": 2**60}),
        (nothing, {"gone": 5}),
        (nothing, {"effort": -1}),
    ],
)
def test_a_lying_index_is_built_again_also_where_it_is_trusted(
    folder: Path, caplog: pytest.LogCaptureFixture, change: Callable[[Path], None], record: dict[str, object]
) -> None:
    expected = Gallery.load(folder).search(QUERIES).ids.tolist()
    change(folder)
    rewrite(folder, **record)
    with caplog.at_level(logging.WARNING):
        assert Gallery.load(folder, trust_index=True).search(QUERIES).ids.tolist() == expected
    assert "its index is built again" in caplog.text


@pytest.mark.parametrize("small", [True, False])
@pytest.mark.parametrize(("value", "words"), [(np.nan, "row 3"), (1e10, "row 3 has length")])
def test_faiss_is_never_given_vectors_that_end_its_process(
    folder: Path, monkeypatch: pytest.MonkeyPatch, value: float, words: str, small: bool
) -> None:
    """A stranger's gallery whose digests fit: found by fuzzing, where FAISS called abort() in its training."""
    known = np.load(folder / "vectors.npy")
    known[3, 1] = value
    np.save(folder / "vectors.npy", known)
    record = json.loads((folder / "gallery.json").read_text())
    record |= {"stamps": {}, "vectors_sha256": files.digest(folder / "vectors.npy")}
    (folder / "gallery.json").write_text(json.dumps(record))
    monkeypatch.setattr(gallery_files, "DIGESTED", 2**26 if small else 0)
    with pytest.raises(RequestError, match=words):
        Gallery.load(folder)


def test_keys_that_the_gallery_does_not_have_are_no_rows(folder: Path) -> None:
    gallery = Gallery.load(folder)
    expected = gallery.search(QUERIES, 3).ids.tolist()
    made = gallery.index.faiss_index
    made.remove_ids(np.arange(500))
    made.add_with_ids(gallery.vectors, np.arange(500) + 10**12)
    assert gallery.search(QUERIES, 3).ids.tolist() == expected  # found without the index


def test_faiss_believes_a_length_up_to_the_files_own_size(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[int] = []
    monkeypatch.setattr(indexes.faiss, "set_deserialization_vector_byte_limit", limits.append, raising=False)
    Gallery.load(folder)
    assert limits == [(folder / "index.faiss").stat().st_size]


@pytest.mark.parametrize("kind", ["ivf", "ivf-pq", "hnsw"])
def test_an_index_of_many_rows_is_read_and_not_built_again(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """From 10,000 rows on, the table of ivf-pq is larger than its file."""
    made = Gallery.build(vectors(10_000, 0), rows(10_000), kind=kind)
    made.save(tmp_path / "gallery")
    loaded = Gallery.load(tmp_path / "gallery")
    assert not caplog.records
    queries = vectors(5, 1)
    assert loaded.search(queries, 3).ids.tolist() == made.search(queries, 3).ids.tolist()
