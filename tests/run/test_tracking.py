"""Weights & Biases for real, offline."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from contrastive_cxr.recipe import schema
from contrastive_cxr.run.tracking import Tracker, _records


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


def history(folder: Path) -> list[dict[str, object]]:
    """The rows of all sittings, as `wandb sync` would send them."""
    import wandb
    from wandb.proto import wandb_internal_pb2

    wandb.teardown()  # a finished run's file may still be written
    identity = json.loads((folder / "wandb.json").read_text())["id"]
    rows = []
    for path in sorted((folder / "wandb" / "wandb").glob(f"offline-run-*/run-{identity}.wandb")):
        for body in _records(path.read_bytes()):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(body)
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
    assert list(_records(data)) == [first, second]
    assert list(_records(data[:-1])) == [first]


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


def test_a_failure_is_said_once_and_training_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("wandb")
    (tmp_path / "wandb").write_text("a file where W&B needs a folder")
    with caplog.at_level(logging.WARNING):
        tracker = Tracker.open({"name": "x"}, tmp_path, schema.Tracking())
        tracker.log("pretrain", 1, {"loss": 1.0})
        tracker.close()
    assert [record.message.split("(")[0] for record in caplog.records] == ["Weights & Biases failed "]


def test_nothing_is_reported_to_the_makers_of_wandb(tmp_path: Path) -> None:
    sit(tmp_path, 1, 1, resume=False).close()
    from wandb import env

    assert not env.error_reporting_enabled()
