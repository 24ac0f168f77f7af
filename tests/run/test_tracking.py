"""Weights & Biases for real: offline, with a server that refuses or never answers, with its process killed."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from contrastive_cxr.recipe import schema
from contrastive_cxr.run import tracking, wandb_run
from contrastive_cxr.run.tracking import Tracker
from contrastive_cxr.run.wandb_records import records
from tests.run.read_back import wandb_records


def sit(folder: Path, first: int, last: int, *, resume: bool) -> Tracker:
    """Train from step `first` to `last`; with `resume`, the steps before come from `metrics.jsonl`."""
    tracker = Tracker.open({"name": "x", "seed": 3}, folder, schema.Tracking(), resume=resume)
    if resume:
        tracker.replay("pretrain", [{"epoch": 1, "step": s, "split": "step", "loss": s / 10} for s in range(1, first)])
    for step in range(first, last + 1):
        tracker.log("pretrain", step, {"step/loss": step / 10})
        if step % 2 == 0:
            tracker.log("pretrain", step, {"val/auc": step / 100, "val/none": None})
    return tracker


def sit_and_be_killed(folder: Path, first: int, last: int) -> None:
    code = (
        f"import os; from pathlib import Path; from tests.run.test_tracking import sit; "
        f"sit(Path({str(folder)!r}), {first}, {last}, resume=True); os.kill(os.getpid(), 9)"
    )
    path = os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])
    # a W&B process of its own, which dies with it
    own = {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"}
    done = subprocess.run([sys.executable, "-c", code], env={**own, "PYTHONPATH": path}, stdin=subprocess.DEVNULL)
    assert done.returncode == -signal.SIGKILL


def ours(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the tracker said; W&B logs too."""
    return [record.message for record in caplog.records if record.name in (tracking.__name__, wandb_run.__name__)]


def history(folder: Path) -> list[dict[str, object]]:
    """The rows of all sittings, as `wandb sync` would send them."""
    rows = []
    for record in wandb_records(folder):
        if record.WhichOneof("record_type") == "history":
            items = {item.key or "/".join(item.nested_key): item.value_json for item in record.history.item}
            rows.append({name: json.loads(value) for name, value in items.items()})
    return rows


