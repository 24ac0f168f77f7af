"""Archives and URLs are folders: listed, read and decoded where they are, and refused in a sentence."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from contrastive_cxr.data.cache import build
from contrastive_cxr.data.decoding.decode import DecodeError, decode
from contrastive_cxr.data.files import reading
from contrastive_cxr.data.files.archives import LARGEST_MEMBER
from contrastive_cxr.data.sources import read
from contrastive_cxr.errors import RequestError
from contrastive_cxr.recipe.schema import Data, Source
from tests.data.painted import picture, put, shades, zipped

MEMBERS = {
    "set/sick/1.png": picture(1), "set/well/2": picture(2), "set/well/notes.txt": b"no image",
    "__MACOSX/set/._1.png": b"junk", "set/.DS_Store": b"junk",
}  # fmt: skip


def tar(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.zip", zipped(MEMBERS)),
        ("x.tar", tar(MEMBERS)),
        ("x.tgz", gzip.compress(tar(MEMBERS))),
        ("x", zipped(MEMBERS)),
    ],
)
def test_an_archive_is_a_root(tmp_path: Path, name: str, content: bytes) -> None:
    root = put(tmp_path / "in" / name, content)
    data = Data(root=root, cache_dir=tmp_path / "cache", cache_size=16, label_folders=2)
    manifest = read(data, cache_dir=tmp_path / "cache")
    assert manifest.rows[["path", "label", "source"]].values.tolist() == [
        ["set/sick/1.png", "set/sick", name],
        ["set/well/2", "set/well", name],
    ]
    assert manifest.notes == (
        f"1 file of {root} is no image that is known by its content, and is left out (set/well/notes.txt)",
    )
    cached = build(manifest, data)
    assert np.array_equal(cached.take(np.array([1]))[0, 0], shades(2))
    assert build(manifest, data).rows_decoded == 0
    assert [path.name for path in (tmp_path / "in").iterdir()] == [name], "nothing is unpacked to disk"


def test_a_member_is_an_address(tmp_path: Path) -> None:
    place = put(tmp_path / "x.zip", zipped(MEMBERS))
    assert np.array_equal(decode(place / "set/well/2", Data()).grey, shades(2))
    with pytest.raises(DecodeError, match="does not exist in its archive"):
        decode(place / "set/well/3", Data())
    with pytest.raises(DecodeError, match="does not exist"):
        decode(tmp_path / "y.zip" / "set/well/2", Data())


@pytest.mark.parametrize("make", [zipped, tar])
def test_threads_read_one_archive_side_by_side(tmp_path: Path, make: object) -> None:
    assert callable(make)
    place = put(tmp_path / "x", make({f"{seed}.png": picture(seed) for seed in range(40)}))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda seed: decode(place / f"{seed}.png", Data()).grey, range(40)))
    assert all(np.array_equal(grey, shades(seed)) for seed, grey in enumerate(found))


def refused(tmp_path: Path, content: bytes) -> str:
    place = put(tmp_path / f"{abs(hash(content))}.zip", content)
    with pytest.raises(RequestError) as caught:
        read(Source(root=place), cache_dir=tmp_path / "cache")
    assert str(place) in caught.value.faults[0]
    return caught.value.faults[0]


@pytest.mark.parametrize("name", ["../x.png", "/etc/x.png", "a/../../x.png", "..\\x.png", "C:/x.png"])
def test_an_archive_that_climbs_out_is_not_opened(tmp_path: Path, name: str) -> None:
    for content in (zipped({"a/1.png": picture(0), name: picture(1)}), tar({"a/1.png": picture(0), name: picture(1)})):
        assert "with a member outside of it" in refused(tmp_path, content)


def test_links_in_a_tar_archive_are_no_files(tmp_path: Path) -> None:
    buffer = io.BytesIO(tar({"a/1.png": picture(0)}))
    with tarfile.open(fileobj=buffer, mode="a") as archive:
        link = tarfile.TarInfo("a/passwd.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    rows = read(Source(root=put(tmp_path / "x.tar", buffer.getvalue())), cache_dir=tmp_path / "cache").rows
    assert list(rows["path"]) == ["a/1.png"]


def test_an_encrypted_archive_is_refused(tmp_path: Path) -> None:
    content = bytearray(zipped({"a/1.png": picture(0)}))
    for mark, place in ((b"PK\1\2", 8), (b"PK\3\4", 6)):
        struct.pack_into("<H", content, content.index(mark) + place, 1)
    assert "encrypted" in refused(tmp_path, bytes(content))


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    """1.5 GB of declared zeros in a megabyte: refused by what the archive says, nothing of it is read."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/1.png", picture(0))
    content = bytearray(buffer.getvalue())
    struct.pack_into("<I", content, content.index(b"PK\1\2") + 24, LARGEST_MEMBER + 1)
    assert "unpacks to more than 100 times as much" in refused(tmp_path, bytes(content))


