"""A disk that is really full: what is said, what is kept, and that the run goes on when there is room."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import safetensors
import torch
from torch import nn

from contrastive_cxr import engine
from contrastive_cxr.data import cache as caches
from contrastive_cxr.data.sources import read_data
from contrastive_cxr.errors import CcxrError
from contrastive_cxr.files import write_bytes
from contrastive_cxr.preflight import disk as needs
from contrastive_cxr.recipe import schema
from contrastive_cxr.retrieval import Gallery
from contrastive_cxr.run import checkpoint
from contrastive_cxr.run.log import MetricsLog
from contrastive_cxr.training.run import run
from tests.engine.tiny import spec
from tests.limits.small_disk import SmallDisk, mounted
from tests.small import PHASES, overrides, same_weights, small_recipe

ROOT = Path(__file__).resolve().parents[2]
# cnn2: a model of 10 MiB, trained in a second
TINY = (
    "model.backbone=cnn2", "pretrain.epochs=1", "embed.epochs=1", "finetune.epochs=1", "embed.projection=[16]",
    "data.images=24", "embed.images_per_class=2", "pretrain.batch_size=4", "finetune.batch_size=4",
    "data.split.val=0.3", "data.split.test=0.3",
)  # fmt: skip


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with mounted(tmp_path / "disk", 256) as small:
        yield small


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file of this process may grow beyond `size` bytes: what a quota does, for everybody."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_file_beyond_the_limit_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    write_bytes(path, b"old")
    with largest_file(1000), pytest.raises(CcxrError) as caught:
        write_bytes(path, bytes(5000))
    said = str(caught.value)
    assert said.startswith(f"cannot write '{path}': File too large (4.9 KiB needed, ")
    assert "free on its disk); nothing was changed there; make room" in said
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_what_is_said_to_be_free_does_not_count_the_half_file(disk: SmallDisk) -> None:
    disk.fill(leave=64)
    with pytest.raises(CcxrError, match=r"100\.0 KiB needed, (5\d|6\d)\.0 KiB free on its disk"):
        write_bytes(disk.place / "a.bin", bytes(100 * 1024))


def finish(fabric: engine.Fabric, folder: Path, disk: SmallDisk | None, at: int) -> engine.FitSpec:
    """Train; before the step `at` somebody fills the disk, and makes room after the failure."""
    part = spec(folder, fabric, checkpoint_minutes=1e-9)
    if disk is None:
        engine.fit(fabric, part)
        return part
    filled: list[Path] = []

    def step(network: nn.Module, batch: engine.Batch) -> engine.StepOutput:
        if batch.step == at and not filled:
            filled.append(disk.fill())
        return part.step(network, batch)

    with pytest.raises(CcxrError) as caught:
        engine.fit(fabric, replace(part, step=step))
    assert re.match(rf"cannot write '{folder}/.*No space left on device \(.* free on its disk\)", str(caught.value))
    state = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert state["progress"]["epoch"] * 5 + state["progress"]["step"] <= at
    assert not list(folder.rglob("*.partial"))
    filled[0].unlink()
    again = spec(folder, fabric, checkpoint_minutes=1e-9)
    engine.fit(fabric, again, resume=True)
    return again


@pytest.mark.parametrize("at", [9, pytest.param(3, marks=pytest.mark.slow)])
def test_a_training_that_fills_the_disk_goes_on_when_there_is_room(disk: SmallDisk, tmp_path: Path, at: int) -> None:
    fabric = engine.launch(schema.Runtime(device="cpu"))
    alone = finish(fabric, tmp_path / "alone", None, at)
    full = finish(fabric, disk.place / "full", disk, at)
    assert (full.folder / "metrics.jsonl").read_bytes() == (alone.folder / "metrics.jsonl").read_bytes()
    states = [part.network.state_dict() for part in (alone, full)]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_half_a_row_of_a_log_is_said(disk: SmallDisk) -> None:
    log = MetricsLog(disk.place / "metrics.jsonl")
    log.append({"loss": 1.0})
    size = log.sync()
    disk.fill()

    def go_on() -> None:
        for number in range(1000):
            log.append({"loss": number / 7})
            log.sync()

    with pytest.raises(CcxrError, match="No space left on device"):
        go_on()
    (disk.place / "somebody-elses").unlink()
    log.truncate_to(size)
    assert log.rows() == [{"loss": 1.0}]


def test_a_cache_keeps_what_was_decoded(
    cache: Path, disk: SmallDisk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    painted = small_recipe(cache, *TINY)
    data = painted.data.model_copy(update={"cache_dir": disk.place / "cache", "workers": 1})
    manifest = read_data(painted.data)
    monkeypatch.setattr(caches, "_check_space", lambda folder, needed: None)  # as if it had been filled since
    monkeypatch.setattr(caches, "COMMIT_SECONDS", -1.0)
    failed = 0
    for size in range(16, 80, 8):  # 24 squares of 1 KiB, and their table
        disk.resize(size)
        try:
            caches.build(manifest, data)
        except CcxrError as error:
            failed += 1
            said = str(error)
            assert re.search(r"image cache .* cannot be written: the disk is full \(.* free\); make room", said), said
    assert failed > 1
    disk.resize(1024)
    built = caches.build(manifest, data)
    assert built.rows_decoded < len(manifest.rows), "what was decoded before was decoded again"
    whole = caches.build(manifest, painted.data)
    rows = np.arange(len(manifest.rows))
    assert np.array_equal(built.take(rows), whole.take(rows))


@pytest.mark.parametrize(("kind", "rooms"), [("exact", (0, 8, 40, 56)), ("hnsw", (0, 8, 56, 80, 160))])
def test_a_gallery_that_does_not_fit_leaves_the_old_one(disk: SmallDisk, kind: str, rooms: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)

    def gallery(count: int) -> Gallery:
        vectors = rng.normal(size=(count, 16)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        rows = pd.DataFrame({"id": [f"{number}" for number in range(count)]})
        return Gallery.build(vectors, rows, kind=kind)

    gallery(60).save(disk.place / "gallery")
    big = gallery(900)
    for room in rooms:
        disk.resize(disk.used() + room)
        with pytest.raises(CcxrError, match="No space left on device"):
            big.save(disk.place / "gallery")
        assert len(Gallery.load(disk.place / "gallery").rows) == 60, f"{room} KiB of room"
    disk.resize(4096)
    big.save(disk.place / "gallery")
    assert len(Gallery.load(disk.place / "gallery").rows) == 900


def intact(out: Path) -> None:
    """Assert that whatever stands in a run folder is whole."""
    assert not list(out.rglob("*.partial"))
    for path in out.rglob("*.ckpt"):
        checkpoint.load(path)
    for path in out.rglob("*.safetensors"):
        with safetensors.safe_open(path, "pt") as file:
            assert list(file.keys())
    for path in out.rglob("*.npy"):
        np.load(path, allow_pickle=False)


def needed_kib(said: str) -> int:
    """What an error says was needed, KiB rounded up; 0 where it does not say."""
    found = re.search(r"\(([0-9.]+) (bytes|KiB|MiB) needed", said)
    return 0 if found is None else int(float(found[1]) * {"bytes": 1 / 1024, "KiB": 1, "MiB": 1024}[found[2]]) + 1


@pytest.mark.slow
def test_every_write_of_a_run_may_fail(
    cache: Path, disk: SmallDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk grows by little more than what the last failure asked for, so that nearly every file fails once."""
    recipe = small_recipe(cache, *TINY, "runtime.keep_finished=true")  # so that the report finds no room freed
    alone = run(recipe, tmp_path / "alone")
    monkeypatch.setattr(needs, "require", lambda out, parts: None)  # as if it had been filled since
    out, size, failed = disk.place / "run", 16, []
    for _ in range(150):
        disk.resize(size)
        try:
            run(recipe, out, resume=(out / "recipe.yaml").is_file())
            break
        except CcxrError as error:
            said = str(error)
            assert "No space left on device" in said
            failed.append(re.findall(r"'([^']*)'", said)[0])
            intact(out)
            # so much that this one fits, and hardly anything beside it
            size = max(size + 4, disk.used() + needed_kib(said) + 8)
    names = {Path(name).name for name in failed}
    assert {"last.ckpt", "model.safetensors"} <= names
    assert names & {"report.json", "report.html"}
    assert len(names) > 10, names
    for name in PHASES:
        assert same_weights(out / name, alone / name)
        assert (out / name / "metrics.jsonl").read_bytes() == (alone / name / "metrics.jsonl").read_bytes()
        for array in sorted((alone / name / "arrays").glob("*.npy")):
            assert (out / name / "arrays" / array.name).read_bytes() == array.read_bytes(), array


@pytest.mark.slow
def test_a_command_whose_disk_fills_ends_with_1_and_resumes(cache: Path, disk: SmallDisk, tmp_path: Path) -> None:
    disk.resize(400 * 1024)
    out = disk.place / "run"
    words = ["run", "phantom", *overrides(cache, *TINY, "embed.epochs=30", "tracking.wandb=offline")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def started(*more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "contrastive_cxr", *words, "--out", str(out), *more], cwd=ROOT, text=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment,
        )  # fmt: skip

    process = started()
    limit = time.monotonic() + 600
    while not (out / "embed" / "checkpoints" / "last.ckpt").exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < limit
        time.sleep(0.02)
    ballast = disk.fill()
    _, said = process.communicate(timeout=600)
    assert process.returncode == 1, said
    error = said[said.index("error: ") :]
    assert re.match(r"error: cannot write '.*No space left on device", error)
    assert error.count("\n") == 1
    assert "Traceback" not in said
    checkpoint.load(out / "embed" / "checkpoints" / "last.ckpt")
    with suppress(FileNotFoundError):
        ballast.unlink()
    again = started("--resume")
    _, said = again.communicate(timeout=900)
    assert again.returncode == 0, said
    assert (out / "report.html").is_file()
