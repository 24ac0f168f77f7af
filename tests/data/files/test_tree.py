"""Names and links below a root: each image is read once, under its own name, and none from elsewhere unasked."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from contrastive_cxr.data.cache import build
from contrastive_cxr.data.files import tree
from contrastive_cxr.data.manifest import read as read_manifest
from contrastive_cxr.data.manifest import write
from contrastive_cxr.data.sources import read, read_data
from contrastive_cxr.errors import RequestError
from contrastive_cxr.recipe.schema import Data, Source
from tests.data.corpus.writers import png

ODD = (
    "with space.png", "new\nline.png", "<script>alert(1)<", "Zürich 日本.png", "'quoted\".png", "a,b;c.png",
    "=1+1.png", "-rf.png", "%s{0}.png", "\u202egnp.exe.png", "\x1b[2J.png", "n" * 251 + ".png",
)  # fmt: skip


def paint(path: Path, shade: int = 90) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(np.full((4, 4), shade), 8))


def faults(source: Source) -> tuple[str, ...]:
    with pytest.raises(RequestError) as caught:
        read(source)
    return caught.value.faults


def test_odd_names_decode_and_come_through_tables(tmp_path: Path) -> None:
    root = tmp_path / "root"
    names = [name if name.endswith(".png") else f"{name}/script>.png" for name in ODD]
    for shade, name in enumerate(names):
        paint(root / "a" / name, shade * 20)
    assert len(os.fsencode(ODD[-1])) == 255
    data = Data(root=root, cache_dir=tmp_path / "cache", cache_size=16)
    manifest = read_data(data)
    assert sorted(manifest.rows["path"]) == sorted(f"a/{name}" for name in names)
    cached = build(manifest, data)
    shades = {path: int(cached.take(np.array([row])).max()) for row, path in enumerate(manifest.rows["path"])}
    assert shades == {f"a/{name}": shade * 20 for shade, name in enumerate(names)}
    write(manifest, tmp_path / "m.csv")
    assert read_manifest(tmp_path / "m.csv").rows.to_dict("list") == manifest.rows.to_dict("list")


def test_odd_names_may_stand_in_a_table(tmp_path: Path) -> None:
    for name in ("new\nline.png", "a,b.png"):
        paint(tmp_path / name)
    (tmp_path / "labels.csv").write_text('file,label\n"new\nline.png",x\n"a,b.png","=1+1"\n')
    rows = read(Source(source="csv", root=tmp_path)).rows
    assert rows[["path", "label"]].values.tolist() == [["a,b.png", "=1+1"], ["new\nline.png", "x"]]


@pytest.mark.parametrize("name", [b"\xff\xfe.png", b"folder\xe9/x.png", b"carriage\rreturn.png"])
def test_names_that_no_table_can_hold_are_refused(tmp_path: Path, name: bytes) -> None:
    paint(tmp_path / "a" / "good.png")
    try:
        paint(Path(os.fsdecode(os.fsencode(tmp_path / "a") + b"/" + name)))
    except OSError:
        pytest.skip("this file system keeps names of its own kind only")
    (fault,) = faults(Source(root=tmp_path))
    assert repr(name.split(b"/")[0])[2:-1] in fault
    assert "rename it" in fault


def test_a_name_that_is_too_long_or_holds_nul_is_named(tmp_path: Path) -> None:
    paint(tmp_path / "good.png")
    (tmp_path / "labels.csv").write_text(f"file,label\n{'n' * 300}.png,x\ngood.png,x\n{'d/' * 3000}x.png,x\n")
    found = faults(Source(source="csv", root=tmp_path))
    assert [("cannot be reached (File name too long)" in fault) for fault in found] == [True, True]


def test_links_out_of_the_root_are_followed_only_when_asked(tmp_path: Path) -> None:
    root = tmp_path / "root"
    paint(tmp_path / "elsewhere" / "x.png")
    paint(tmp_path / "elsewhere" / "y.png")
    paint(root / "a" / "z.png")
    (root / "a" / "x.png").symlink_to(tmp_path / "elsewhere" / "x.png")
    (root / "b").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    found = sorted(faults(Source(root=root)))
    assert len(found) == 2
    assert f"a/x.png is a link out of the root to {tmp_path / 'elsewhere' / 'x.png'}" in found[0]
    assert f"b is a link out of the root to {tmp_path / 'elsewhere'}" in found[1]
    assert all("data.outside=true" in fault for fault in found)
    rows = read(Source(root=root, outside=True)).rows
    assert rows["path"].tolist() == ["a/x.png", "a/z.png", "b/x.png", "b/y.png"]


def test_links_inside_the_root_are_followed(tmp_path: Path) -> None:
    paint(tmp_path / "a" / "x.png")
    (tmp_path / "a" / "y.png").symlink_to("x.png")
    (tmp_path / "labels.csv").write_text("file,label\na/y.png,x\n")
    assert read(Source(root=tmp_path)).rows["path"].tolist() == ["a/x.png", "a/y.png"]
    assert read(Source(source="csv", root=tmp_path)).rows["path"].tolist() == ["a/y.png"]


def test_a_root_that_is_itself_a_link_is_a_root(tmp_path: Path) -> None:
    paint(tmp_path / "real" / "a" / "x.png")
    (tmp_path / "root").symlink_to(tmp_path / "real", target_is_directory=True)
    assert read(Source(root=tmp_path / "root")).rows["path"].tolist() == ["a/x.png"]
    assert tree.image_files(tmp_path / "root", outside=False) == (["a/x.png"], [])


def test_a_table_leads_out_of_the_root_only_when_asked(tmp_path: Path) -> None:
    root = tmp_path / "root"
    paint(tmp_path / "x.png")
    paint(root / "in.png")
    (root / "link.png").symlink_to(tmp_path / "x.png")
    (root / "up").symlink_to(tmp_path, target_is_directory=True)
    written = ["../x.png", str(tmp_path / "x.png"), "link.png", "up/x.png", "in.png", "a/../../x.png"]
    (root / "labels.csv").write_text("file,label\n" + "".join(f"{path},x\n" for path in written))
    found = faults(Source(source="csv", root=root))
    for path in ("../x.png", str(tmp_path / "x.png"), "a/../../x.png"):
        assert any(f"file '{path}' is not inside the root" in fault for fault in found), found
    for path in ("link.png", "up/x.png"):
        assert any(f"{path} is led out of the root by a link, to {tmp_path / 'x.png'}" in fault for fault in found)
    assert len(found) == 5
    assert all("data.outside=true" in fault for fault in found)
    (root / "labels.csv").write_text("file,label\n" + "".join(f"{path},x\n" for path in written[:5]))
    data = Data(source="csv", root=root, outside=True, cache_dir=tmp_path / "cache", cache_size=16)
    manifest = read_data(data)
    assert len(manifest) == 5
    assert all(file.is_file() for file in manifest.files())
    assert (build(manifest, data).slots >= 0).all()


def test_the_lists_of_covid_ct_stay_in_their_folders(tmp_path: Path) -> None:
    paint(tmp_path / "x.png")
    root = tmp_path / "root"
    paint(root / "CT_COVID" / "a.png")
    (root / "Data-split" / "COVID").mkdir(parents=True)
    listed = root / "Data-split" / "COVID" / "trainCT_COVID.txt"
    listed.write_text("a.png\n../../x.png\n/etc/passwd\n")
    found = faults(Source(source="covid-ct", root=root))
    assert [f"line {number}: " in fault for number, fault in zip((2, 3), found, strict=True)] == [True, True]
    listed.write_bytes(b"\xff\xfea.png")
    assert "cannot be read as text in UTF-8" in faults(Source(source="covid-ct", root=root))[0]


def test_loops_and_copies_made_of_links_end(tmp_path: Path) -> None:
    """Two folders that hold links to each other, and eight floors of two links each: 2^8 ways to one image."""
    paint(tmp_path / "a" / "x.png")
    paint(tmp_path / "b" / "y.png")
    (tmp_path / "a" / "l").symlink_to(tmp_path / "b", target_is_directory=True)
    (tmp_path / "b" / "m").symlink_to(tmp_path / "a", target_is_directory=True)
    (tmp_path / "a" / "self.png").symlink_to("self.png")
    found = faults(Source(root=tmp_path))
    assert any("one folder, whose images would count twice" in fault for fault in found)
    assert any("self.png cannot be reached" in fault for fault in found)
    floors = tmp_path / "floors"
    for number in range(8):
        (floors / f"{number}").mkdir(parents=True)
        for side in "lr":
            (floors / f"{number}" / side).symlink_to(floors / f"{number + 1}", target_is_directory=True)
    paint(floors / "8" / "x.png")
    files, said = tree.image_files(floors, outside=False)
    assert len(files) == 1
    assert len(said) == 16


def test_a_tree_deeper_than_pythons_own_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    depth = 1200
    monkeypatch.chdir(tmp_path)
    try:
        for _ in range(depth):
            os.mkdir("d")
            os.chdir("d")
        Path("x.png").write_bytes(b"x")
        assert tree.image_files(tmp_path, outside=False) == (["d/" * depth + "x.png"], [])
    finally:  # pytest's own removal calls itself for each floor
        Path("x.png").unlink(missing_ok=True)
        while os.getcwd() != str(tmp_path.resolve()):
            os.chdir("..")
            os.rmdir("d")


@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_what_is_no_file_is_not_waited_for(tmp_path: Path, kind: str) -> None:
    paint(tmp_path / "good.png")
    (os.mkfifo if kind == "pipe" else os.mkdir)(tmp_path / "odd.png")
    (tmp_path / "labels.csv").write_text("file,label\ngood.png,x\nodd.png,x\n")
    (fault,) = faults(Source(source="csv", root=tmp_path))
    assert f"odd.png is a {kind}" in fault
    skipping = Data(source="csv", root=tmp_path, on_bad_image="skip", cache_dir=tmp_path / "c", cache_size=16)
    cached = build(read_data(skipping), skipping)
    assert cached.facts["error"].tolist() == ["", "cannot be opened (it is a folder, pipe or device, not a file)"]


def test_a_folder_that_cannot_be_listed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paint(tmp_path / "a" / "x.png")
    paint(tmp_path / "b" / "y.png")
    listing = os.scandir

    def refused(place: str) -> object:
        if place.endswith("/b"):
            raise PermissionError(13, "Permission denied")
        return listing(place)

    monkeypatch.setattr(os, "scandir", refused)
    files, said = tree.image_files(tmp_path, outside=False)
    assert files == ["a/x.png"]
    assert "b cannot be listed (Permission denied)" in said[0]


@pytest.mark.parametrize("change", ["removed", "emptied", "replaced", "cut"])
def test_files_that_change_between_manifest_and_decode(tmp_path: Path, change: str) -> None:
    root = tmp_path / "root"
    for name in ("x.png", "y.png"):
        paint(root / "a" / name)
    data = Data(root=root, cache_dir=tmp_path / "cache", cache_size=16)
    manifest, file = read_data(data), root / "a" / "x.png"
    {
        "removed": file.unlink,
        "emptied": lambda: file.write_bytes(b""),
        "replaced": lambda: Image.new("L", (4, 4), 200).save(file, "BMP"),
        "cut": lambda: file.write_bytes(file.read_bytes()[:50]),
    }[change]()
    if change == "replaced":
        cached = build(manifest, data)
        assert cached.take(np.array([0, 1])).max(axis=(1, 2, 3)).tolist() == [200, 90]
        assert cached.facts["format"].tolist() == ["BMP", "PNG"]
        return
    words = {"removed": "does not exist", "emptied": "is empty (0 bytes)", "cut": "truncated"}[change]
    with pytest.raises(RequestError, match=r"x\.png") as caught:
        build(manifest, data)
    assert words in caught.value.faults[1]
    cached = build(manifest, data.model_copy(update={"on_bad_image": "skip"}))
    assert words in cached.facts["error"][0]
    assert cached.slots.tolist() == [-1, 0]


def test_skip_leaves_out_what_is_missing_or_empty_and_refuse_names_it(tmp_path: Path) -> None:
    paint(tmp_path / "good.png")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "labels.csv").write_text("file,label\ngood.png,x\nempty.png,x\ngone.png,x\n")
    found = faults(Source(source="csv", root=tmp_path))
    assert ["empty.png is empty" in found[0], "gone.png is missing" in found[1]] == [True, True]
    data = Data(source="csv", root=tmp_path, on_bad_image="skip", cache_dir=tmp_path / "cache", cache_size=16)
    cached = build(read_data(data), data)
    assert cached.facts["error"].tolist() == ["is empty (0 bytes)", "does not exist", ""]
