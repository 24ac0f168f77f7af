"""Locks: one holder, its name, and what becomes of a lock whose holder is dead. The holders are real processes."""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from contrastive_cxr import locks
from contrastive_cxr.errors import RequestError

ROOT = Path(__file__).resolve().parents[1]
HOLDER = """
import sys
from pathlib import Path
from contrastive_cxr import locks
with locks.held(Path(sys.argv[1]), "the run"):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def another(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path), "a word"], cwd=ROOT, text=True, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_second_process_is_refused_with_the_holders_name(tmp_path: Path) -> None:
    path = tmp_path / "run" / locks.NAME
    with another(path) as holder:
        for refuse in (lambda: locks.refuse_held(path, "the run"), lambda: locks.held(path, "the run").__enter__()):
            with pytest.raises(RequestError) as caught:
                refuse()
            said = str(caught.value)
            assert said.startswith(f"the run is in use by process {holder.pid} on {socket.gethostname()} since 20")
            assert "a word" in said, "its command"
            assert "wait until it ends" in said
        holder.communicate("")
        with locks.held(path, "the run"):
            assert json.loads(path.read_text())["pid"] == os.getpid()
    assert not path.exists()


def test_the_lock_of_a_killed_process_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / locks.NAME
    with another(path) as holder:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        assert json.loads(path.read_text())["pid"] == holder.pid, "its name is still there"
        with locks.held(path, "the run"):
            assert json.loads(path.read_text())["pid"] == os.getpid()


def test_to_look_takes_the_lock_file_of_a_killed_process_away(tmp_path: Path) -> None:
    path = tmp_path / locks.NAME
    with another(path) as holder:
        with pytest.raises(RequestError):
            locks.refuse_held(path, "the run")
        assert path.exists()
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        locks.refuse_held(path, "the run")
    assert not path.exists()


def test_who_waits_says_for_whom_and_comes_in(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / locks.NAME
    with another(path) as holder, caplog.at_level(logging.WARNING):
        assert holder.stdin is not None
        timer = threading.Timer(0.5, holder.stdin.close)
        timer.start()
        with locks.held(path, "the cache", wait=True):
            assert holder.wait(10) == 0
        timer.join()
        holder.stdin = None
    assert caplog.text.count("waiting for the cache") == 1
    assert f"process {holder.pid} on " in caplog.text


def test_one_process_may_hold_it_again_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "new" / locks.NAME
    with locks.held(path, "the run"):
        with locks.held(path, "the run"):
            locks.refuse_held(path, "the run")
        assert path.exists(), "the inner one does not give the outer one's back"
    assert not path.parent.exists(), "a folder that was made for nothing"
    with locks.held(path, "the run"):
        (path.parent / "kept").write_text("")
    assert [item.name for item in path.parent.iterdir()] == ["kept"]


def test_a_lock_that_was_taken_away_meanwhile_is_not_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between opening and locking, its holder ends and removes the file, and a third makes another."""
    path, flock, files = tmp_path / locks.NAME, fcntl.flock, []

    def late(handle: int, how: int) -> None:
        if not files:
            path.unlink()
            path.write_text("")
            files.append(os.stat(path).st_ino)
        flock(handle, how)

    monkeypatch.setattr(locks.fcntl, "flock", late)
    with locks.held(path, "the run"):
        assert [os.stat(path).st_ino] == files, "locked a file that is no longer there"
        monkeypatch.undo()
        handle = os.open(path, os.O_RDWR)
        with pytest.raises(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(handle)


def a_name(**changes: object) -> str:
    """What a holder writes."""
    number = os.getpid()
    known = {"host": socket.gethostname(), "pid": number, "started": locks._started(number), "since": "2026-01-01"}
    return json.dumps({**known, "command": "ccxr run", **changes})


def a_dead_number() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_free_lock_of_another_machine_is_taken_over_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / locks.NAME
    path.write_text(a_name(host="elsewhere"))
    with caplog.at_level(logging.WARNING), locks.held(path, "the run"):
        pass
    assert "was left by process" in caplog.text
    assert "on elsewhere" in caplog.text


@pytest.mark.parametrize(
    ("name", "word"),
    [
        (lambda: a_name(), "in use by process"),
        (lambda: a_name(started="1"), None),  # the number of a dead process, given to another one
        (lambda: a_name(pid=a_dead_number()), None),
        (lambda: "", None),
        (lambda: a_name(host="elsewhere", pid=a_dead_number()), f"no longer there, remove the file {locks.NAME}"),
    ],
    ids=["alive", "another of that number", "dead", "none", "another machine"],
)
def test_where_the_file_system_has_no_locks_the_name_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: object, word: str | None
) -> None:
    def none(handle: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks.fcntl, "flock", none)
    path = tmp_path / locks.NAME
    assert callable(name)
    path.write_text(name())
    if word is None:
        with locks.held(path, "the run"):
            assert json.loads(path.read_text())["since"] != "2026-01-01"
    else:
        with pytest.raises(RequestError, match=word):
            locks.held(path, "the run").__enter__()


def test_a_place_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RequestError, match=r"the run: .* cannot be written to"):
        locks.held(tmp_path / "file" / locks.NAME, "the run").__enter__()
