"""Parts that workers fill, by a cluster of one: the steps are called here, and their results come in any order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from contrastive_cxr.distributed.stream import Work
from contrastive_cxr.errors import CcxrError, RequestError
from contrastive_cxr.inference import shards, spread_parts
from contrastive_cxr.inference.encode import encode
from contrastive_cxr.inference.image_sources import pictures_of
from contrastive_cxr.inference.predict import classifiers_of
from contrastive_cxr.retrieval import EmbeddingModel, spread_model
from contrastive_cxr.retrieval.spread_model import Encoder, Predictor, Sent

pytest.importorskip("pyarrow")


@dataclass
class One:
    """Both steps in this process, the last job first; it may stop after some."""

    stop_after: int = 10**9
    cpus: int = 1
    gpus: int = 0
    jobs: int = 0

    def streamed(self, jobs: Sequence[Any], work: Work) -> Iterator[Any]:
        step = work.finish(*work.arguments)
        for job in reversed(jobs):
            if self.jobs == self.stop_after:
                raise CcxrError("Ray gave up")
            self.jobs += 1
            yield step(work.prepare(job))


@pytest.fixture
def painted(finished: Path) -> Path:
    return Path(str(pd.read_csv(finished / "manifest.csv", dtype=str)["root"].iloc[0]))


def filled(cluster: Any, run: Path, source: str | Path, out: Path, part_images: int = 16) -> shards.Record:
    model = EmbeddingModel.load(run)
    pictures = pictures_of(run, source, model.settings)
    record = shards.planned(pictures, model.digest, model.size, part_images)
    shards.begin(out, record)
    assert model.folder is not None
    sent = Sent.of(model.folder, "32-true")
    spread_parts.fill(cluster, out, record, pictures, Encoder, sent, "cpu", 8)
    shards.finish(out, record)
    return record


@pytest.mark.parametrize("source", ["files", "all", "test"])
def test_the_parts_are_those_of_one_process_byte_for_byte(
    finished: Path, painted: Path, tmp_path: Path, source: str
) -> None:
    place = painted if source == "files" else source
    encode(finished, place, tmp_path / "one", batch_size=8, part_images=16)
    filled(One(), finished, place, tmp_path / "spread")
    names = sorted(path.name for path in (tmp_path / "one" / "parts").iterdir())
    assert sorted(path.name for path in (tmp_path / "spread" / "parts").iterdir()) == names
    for name in names:
        left, right = (pd.read_parquet(tmp_path / each / "parts" / name) for each in ("one", "spread"))
        pd.testing.assert_frame_equal(left.drop(columns="vector"), right.drop(columns="vector"))
        np.testing.assert_allclose(np.stack(left["vector"]), np.stack(right["vector"]), atol=1e-6)
    assert shards.read(tmp_path / "one") == shards.read(tmp_path / "spread")


def test_what_is_written_is_not_done_again_by_either_engine(finished: Path, painted: Path, tmp_path: Path) -> None:
    out, again = tmp_path / "out", One()
    with pytest.raises(CcxrError, match="gave up"):
        filled(One(stop_after=5), finished, painted, out)  # of 60 images in parts of 16 the last two
    kept = sorted(path.name for path in (out / "parts").iterdir())
    assert kept == ["part-000002.parquet", "part-000003.parquet"]
    stamps = {name: (out / "parts" / name).stat().st_mtime_ns for name in kept}
    filled(again, finished, painted, out)
    assert again.jobs == 4
    assert {name: (out / "parts" / name).stat().st_mtime_ns for name in kept} == stamps
    files = pd.read_parquet(out)["file"]
    assert len(files) == len(set(files)) == 60
    other = tmp_path / "other"
    with pytest.raises(CcxrError, match="gave up"):
        filled(One(stop_after=5), finished, painted, other)
    encode(finished, painted, other, batch_size=8, part_images=16)
    record = shards.read(other)
    assert record is not None
    assert record.complete
    np.testing.assert_allclose(
        spread_parts.some(other, record, 0, record.images), spread_parts.some(out, record, 0, record.images), atol=1e-6
    )


def test_probabilities_are_those_of_the_model(finished: Path, painted: Path) -> None:
    models = [EmbeddingModel.load(phase) for phase in classifiers_of(finished)] * 2
    files = sorted(str(path) for path in painted.rglob("*.png"))[:20]
    folders = [model.folder for model in models if model.folder is not None]
    step = Predictor([Sent.of(folder, "32-true") for folder in folders], "cpu")
    job = spread_model.Job(0, spread_model.FilePiece(files, models[0].settings))
    found = step(spread_model.decoded(job))
    wanted = np.mean([model.predict(files, tta=model.card["tta"]) for model in models], axis=0)
    assert found.values is not None
    np.testing.assert_allclose(found.values, wanted, atol=1e-6)


def test_unreadable_images_are_named_and_nothing_is_written(finished: Path, tmp_path: Path, painted: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for number, path in enumerate(sorted(painted.rglob("*.png"))[:20]):
        (folder / f"{number:02d}.png").write_bytes(path.read_bytes() if number not in (17, 19) else b"no picture")
    with pytest.raises(RequestError) as error:
        filled(One(), finished, folder, tmp_path / "out")
    assert [fault.partition(":")[0] for fault in error.value.faults] == [str(folder / "17.png"), str(folder / "19.png")]
    assert not list((tmp_path / "out").glob("parts/*"))


def test_a_working_folder_is_taken_up_for_the_same_work_and_begun_anew_for_other(tmp_path: Path) -> None:
    place = spread_parts.working(tmp_path / "said.csv")
    assert place.name == "said.csv.parts"
    record = shards.Record(model="a", source="b", images=4, dimensions=2, part_images=4)
    spread_parts.begin_working(place, record)
    spread_parts.begin_working(place, record)
    (place / "parts").mkdir()
    (place / "parts" / "part-000000.parquet").write_bytes(b"")
    spread_parts.begin_working(place, record)
    assert (place / "parts" / "part-000000.parquet").is_file()
    spread_parts.begin_working(place, record.model_copy(update={"source": "c"}))
    assert not (place / "parts" / "part-000000.parquet").is_file()
    spread_parts.drop_working(place)
    assert not place.exists()


def test_the_names_of_a_job_are_said(finished: Path) -> None:
    settings = EmbeddingModel.load(finished).settings
    job = spread_model.Job(64, spread_model.FilePiece(["a.png", "b.png"], settings, 64))
    assert str(job) == "images 64 to 65 (a.png to b.png)"
    assert str(spread_model.decoded(job)) == str(job)