def test_a_resumed_run_keeps_its_id_and_each_step_once(tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    sit(tmp_path, 1, 6, resume=False).close()
    identity = json.loads((tmp_path / "wandb.json").read_text())["id"]
    sit_and_be_killed(tmp_path, 4, 7)  # from a checkpoint at step 3; what W&B had not written is lost
    sit(tmp_path, 6, 8, resume=True).close()
    assert json.loads((tmp_path / "wandb.json").read_text())["id"] == identity
    rows = history(tmp_path)
    losses = [(row["pretrain/step"], row["pretrain/step/loss"]) for row in rows if "pretrain/step/loss" in row]
    assert losses == [(step, step / 10) for step in range(1, 9)]
    assert [row["pretrain/step"] for row in rows if "pretrain/val/auc" in row] == [2, 4, 6, 8]
    numbers = [row["_step"] for row in rows]
    assert numbers == sorted(set(numbers))


def test_records_cross_blocks() -> None:
    """LevelDB's log format, written by hand: a record that is cut by the end of a 32 KiB block."""
    first, second = b"a" * 32000, b"b" * 2000
    room = 32768 - 7 - 7 - len(first) - 7
    head = lambda size, kind: bytes(4) + size.to_bytes(2, "little") + bytes([kind])  # noqa: E731
    data = bytes(7) + head(len(first), 1) + first + head(room, 2) + second[:room]
    data += head(2000 - room, 4) + second[room:]
    assert list(records(data)) == [first, second]
    assert list(records(data[:-1])) == [first]


def test_off_does_nothing(tmp_path: Path) -> None:
    for tracker in (
        Tracker.open({}, tmp_path, schema.Tracking(wandb="off")),
        Tracker.open({}, tmp_path, schema.Tracking(), first=False),
    ):
        tracker.log("pretrain", 1, {"loss": 1.0})
        tracker.picture("x", tmp_path / "none.png")
        tracker.model(tmp_path)
        tracker.close()
    assert list(tmp_path.iterdir()) == []


def test_a_model_is_an_artifact_that_is_not_copied(tmp_path: Path) -> None:
    wandb = pytest.importorskip("wandb")
    from wandb.proto import wandb_internal_pb2

    phase = tmp_path / "embed"
    phase.mkdir()
    (phase / "model.safetensors").write_bytes(os.urandom(2**20))
    (phase / "model.json").write_text("{}")
    tracker = sit(tmp_path, 1, 2, resume=False)
    tracker.model(phase)
    tracker.close()
    wandb.teardown()
    assert sum(path.stat().st_size for path in (tmp_path / "wandb").rglob("*") if path.is_file()) < 2**19
    (file,) = (tmp_path / "wandb" / "wandb").glob("offline-run-*/run-*.wandb")
    entries = []
    for body in records(file.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(body)
        if record.request.WhichOneof("request_type") == "log_artifact":
            entries += record.request.log_artifact.artifact.manifest.contents
        elif record.WhichOneof("record_type") == "artifact":
            entries += record.artifact.manifest.contents
    assert {entry.local_path for entry in entries} == {
        str((phase / name).resolve()) for name in ("model.safetensors", "model.json")
    }


def test_a_failure_is_said_once_and_training_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("wandb")
    (tmp_path / "wandb").write_text("a file where W&B needs a folder")
    with caplog.at_level(logging.WARNING):
        tracker = Tracker.open({"name": "x"}, tmp_path, schema.Tracking())
        tracker.log("pretrain", 1, {"loss": 1.0})
        tracker.close()
    assert [text.split("(")[0] for text in ours(caplog)] == ["Weights & Biases failed "]


def test_nothing_is_reported_to_the_makers_of_wandb(tmp_path: Path) -> None:
    sit(tmp_path, 1, 1, resume=False).close()
    from wandb import env

    assert not env.error_reporting_enabled()


@contextmanager
def server(word: str) -> Iterator[str]:
    """The address of a server that refuses connections, or takes them and never answers."""
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        if word == "silent":
            place.listen(64)
        yield f"http://127.0.0.1:{place.getsockname()[1]}"


@pytest.mark.parametrize("word", ["refusing", "silent"])
def test_a_server_that_does_not_answer_costs_nothing_and_the_rows_are_kept(
    word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    wandb = pytest.importorskip("wandb")
    wandb.teardown()  # its settings are read again
    monkeypatch.setattr(wandb_run, "INIT_SECONDS", 2.0)
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    with server(word) as address, caplog.at_level(logging.WARNING):
        monkeypatch.setenv("WANDB_BASE_URL", address)
        began = time.monotonic()
        tracker = Tracker.open({"name": "x"}, tmp_path, schema.Tracking(wandb="online"))
        for step in range(1, 101):
            tracker.log("pretrain", step, {"step/loss": step / 10})
        logged = time.monotonic() - began
        tracker.close()
        closed = time.monotonic() - began
    assert logged < 1.0 < closed, "the rows were logged before the server was given up"
    assert closed < 60
    assert ["the run is recorded offline" in text for text in ours(caplog)] == [True]
    assert [row["pretrain/step"] for row in history(tmp_path)] == list(range(1, 101))


KILLED = """
import os, signal, sys, time
from pathlib import Path
from contrastive_cxr.recipe import schema
from contrastive_cxr.run.tracking import Tracker
def children():
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = status.read_text().rpartition(")")
        except OSError:
            continue
        parents.setdefault(int(rest.split()[1]), []).append(int(name.split()[0]))
    return parents.get(os.getpid(), [])
tracker = Tracker.open({"name": "x"}, Path(sys.argv[1]), schema.Tracking())
while not list(Path(sys.argv[1]).rglob("*.wandb")):
    time.sleep(0.05)
for pid in children():
    os.kill(pid, signal.SIGKILL)
began = time.monotonic()
for step in range(1, 101):
    tracker.log("pretrain", step, {"loss": 1.0})
assert time.monotonic() - began < 1
tracker.close()
assert time.monotonic() - began < 60
print("the run went on")
"""


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds W&B's process in /proc")
def test_wandbs_process_dies_and_the_run_goes_on(tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    path = os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])
    own = {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"}
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)], env={**own, "PYTHONPATH": path}, capture_output=True, text=True,
        timeout=200,
    )  # fmt: skip
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["the run went on"]), done.stderr
    assert done.stderr.count("Weights & Biases failed") == 1
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="needs /dev/full or a folder without rights")
def test_a_folder_that_cannot_be_written_to_does_not_stop_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("wandb")
    (tmp_path / "wandb").mkdir()
    # the rights of a folder mean nothing to root, as whom tests may run: the answer to the question is the case
    monkeypatch.setattr(wandb_run.os, "access", lambda place, rights: False)
    with caplog.at_level(logging.WARNING):
        tracker = Tracker.open({"name": "x"}, tmp_path, schema.Tracking())
        tracker.log("pretrain", 1, {"loss": 1.0})
        tracker.close()
    assert ours(caplog) == [
        f"Weights & Biases failed (PermissionError: '{tmp_path / 'wandb'}' cannot be written to); going on without it"
    ]
