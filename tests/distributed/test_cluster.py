"""A real Ray cluster of two workers: the same results as one process, and what is killed is begun again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from contrastive_cxr import __version__
from contrastive_cxr.data import phantom
from contrastive_cxr.datasets.audit import audit
from contrastive_cxr.distributed import connected
from contrastive_cxr.distributed.stream import Work
from contrastive_cxr.errors import CcxrError, RequestError
from contrastive_cxr.inference.encode import encode
from contrastive_cxr.inference.gallery import index
from contrastive_cxr.inference.predict import predict
from contrastive_cxr.inference.vector_scores import neighbour_scores
from contrastive_cxr.spread import Engine
from tests.distributed.conftest import ours, started, variables
from tests.distributed.work import Same, deadly, halves, refusing, total

pytestmark = pytest.mark.slow
IMAGES = 240
SIZE = {"batch_size": 4, "part_images": 16}
Head = tuple[str, str]


@pytest.fixture(scope="module")
def painted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Phantoms in class folders, some of them twice."""
    root = tmp_path_factory.mktemp("painted")
    phantom.paint(root, IMAGES, 3)
    for row in pd.read_csv(root / "labels.csv").itertuples():
        (root / "classes" / row.label).mkdir(parents=True, exist_ok=True)
        (root / row.file).rename(root / "classes" / row.label / Path(row.file).name)
    for number, path in enumerate(sorted(root.rglob("*.png"))[:12]):
        pixels = np.asarray(Image.open(path))
        turned = pixels[:, ::-1] if number % 2 else pixels[4:, :-3]
        Image.fromarray(turned).save(path.with_name(f"copy-{path.name}"))
    return root / "classes"


@pytest.fixture
def engine(head: Head) -> Engine:
    return Engine("ray", head[0])


def vectors(folder: Path) -> np.ndarray:
    return np.stack(pd.read_parquet(folder)["vector"])


def test_encode_gives_what_one_process_gives(finished: Path, painted: Path, engine: Engine, tmp_path: Path) -> None:
    encode(finished, painted, tmp_path / "one", **SIZE)
    encode(finished, painted, tmp_path / "ray", engine=engine, **SIZE)
    one, ray = (pd.read_parquet(tmp_path / name) for name in ("one", "ray"))
    pd.testing.assert_frame_equal(one.drop(columns="vector"), ray.drop(columns="vector"))
    np.testing.assert_allclose(vectors(tmp_path / "one"), vectors(tmp_path / "ray"), atol=1e-6)
    records = [json.loads((tmp_path / name / "_encoding.json").read_text()) for name in ("one", "ray")]
    assert records[0] == records[1]
    found, classes = neighbour_scores(tmp_path / "ray", engine=engine, memory=4 * len(ray) * 50)
    assert classes == tuple(sorted(phantom.CLASSES))
    assert found.values == neighbour_scores(tmp_path / "ray")[0].values


def test_an_array_a_gallery_and_predictions(finished: Path, painted: Path, engine: Engine, tmp_path: Path) -> None:
    for name, each in (("one", Engine()), ("ray", engine)):
        encode(finished, "test", tmp_path / f"{name}.npy", engine=each)
        index(finished, str(painted), tmp_path / f"gallery-{name}", engine=each)
        predict(finished, painted, tmp_path / f"said-{name}.csv", engine=each)
    np.testing.assert_allclose(np.load(tmp_path / "one.npy"), np.load(tmp_path / "ray.npy"), atol=1e-6)
    assert (tmp_path / "one.csv").read_text().splitlines()[0] == (tmp_path / "ray.csv").read_text().splitlines()[0]
    one, ray = (pd.read_csv(tmp_path / f"said-{name}.csv") for name in ("one", "ray"))
    pd.testing.assert_frame_equal(one, ray, atol=1e-5)
    left, right = (np.load(tmp_path / f"gallery-{name}" / "vectors.npy") for name in ("one", "ray"))
    np.testing.assert_allclose(left, right, atol=1e-6)
    assert (tmp_path / "gallery-one" / "rows.csv").read_bytes() == (tmp_path / "gallery-ray" / "rows.csv").read_bytes()
    assert not list(tmp_path.glob("*.parts")), "what was between is gone"


def test_the_audit_finds_the_same(finished: Path, painted: Path, engine: Engine, tmp_path: Path) -> None:
    said = []
    for name, each in (("one", Engine()), ("ray", engine)):
        settings = [f"data.cache_dir={tmp_path / name}", "data.cache_size=128"]
        facts = audit([painted], tmp_path / f"audit-{name}", settings, run=finished, engine=each)
        said.append({key: value for key, value in facts.items() if key != "command"})
    assert said[0] == said[1]
    assert said[0]["counts"]["groups"] >= 10


