"""The cache: what it decodes, what it finds, and what is left of it when something stops it."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from contrastive_cxr import locks
from contrastive_cxr.data.cache import LISTED, build
from contrastive_cxr.data.decoding.decode import decode, fit_square
from contrastive_cxr.data.manifest import Manifest
from contrastive_cxr.errors import CcxrError, RequestError
from contrastive_cxr.recipe.schema import Data, Intensity
from contrastive_cxr.spread import Here

COUNT = 12


def _manifest(root: Path, paths: Sequence[str]) -> Manifest:
    columns = {"path": list(paths), "root": str(root), "label": "a", "patient": "", "split": "", "source": "here"}
    return Manifest(pd.DataFrame(columns))


def _paint(path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(20, 60, 2))
    Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(COUNT):
        _paint(folder / f"{number:02}.png", number)
    return folder


@pytest.fixture
def manifest(root: Path) -> Manifest:
    return _manifest(root, sorted(os.listdir(root)))


@pytest.fixture
def data(tmp_path: Path) -> Data:
    return Data(cache_dir=tmp_path / "caches", cache_size=32, workers=2)


def test_squares_and_facts_follow_the_manifest(manifest: Manifest, data: Data, root: Path) -> None:
    cache = build(manifest, data)
    assert cache.rows_decoded == COUNT
    squares = cache.take(np.arange(COUNT))
    assert squares.shape == (COUNT, 1, 32, 32)
    for row, path in enumerate(manifest.rows["path"]):
        grey, facts = decode(root / path, data)
        square, box = fit_square(grey, 32, "pad")
        assert np.array_equal(squares[row, 0], square)
        line = cache.facts.iloc[row]
        assert (line.format, line["mode"], line.width, line.height) == ("PNG", "L", facts.width, facts.height)
        assert (line.bytes, line.digest, line.error) == (os.path.getsize(root / path), facts.digest, "")
        assert (line.pad_left, line.pad_top, line.pad_right, line.pad_bottom) == box


def test_a_second_build_decodes_nothing_in_any_order(manifest: Manifest, data: Data) -> None:
    first = build(manifest, data)
    backwards = manifest.take(np.arange(COUNT)[::-1].copy())
    calls: list[tuple[int, int]] = []
    second = build(backwards, data, lambda done, todo: calls.append((done, todo)))
    assert second.rows_decoded == 0
    assert calls == []
    assert second.folder == first.folder
    assert np.array_equal(second.take(np.arange(COUNT)), first.take(np.arange(COUNT)[::-1]))
    assert second.facts.digest.tolist() == first.facts.digest.tolist()[::-1]


def test_a_changed_file_costs_one_decode(manifest: Manifest, data: Data, root: Path) -> None:
    before = build(manifest, data)
    old = before.take(np.arange(COUNT))
    _paint(root / "03.png", 99)
    after = build(manifest, data)
    assert after.rows_decoded == 1
    new = after.take(np.arange(COUNT))
    assert [row for row in range(COUNT) if not np.array_equal(old[row], new[row])] == [3]
    assert after.facts.digest[3] != before.facts.digest[3]
    # A reader that is still at work sees what it saw.
    assert np.array_equal(before.take(np.arange(COUNT)), old)
    assert build(manifest, data).rows_decoded == 0


def test_new_rows_append(manifest: Manifest, data: Data) -> None:
    assert build(manifest.take(np.arange(5)), data).rows_decoded == 5
    assert build(manifest, data).rows_decoded == COUNT - 5


@pytest.mark.parametrize(
    "change",
    [
        {"cache_size": 48},
        {"resize": "stretch"},
        {"border_crop": 0.1},
        {"denoise": "median"},
        {"equalise": "clahe"},
        {"intensity": Intensity(kind="min-max")},
    ],
)
def test_a_changed_setting_decodes_all(manifest: Manifest, data: Data, change: dict[str, object]) -> None:
    build(manifest, data)
    changed = data.model_copy(update=change)
    assert build(manifest, changed).rows_decoded == COUNT
    assert build(manifest, data).rows_decoded == 0


def test_what_moves_no_pixel_decodes_nothing(manifest: Manifest, data: Data) -> None:
    build(manifest, data)
    same = {"workers": 1, "on_bad_image": "skip", "intensity": Intensity(low=3)}
    assert build(manifest, data.model_copy(update=same)).rows_decoded == 0


def test_an_interrupted_build_goes_on(manifest: Manifest, data: Data) -> None:
    def stop(done: int, todo: int) -> None:
        assert todo == COUNT
        if done == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(manifest, data, stop)
    cache = build(manifest, data)
    assert cache.rows_decoded == COUNT - 7
    clean = build(manifest, data.model_copy(update={"cache_dir": cache.folder / "other"}))
    assert np.array_equal(cache.take(np.arange(COUNT)), clean.take(np.arange(COUNT)))


def test_squares_cut_from_the_file_are_made_again(manifest: Manifest, data: Data) -> None:
    cache = build(manifest, data)
    whole = cache.take(np.arange(COUNT))
    os.truncate(cache.folder / "images.u8", 9 * 32 * 32 + 100)
    again = build(manifest, data)
    assert again.rows_decoded == COUNT - 9
    assert np.array_equal(again.take(np.arange(COUNT)), whole)


def test_copies_share_a_square(root: Path, data: Data) -> None:
    (root / "copy.png").write_bytes((root / "00.png").read_bytes())
    cache = build(_manifest(root, ["00.png", "01.png", "copy.png", "00.png"]), data)
    assert cache.slots.tolist() == [0, 1, 0, 0]
    assert cache.images.shape == (2, 1, 32, 32)
    assert cache.rows_decoded == 3


def test_bad_images_are_refused_by_name_and_the_good_kept(manifest: Manifest, data: Data, root: Path) -> None:
    (root / "02.png").write_text("not an image")
    (root / "05.png").write_bytes(b"")
    (root / "07.png").unlink()
    with pytest.raises(RequestError) as caught:
        build(manifest, data)
    head, *lines = caught.value.faults
    assert head.startswith("3 image(s) cannot be read")
    assert "on_bad_image=skip" in head
    assert [line.split(": ", 1)[0] for line in lines] == [str(root / name) for name in ("02.png", "05.png", "07.png")]
    assert "is empty" in lines[1]
    assert "does not exist" in lines[2]
    cache = build(manifest, data.model_copy(update={"on_bad_image": "skip"}))
    assert cache.rows_decoded == 0
    assert np.flatnonzero(cache.slots < 0).tolist() == [2, 5, 7]
    assert np.flatnonzero(cache.facts.error != "").tolist() == [2, 5, 7]
    assert cache.facts.error[5] == "is empty (0 bytes)"
    assert cache.take(np.array([0, 1, 3])).shape == (3, 1, 32, 32)
    with pytest.raises(ValueError, match=r"rows \[5\] have no image"):
        cache.take(np.array([4, 5]))


def test_many_bad_images_are_counted(root: Path, data: Data) -> None:
    with pytest.raises(RequestError) as caught:
        build(_manifest(root, [f"gone{number}.png" for number in range(LISTED + 4)]), data)
    assert len(caught.value.faults) == LISTED + 2
    assert caught.value.faults[-1] == "and 4 more"


def test_nothing_to_cache(root: Path, data: Data) -> None:
    cache = build(_manifest(root, []), data)
    assert cache.images.shape == (0, 1, 32, 32)
    assert len(cache.facts) == 0
    assert cache.take(np.arange(0)).shape == (0, 1, 32, 32)


def test_wrong_requests_are_said_before_the_work(manifest: Manifest, data: Data, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RequestError, match="cache_dir"):
        build(manifest, data.model_copy(update={"cache_dir": tmp_path / "file"}))
    with pytest.raises(RequestError, match="not below"):
        build(manifest, data.model_copy(update={"intensity": Intensity(kind="window", low=2, high=1)}))


def test_too_small_a_disk_is_said_before_the_work(
    manifest: Manifest, data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("contrastive_cxr.data.cache.shutil.disk_usage", lambda folder: small)
    with pytest.raises(RequestError, match="GB free"):
        build(manifest, data)


def test_a_damaged_table_is_said(manifest: Manifest, data: Data) -> None:
    folder = build(manifest, data).folder
    (folder / "index.sqlite").write_bytes(b"no table" * 500)
    with pytest.raises(CcxrError, match="delete the folder"):
        build(manifest, data)


def test_a_disk_that_is_full_is_an_error_and_the_next_build_goes_on(manifest: Manifest, data: Data) -> None:
    larger = data.model_copy(update={"cache_size": 64})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (6 * 4096 + 1000, before[1]))  # the seventh square does not fit
        with pytest.raises(CcxrError, match="cannot be written"):
            build(manifest, larger)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    cache = build(manifest, larger)
    assert cache.rows_decoded == COUNT - 6
    clean = build(manifest, larger.model_copy(update={"cache_dir": cache.folder / "other"}))
    assert np.array_equal(cache.take(np.arange(COUNT)), clean.take(np.arange(COUNT)))


def test_a_second_process_says_for_whom_it_waits(
    manifest: Manifest, data: Data, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The second is a thread of this process that is told to forget that it holds the lock."""
    folder = build(manifest.take(np.arange(2)), data).folder
    found: list[int] = []
    second = threading.Thread(target=lambda: found.append(build(manifest, data).rows_decoded))
    with locks.held(folder / locks.NAME, "the cache"):
        locks._held.clear()
        second.start()
        limit = time.monotonic() + 60
        while "waiting for" not in caplog.text and time.monotonic() < limit:
            time.sleep(0.01)
        assert not found
    second.join()
    assert found == [COUNT - 2]
    assert f"waiting for the image cache {folder}" in caplog.text
    assert f"in use by process {os.getpid()} on " in caplog.text


