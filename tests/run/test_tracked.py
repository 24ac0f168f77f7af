"""Both trackers are told the same, and each is read back from its real files."""

from __future__ import annotations

import csv
import io
import json
import logging
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from contrastive_cxr.recipe import schema
from contrastive_cxr.run import tensorboard_events, tracking
from contrastive_cxr.run.tracked import Case, DataFacts, Embedded, GalleryFacts, Scored, strip
from contrastive_cxr.run.tracking import Tracker
from tests.run import read_back

pytest.importorskip("wandb")
pytest.importorskip("tensorboard")
BOTH = schema.Tracking(to=("wandb", "tensorboard"))
LABELS = np.array([0, 0, 0, 1, 1])
GIVEN = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.4, 0.6], [0.1, 0.9]])
VECTORS = np.eye(5, 3, dtype=np.float32)
PICTURE = np.arange(64, dtype=np.uint8).reshape(8, 8)
SCORED = Scored(
    classes=("ill", "well"),
    files=[f"p{number}|x.png" for number in range(5)],
    labels=LABELS,
    probabilities=GIVEN,
    confusion=[[2, 1], [0, 2]],
    roc={"well": [[0.0, 0.5], [0.3333, 1.0], [1.0, 1.0]]},
    cases=[
        Case(2, PICTURE, np.stack([PICTURE + 1, PICTURE + 2]), ["well", "ill"], [0.25, 0.5]),
        Case(0, PICTURE, np.empty((0, 8, 8), np.uint8), [], []),
    ],
    embedded=Embedded(np.array([0, 2, 4]), VECTORS[[0, 2, 4]], np.stack([PICTURE] * 3)),
)
DATA = DataFacts(
    "ab" * 32, {"train": {"ill": 2}, "val": {"ill": 1, "well": 2}}, [("d1", "a,b", "train"), ("d2", "ill", "val")]
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder after two sittings, the second of which is told the first rows again."""
    out = tmp_path_factory.mktemp("run")
    phase = out / "embed"
    phase.mkdir()
    (phase / "model.safetensors").write_bytes(os.urandom(1000))
    (phase / "model.json").write_text(json.dumps({"sha256": "cd" * 32, "backbone": "cnn3"}))
    Image.fromarray(PICTURE).save(out / "augmentation-xray.png")
    first = Tracker.open({"name": "x", "seed": 3}, out, BOTH)
    first.data(DATA)
    first.picture("augmentation-xray", out / "augmentation-xray.png")
    for step in (1, 2):
        first.log("pretrain", step, {"step/loss": step / 10, "step/none": None})
    first.close()
    again = Tracker.open({"name": "x", "seed": 3}, out, BOTH, resume=True)
    again.replay("pretrain", [{"epoch": 1, "step": step, "split": "step", "loss": step / 10} for step in (1, 2, 3)])
    again.data(DATA)
    again.model(phase)
    again.log("evaluation", 0, {"auc": 0.75})
    again.scores(lambda: SCORED)
    again.gallery(GalleryFacts("near", "cd" * 32, 7, "exact", {"ill": 4, "well": 3}))
    again.close()
    return out


def test_tensorboard_has_each_value_once_over_its_steps(folder: Path) -> None:
    found = read_back.events(folder)
    losses = [(event.step, round(event.value, 6)) for event in found.Scalars("pretrain/step/loss")]
    assert losses == [(1, 0.1), (2, 0.2), (3, 0.3)]
    assert [event.value for event in found.Scalars("evaluation/auc")] == [0.75]
    assert all(np.isnan(event.value) for event in found.Scalars("pretrain/step/none"))


def test_tensorboard_has_confusion_curves_cases_and_records(folder: Path) -> None:
    found = read_back.events(folder)
    assert "| ill | 2 | 1 |\n| well | 0 | 2 |" in read_back.text(found, "evaluation/confusion")
    roc = [(event.step, round(event.value, 4)) for event in found.Scalars("evaluation/roc/well")]
    assert roc == [(0, 0.5), (333, 1.0), (1000, 1.0)]
    words = read_back.text(found, "evaluation/cases")
    assert r"| p2\|x.png | ill | well | 0.700 | well 0.250, ill 0.500 |" in words
    (sheet,) = found.Images("evaluation/cases")
    pixels = np.asarray(Image.open(io.BytesIO(sheet.encoded_image_string)).convert("L"))
    assert pixels.shape == (20, 28)
    np.testing.assert_array_equal(pixels[:8, :8], PICTURE)
    np.testing.assert_array_equal(pixels[:8, 20:], PICTURE + 2)
    assert (pixels[10:18, 8:] == 255).all(), "a case without neighbours"
    (shown,) = found.Images("augmentation-xray")
    assert (shown.width, shown.height) == (8, 8)
    assert "ab" * 32 in read_back.text(found, "data")
    assert "cd" * 32 in read_back.text(found, "model/embed")
    assert json.loads(read_back.text(found, "gallery/near").strip("`\n"))["labels"] == {"ill": 4, "well": 3}
    assert '"seed": 3' in read_back.text(found, "recipe")


def test_tensorboards_pr_curve_is_that_of_a_loop(folder: Path) -> None:
    """Its tensor: a column a threshold, rows of true and false positives and negatives, precision, recall."""
    from tensorboard.util import tensor_util

    (event,) = read_back.events(folder).Tensors("evaluation/pr/well")
    table = tensor_util.make_ndarray(event.tensor_proto)
    thresholds = np.linspace(0, 1, table.shape[1])
    place = int(np.searchsorted(thresholds, 0.65))
    chosen = GIVEN[:, 1] >= thresholds[place]
    true, false = int((chosen & (LABELS == 1)).sum()), int((chosen & (LABELS == 0)).sum())
    assert (true, false) == (1, 1)
    np.testing.assert_allclose(table[:, place], [true, false, 2, 1, 0.5, 0.5])


def test_tensorboards_projector_has_vectors_words_and_pictures(folder: Path) -> None:
    (words,) = (folder / "tensorboard").rglob("metadata.tsv")
    rows = list(csv.reader(words.read_text().splitlines(), delimiter="\t"))
    assert rows[0] == ["class", "predicted", "file"]
    assert rows[1:] == [["ill", "ill", "p0|x.png"], ["ill", "well", "p2|x.png"], ["well", "well", "p4|x.png"]]
    np.testing.assert_array_equal(np.loadtxt(words.parent / "tensors.tsv"), VECTORS[[0, 2, 4]])
    with Image.open(words.parent / "sprite.png") as sprite:
        assert sprite.size == (16, 16), "three pictures of 8 pixels, two a row"
    assert "metadata.tsv" in (folder / "tensorboard" / "projector_config.pbtxt").read_text()


def test_wandb_has_curves_and_tables(folder: Path) -> None:
    found = read_back.wandb_records(folder)
    values = read_back.logged(found)
    cases, files = read_back.table_with_pictures(found, "evaluation/cases")
    assert cases["columns"][:4] == ["file", "image", "class", "predicted"]
    row = dict(zip(cases["columns"], cases["data"][0], strict=True))
    assert (row["file"], row["class"], row["predicted"], row["p_well"]) == ("p2|x.png", "ill", "well", 0.7)
    assert (row["neighbour classes"], row["distances"]) == ("well, ill", "0.250, 0.500")
    pictures = {name: np.asarray(Image.open(files[row[name]["path"]]).convert("L")) for name in ("image", "neighbours")}
    np.testing.assert_array_equal(pictures["image"], PICTURE)
    np.testing.assert_array_equal(pictures["neighbours"], strip([PICTURE + 1, PICTURE + 2]))
    assert cases["data"][1][cases["columns"].index("neighbours")] is None
    vectors = read_back.table(folder, values["evaluation/embedding"])
    assert [line[:3] for line in vectors["data"]][1] == ["p2|x.png", "ill", "well"]
    np.testing.assert_array_equal([line[3:] for line in vectors["data"]], VECTORS[[0, 2, 4]])
    confusion = read_back.table(folder, values["evaluation/confusion_table"])
    counts = {(line[0], line[1]): line[2] for line in confusion["data"]}
    assert counts == {("ill", "ill"): 2, ("ill", "well"): 1, ("well", "ill"): 0, ("well", "well"): 2}
    roc = read_back.table(folder, values["evaluation/roc_table"])
    assert {line[0] for line in roc["data"]} == {"ill", "well"}
    assert [0.0, 0.5] in [line[1:3] for line in roc["data"] if line[0] == "well"]
    pr = read_back.table(folder, values["evaluation/pr_table"])
    assert pr["columns"] == ["class", "precision", "recall"]
    at_full_recall = [line[1] for line in pr["data"] if line[0] == "well" and line[2] == 1.0]
    assert max(at_full_recall) == pytest.approx(2 / 3, abs=0.001), "the two, and one that is ill"


def test_wandbs_artifacts_name_data_run_model_and_gallery(folder: Path) -> None:
    found = read_back.artifacts(read_back.wandb_records(folder))
    identity = json.loads((folder / "wandb.json").read_text())["id"]
    data = "data-" + ("ab" * 32)[:12]
    assert {name: each.type for name, each in found.items() if each.type != "run_table"} == {
        data: "dataset",
        f"{identity}-embed": "model",
        f"{identity}-gallery-near": "gallery",
    }
    lineage = json.loads(found[f"{identity}-embed"].metadata)
    assert lineage == {"run": identity, "data": data, "phase": "embed", "sha256": "cd" * 32}
    near = json.loads(found[f"{identity}-gallery-near"].metadata)
    assert near == {"run": identity, "model_sha256": "cd" * 32, "images": 7, "kind": "exact"}
    (entry,) = found[data].manifest.contents
    assert Path(entry.local_path).read_text() == 'digest,class,split\nd1,"a,b",train\nd2,ill,val\n'
    assert json.loads(found[data].metadata)["counts"] == DATA.counts


def test_one_tracker_fails_and_the_other_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "tensorboard").write_text("a file where TensorBoard needs a folder")
    with caplog.at_level(logging.WARNING):
        tracker = Tracker.open({"name": "x"}, tmp_path, BOTH)
        tracker.log("pretrain", 1, {"loss": 1.0})
        tracker.log("pretrain", 2, {"loss": 2.0})
        tracker.close()
    said = [record.message for record in caplog.records if record.name == tracking.__name__]
    assert [text.split("(")[0] for text in said] == ["TensorBoard failed "]
    assert read_back.logged(read_back.wandb_records(tmp_path))["pretrain/loss"] == 2.0


def test_without_the_package_one_sentence_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tracking.importlib.util, "find_spec", lambda name: None)
    with caplog.at_level(logging.WARNING):
        tracker = Tracker.open({}, tmp_path, schema.Tracking(to=("tensorboard",)))
    assert not tracker.active
    tracker.close()
    assert [record.message for record in caplog.records] == [
        "TensorBoard is not installed (pip install 'contrastive_cxr[tensorboard]'); going on without it"
    ]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [{"to": ()}, {"to": ("wandb",), "wandb": "off"}])
def test_no_tracker_writes_nothing(words: dict[str, object], tmp_path: Path) -> None:
    tracker = Tracker.open({}, tmp_path, schema.Tracking.model_validate(words))
    tracker.scores(lambda: SCORED)
    tracker.close()
    assert not tracker.active
    assert list(tmp_path.iterdir()) == []


def test_a_killed_sittings_rows_are_written_again(tmp_path: Path) -> None:
    """The event file is cut inside its last record, as a killed process leaves it."""
    only = schema.Tracking(to=("tensorboard",))
    first = Tracker.open({}, tmp_path, only)
    for step in (1, 2, 3):
        first.log("embed", step, {"loss": float(step)})
    first.close()
    (file,) = (tmp_path / "tensorboard").glob("events.*")
    file.write_bytes(file.read_bytes()[:-10])
    assert tensorboard_events.newest_steps(tmp_path / "tensorboard") == {"embed/loss": 2}
    again = Tracker.open({}, tmp_path, only, resume=True)
    for step in (1, 2, 3, 4):
        again.log("embed", step, {"loss": float(step)})
    again.close()
    steps = [event.step for event in read_back.events(tmp_path).Scalars("embed/loss")]
    assert steps == [1, 2, 3, 4]


def test_runs_of_a_sweep_are_one_group_and_keep_the_agents_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_RUN_GROUP", raising=False)
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep1")
    monkeypatch.setenv("WANDB_RUN_ID", "agent7")
    with tracking.grouped("lr"):
        tracker = Tracker.open({"name": "lr/a"}, tmp_path, schema.Tracking())
        tracker.log("pretrain", 1, {"loss": 1.0})
        tracker.close()
    assert "WANDB_RUN_GROUP" not in os.environ
    (run,) = [record.run for record in read_back.wandb_records(tmp_path) if record.WhichOneof("record_type") == "run"]
    assert (run.run_id, run.run_group, run.sweep_id) == ("agent7", "lr", "sweep1")


def test_tables_that_cannot_be_made_cost_the_trackers_them_and_not_the_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> Scored:
        raise ValueError("array is not C-contiguous")

    tracker = Tracker.open({}, tmp_path, schema.Tracking(to=("tensorboard",)))
    tracker.scores(broken)
    tracker.log("pretrain", 1, {"loss": 1.0})
    tracker.close()
    said = [record.message for record in caplog.records]
    assert said == ["the trackers get no tables of the scores (ValueError: array is not C-contiguous)"]
    assert [event.value for event in read_back.events(tmp_path).Scalars("pretrain/loss")] == [1.0]
