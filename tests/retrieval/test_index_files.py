"""An index beside its vectors: used where it is ours and fits, else built again."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from contrastive_cxr.retrieval import Gallery
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

    def counted(path: Path, mapped: bool) -> object:
        seen.append(path)
        return read(path, mapped)

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
