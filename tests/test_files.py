"""Files are whole or not there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from contrastive_cxr import files
from contrastive_cxr.errors import CcxrError, Signalled
from contrastive_cxr.files import PARTIAL, write_bytes

ROOT = Path(__file__).resolve().parents[1]


def test_a_file_is_written_and_replaced_and_nothing_lies_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "not" / "yet" / "a.bin"
    for content in (b"first, which is longer", b"second", b""):
        write_bytes(path, content)
        assert path.read_bytes() == content
        assert os.listdir(path.parent) == ["a.bin"]


def test_a_file_is_on_the_disk_before_its_name_is_and_then_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    sync, rename = os.fsync, os.replace

    def synced(handle: int) -> None:
        place = Path(os.readlink(f"/proc/self/fd/{handle}"))
        said.append(f"sync {place.relative_to(tmp_path)}" if place.is_dir() else f"sync {place.read_text()}")
        sync(handle)

    def renamed(source: Path, target: Path) -> None:
        said.append(f"rename {target.name}")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", renamed)
    write_bytes(tmp_path / "new" / "a", b"whole")
    assert said == ["sync .", "sync whole", "rename a", "sync new"]
    said.clear()
    with files.AtomicWrites(tmp_path / "new") as together:
        for name in ("b", "c"):
            together.place(name).write_text(name)
    assert said[:2] == ["sync b", "sync c"]
    assert said[3].endswith(files.RENAMES)
    assert said[4:] == ["sync new", "rename b", "rename c", "sync new"]


def test_a_reader_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    write_bytes(path, b"old")
    with path.open("rb") as reader:
        write_bytes(path, b"new")
        assert reader.read() == b"old"


@pytest.mark.parametrize("fault", ["a folder in its place", "a file for its folder", "a folder for what lies beside"])
def test_a_failed_write_changes_nothing(tmp_path: Path, fault: str) -> None:
    path = tmp_path / "taken"
    if fault == "a folder in its place":
        path.mkdir()
    elif fault == "a file for its folder":
        path.write_bytes(b"old")
        path = path / "below"
    else:
        path.write_bytes(b"old")
        files.beside_of(path).mkdir()
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(CcxrError, match="nothing was changed there"):
        write_bytes(path, b"new")
    assert sorted(os.listdir(tmp_path)) == before
    assert fault == "a folder in its place" or (tmp_path / "taken").read_bytes() == b"old"


# The n-th call of os.replace kills the process: 1 is the list of renames itself, 2 and 3 are the files.
TWO_FILES = """
import os, signal, sys
from pathlib import Path
from contrastive_cxr import files

folder, fatal = Path(sys.argv[1]), int(sys.argv[2])
rename, calls = os.replace, []

def replace(*names):
    calls.append(names)
    if len(calls) == fatal:
        os.kill(os.getpid(), signal.SIGKILL)
    rename(*names)

os.replace = replace
with files.AtomicWrites(folder) as together:
    for name in ("a", "b"):
        together.place(name).write_text("new")
"""


@pytest.mark.parametrize("fatal", [1, 2, 3])
def test_files_that_change_together_do_so_also_where_the_process_is_killed(tmp_path: Path, fatal: int) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text("old")
    process = subprocess.run([sys.executable, "-c", TWO_FILES, str(tmp_path), str(fatal)], cwd=ROOT, check=False)
    assert process.returncode == -signal.SIGKILL
    files.complete(tmp_path)
    files.complete(tmp_path)
    expected = "old" if fatal == 1 else "new"
    assert [(tmp_path / name).read_text() for name in ("a", "b")] == [expected] * 2
    files.tidy(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


def test_tidying_takes_what_the_dead_left_and_nothing_else(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    here, there = files._MACHINE, "00000000"
    gone = [
        f".a.{here}-{dead.pid}{PARTIAL}",
        f".b c.npy.{here}-{dead.pid}-0a1b{PARTIAL}",
        files.beside_of(Path("d")).name,
    ]
    others = [f".a.{there}-{os.getppid()}{PARTIAL}"]
    kept = ["a.npy", f".c.{here}-{os.getppid()}{PARTIAL}", f"mine{PARTIAL}", f".mine{PARTIAL}"]
    for name in gone + others + kept:
        (tmp_path / name).write_text("")
    files.tidy(tmp_path)
    assert sorted(os.listdir(tmp_path)) == sorted(others + kept), "nobody knows whether another machine's are alive"
    files.tidy(tmp_path, held=True)
    assert sorted(os.listdir(tmp_path)) == sorted(kept)


def test_a_stop_in_the_middle_leaves_nothing_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise Signalled(signal.SIGTERM)

    (tmp_path / "a").write_text("old")
    monkeypatch.setattr(os, "replace", stop)
    with pytest.raises(Signalled):
        write_bytes(tmp_path / "a", b"new")
    with pytest.raises(Signalled), files.AtomicWrites(tmp_path) as together:
        together.place("b").write_text("new")
    assert os.listdir(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_a_digest_is_the_published_one(tmp_path: Path) -> None:
    path = tmp_path / "abc"
    path.write_bytes(b"abc")  # FIPS 180-2, appendix B.1
    assert files.digest(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