def test_a_member_that_is_larger_than_it_says_is_cut_there(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/1.png", picture(0) + bytes(2**20))
    content = bytearray(buffer.getvalue())
    struct.pack_into("<I", content, content.index(b"PK\1\2") + 24, 100)
    place = put(tmp_path / "x.zip", bytes(content))
    with pytest.raises(DecodeError, match="damaged in its archive"):
        decode(place / "a/1.png", Data())


def test_damaged_archives_are_refused(tmp_path: Path) -> None:
    whole = zipped({"a/1.png": picture(0)})
    assert "damaged archive" in refused(tmp_path, whole[:-30])
    place = put(tmp_path / "y.zip", whole.replace(picture(0)[40:60], bytes(20)))
    with pytest.raises(DecodeError, match="damaged in its archive; pack the archive again"):
        decode(place / "a/1.png", Data())


def test_a_changed_archive_is_read_again(tmp_path: Path) -> None:
    place = put(tmp_path / "x.zip", zipped({"a/1.png": picture(1)}))
    assert np.array_equal(decode(place / "a/1.png", Data()).grey, shades(1))
    put(place, zipped({"a/1.png": picture(2), "b": b""}))
    assert np.array_equal(decode(place / "a/1.png", Data()).grey, shades(2))


def test_other_layouts_are_not_read_from_an_archive(tmp_path: Path) -> None:
    place = put(tmp_path / "x.zip", zipped(MEMBERS))
    with pytest.raises(RequestError, match="from which class folders and tables are read and not covid-ct"):
        read(Source(source="covid-ct", root=place))


def test_a_table_lies_in_the_archive_or_anywhere(tmp_path: Path) -> None:
    table = b"file,label,patient\nset/sick/1.png,sick,7\nset/well/2,well,8\n"
    place = put(tmp_path / "x.zip", zipped(MEMBERS | {"set/labels.csv": table}))
    outer = put(tmp_path / "mine.csv", table)
    for csv in (Path("set/labels.csv"), outer):
        rows = read(Source(source="csv", root=place, csv=csv), cache_dir=tmp_path / "cache").rows
        assert rows[["path", "label", "patient"]].values.tolist() == [
            ["set/sick/1.png", "sick", "7"],
            ["set/well/2", "well", "8"],
        ]
    with pytest.raises(RequestError, match=r"x.zip/no.csv does not exist in its archive; set data.csv"):
        read(Source(source="csv", root=place, csv=Path("no.csv")), cache_dir=tmp_path / "cache")


@pytest.fixture
def memory() -> str:
    """A folder of fsspec's memory file system, which stands for a server."""
    fsspec = pytest.importorskip("fsspec")
    system = fsspec.filesystem("memory")
    root = f"memory://ccxr-{threading.get_ident()}"
    system.rm(root, recursive=True) if system.exists(root) else None
    for name, content in MEMBERS.items():
        system.pipe(f"{root}/{name}", content)
    system.pipe(f"{root}/sets/x.zip", zipped(MEMBERS))
    return root


def test_a_url_is_a_root(memory: str, tmp_path: Path) -> None:
    root = f"{memory}/set"
    data = Data(root=root, cache_dir=tmp_path / "cache", cache_size=16)
    manifest = read(data, cache_dir=tmp_path / "cache")
    assert manifest.rows[["root", "path", "label", "source"]].values.tolist() == [
        [root, "sick/1.png", "sick", "set"],
        [root, "well/2", "well", "set"],
    ]
    assert "(well/notes.txt)" in manifest.notes[0]
    cached = build(manifest, data)
    assert np.array_equal(cached.take(np.array([1]))[0, 0], shades(2))
    assert build(manifest, data).rows_decoded == 0
    assert np.array_equal(decode(Path(root) / "sick/1.png", Data()).grey, shades(1)), "a Path loses one of two slashes"


def test_an_archive_behind_a_url_is_a_root(memory: str, tmp_path: Path) -> None:
    root = f"{memory}/sets/x.zip"
    manifest = read(Source(root=root), cache_dir=tmp_path / "cache")
    assert list(manifest.rows["path"]) == ["set/sick/1.png", "set/well/2"]
    assert np.array_equal(decode(f"{root}/set/well/2", Data()).grey, shades(2))


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.0.1:9/images", "cannot be reached; check the address and the network"),
        ("nonsense://images", "nonsense://, which fsspec does not know"),
        ("memory://nothing-there", "is not there"),
    ],
)
def test_a_url_that_gives_nothing_is_named(url: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=words) as caught:
        read(Source(root=url), cache_dir=tmp_path)
    assert all(url in fault for fault in caught.value.faults)
    assert "Traceback" not in str(caught.value)


def test_a_file_behind_a_url_that_is_gone(memory: str) -> None:
    with pytest.raises(DecodeError, match="is not there; correct the URL"):
        reading.content(f"{memory}/set/gone.png")