def test_killed_workers_are_replaced(finished: Path, painted: Path, head: Head, tmp_path: Path) -> None:
    out, killed, left = tmp_path / "ray", [], threading.Event()

    def kill() -> None:
        titles = ["ray::MapWorker", "ray::Map(prepared)"]
        while titles and not left.wait(0.01):
            for title in list(titles):
                for number in ours(head[1], title)[:1]:
                    with suppress(ProcessLookupError):
                        os.kill(number, signal.SIGKILL)
                        killed.append((title, len(list(out.glob("parts/*.parquet")))))
                        titles.remove(title)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        encode(finished, painted, out, engine=Engine("ray", head[0]), **SIZE)
    finally:
        left.set()
        killer.join()
    assert {title for title, _ in killed} == {"ray::MapWorker", "ray::Map(prepared)"}
    assert all(parts < 16 for _, parts in killed), "in the middle"
    whole(out, finished, painted, tmp_path)


def whole(out: Path, run: Path, painted: Path, tmp_path: Path) -> None:
    """Every image once, and the vectors of one process."""
    files = pd.read_parquet(out)["file"]
    assert sorted(files) == sorted(map(str, painted.rglob("*.png")))
    encode(run, painted, tmp_path / "one", **SIZE)
    np.testing.assert_allclose(vectors(out), vectors(tmp_path / "one"), atol=1e-6)


def test_a_killed_command_is_gone_on_with(finished: Path, painted: Path, head: Head, tmp_path: Path) -> None:
    out = tmp_path / "ray"
    code = (
        "import sys\nfrom pathlib import Path\nfrom contrastive_cxr.inference.encode import encode\n"
        "from contrastive_cxr.spread import Engine\nrun, painted, out, address = sys.argv[1:]\n"
        f"encode(Path(run), Path(painted), Path(out), engine=Engine('ray', address), **{SIZE})\n"
    )
    driver = subprocess.Popen([sys.executable, "-c", code, finished, painted, out, head[0]], env=variables())
    until = time.monotonic() + 300
    while not list(out.glob("parts/*.parquet")):
        assert driver.poll() is None
        assert time.monotonic() < until
        time.sleep(0.005)
    driver.kill()
    driver.wait()
    kept = {path.name: path.stat().st_mtime_ns for path in out.glob("parts/*.parquet")}
    assert 0 < len(kept) < 16
    encode(finished, painted, out, engine=Engine("ray", head[0]), **SIZE)
    assert {name: (out / "parts" / name).stat().st_mtime_ns for name in kept} == kept
    whole(out, finished, painted, tmp_path)


def test_a_job_that_ends_every_worker_is_given_up(engine: Engine) -> None:
    with connected(engine) as cluster, pytest.raises(CcxrError, match=r"workers died 5 times at 2: out of memory"):
        list(cluster.streamed([1, 2, 3], Work(deadly, Same)))


def test_nothing_of_a_stream_outlives_its_cluster(engine: Engine) -> None:
    before = set(threading.enumerate())
    with connected(engine) as cluster:
        left = cluster.streamed(range(40), Work(abs, Same))
        next(left)
    assert list(left) == [], "closed"
    assert set(threading.enumerate()) <= before, "a thread of Ray Data would connect to a cluster again"
    with connected(engine) as cluster, pytest.raises(CcxrError) as kept:
        list(cluster.streamed([4, 5], Work(refusing, Same)))
    assert kept.value.__traceback__ is not None, "the frames of the stream live on"
    assert set(threading.enumerate()) <= before


def test_calls_come_back_in_order_and_errors_as_they_are(engine: Engine) -> None:
    with connected(engine) as cluster:
        assert cluster.workers == 2
        assert list(cluster.results(refusing, ((job,) for job in [3, 1, 2] * 9))) == [-3, -1, -2] * 9
        kept = cluster.kept(halves, [(1,), (2,), (3,)], parts=2)
        assert list(cluster.results(total, zip(*kept, strict=True))) == [6, 60]
        with pytest.raises(RequestError, match="the fifth is wrong"):
            list(cluster.results(refusing, ((job,) for job in range(9))))


def test_workers_of_another_version_are_refused_by_name(finished: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    fake = tmp_path / "fake" / "contrastive_cxr"
    fake.mkdir(parents=True)
    (fake / "__init__.py").write_text("__version__ = '0.0.9'\n")
    with started(variables(fake.parent)) as (address, _):
        words = ["encode", finished, "test", "--out", "out", "--engine", "ray", "--address", address]
        command = [sys.executable, "-m", "contrastive_cxr", *map(str, words)]
        done = subprocess.run(command, cwd=tmp_path, env=variables(), capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert f"has ccxr 0.0.9, and this command is ccxr {__version__}" in " ".join(done.stderr.split())
    assert not (tmp_path / "out").exists()


def test_a_cluster_of_its_own_is_started_and_ended(finished: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    code = (
        "import sys\nfrom pathlib import Path\nfrom contrastive_cxr.inference.encode import encode\n"
        "from contrastive_cxr.spread import Engine\n"
        "encode(Path(sys.argv[1]), 'test', Path(sys.argv[2]), engine=Engine('ray'))\n"
    )
    mark = {"CCXR_TEST_CLUSTER": "own-" + tmp_path.name}
    environment = {**variables(), **mark}
    done = subprocess.run([sys.executable, "-c", code, finished, tmp_path / "ray"], env=environment, check=False)
    assert done.returncode == 0
    assert (tmp_path / "ray" / "parts" / "part-000000.parquet").is_file()
    assert ours(mark["CCXR_TEST_CLUSTER"]) == []