# A process of its own, as forking the one that runs the tests, and its threads, would not be safe.
PROGRAM = """
import multiprocessing, sys
import pandas as pd
from pathlib import Path
from contrastive_cxr.data.cache import build
from contrastive_cxr.data.manifest import Manifest
from contrastive_cxr.recipe.schema import Data

def decoded(number):
    return build(Manifest(pd.read_csv(sys.argv[1])), Data(cache_dir=Path(sys.argv[2]), cache_size=32)).rows_decoded

with multiprocessing.get_context("fork").Pool(2) as pool:
    print(*pool.map(decoded, range(2), chunksize=1))
"""


def test_two_processes_decode_each_image_once(manifest: Manifest, data: Data, tmp_path: Path) -> None:
    manifest.rows.to_csv(tmp_path / "rows.csv", index=False)
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "rows.csv"), str(data.cache_dir)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    assert sorted(map(int, done.stdout.split())) == [0, COUNT]
    assert build(manifest, data).rows_decoded == 0


def test_who_decodes_makes_no_difference(
    manifest: Manifest, data: Data, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("contrastive_cxr.data.cache.CALL", 5)
    (root / "05.png").write_bytes(b"no picture")
    lenient = data.model_copy(update={"on_bad_image": "skip"})
    one = build(manifest, lenient)
    other = build(manifest, lenient.model_copy(update={"cache_dir": tmp_path / "others"}), spread=Here())
    np.testing.assert_array_equal(other.slots, one.slots)
    np.testing.assert_array_equal(other.images, one.images)
    pd.testing.assert_frame_equal(other.facts, one.facts)
    assert (one.slots < 0).sum() == 1
