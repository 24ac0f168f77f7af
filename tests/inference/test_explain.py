"""Explaining a run: what is written, whose neighbours they are, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image

from contrastive_cxr import explain as room
from contrastive_cxr import models
from contrastive_cxr.data import phantom
from contrastive_cxr.errors import RequestError
from contrastive_cxr.explain import Ascent
from contrastive_cxr.inference.explain import explain
from contrastive_cxr.models import weights
from contrastive_cxr.recipe import schema
from contrastive_cxr.retrieval import EmbeddingModel

pytest.importorskip("pytorch_grad_cam")

CLASSES = ("normal", "nodule", "opacity")
FEW = Ascent(steps=2)


def save(folder: Path, classes: tuple[str, ...] = (), backbone: str = "shufflenet_v2_x0_5", **facts: Any) -> None:
    model = schema.Model(backbone=backbone, image_size=64)
    network = models.build(model, projection=(6,), classes=len(classes), mean=0.4, std=0.25, seed=1)
    decode = {"cache_size": 64, "resize": "pad"}
    card = {"classes": list(classes), "decode": decode, "channels_last": True, "phase": folder.name, "task": "t"}
    weights.save(network, folder, card | facts)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    phantom.paint(folder, 12, seed=0)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Path:
    """A run of two phases without training, the first eight phantoms its training images."""
    folder = tmp_path_factory.mktemp("run") / "<b>run</b>"
    save(folder / "embed")
    save(folder / "finetune", CLASSES)
    rows = pd.read_csv(pictures / "labels.csv", dtype=str).iloc[:8].rename(columns={"file": "path"})
    rows["root"] = str(pictures)
    for name in ("embed", "finetune"):
        vectors = known_vectors()  # drawn: those of an untrained network all but fall together
        (folder / name / "arrays").mkdir()
        np.save(folder / name / "arrays" / "train_vectors.npy", vectors)
        rows.to_csv(folder / name / "arrays" / "train_rows.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def written(run: Path, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "new"
    page = explain(run, [file(pictures, 10), file(pictures, 0)], target="opacity", ascent=FEW, out=out)
    assert page == out / "explain.html"
    return out


def known_vectors() -> NDArray[np.float32]:
    vectors = np.random.default_rng(0).normal(size=(8, 6)).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def file(pictures: Path, number: int) -> Path:
    return pictures / "images" / f"{number:05d}.png"


def facts_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "explain.json").read_text())  # type: ignore[no-any-return]


def test_the_record_names_every_file_and_every_file_is_named(written: Path) -> None:
    text = (written / "explain.json").read_text()
    others = {path.name for path in written.iterdir()} - {"explain.json", "explain.html"}
    assert all(f'"{name}"' in text for name in others)
    for name in others:
        if name.endswith(".npy"):
            assert np.load(written / name, allow_pickle=False).dtype == np.float32
        else:
            assert Image.open(written / name).size == (64, 64)


def test_the_record_says_what_the_model_says(run: Path, pictures: Path, written: Path) -> None:
    facts, model = facts_of(written), EmbeddingModel.load(run / "finetune")
    assert facts["version"] == room.VERSION
    assert facts["phase"] == "finetune"
    assert facts["sha256"] == model.digest
    shown = facts["images"][0]
    expected = model.predict(file(pictures, 10))[0]
    np.testing.assert_allclose(list(shown["probabilities"].values()), expected, atol=1e-6)
    assert shown["decided"] == CLASSES[int(expected.argmax())]
    assert shown["target"] == "opacity"
    assert [risen["class"] for risen in facts["maximisation"]] == ["opacity"]
    assert facts["ascent"]["steps"] == 2


def test_neighbours_are_the_nearest_of_other_patients(run: Path, pictures: Path, written: Path) -> None:
    model = EmbeddingModel.load(run / "finetune")
    rows = pd.read_csv(pictures / "labels.csv", dtype=str).iloc[:8]
    known = known_vectors()
    for shown, number in zip(facts_of(written)["images"], (10, 0), strict=True):
        own = model.embed(file(pictures, number))[0]
        cosines = known @ own
        if number < 8:
            cosines[rows["patient"] == rows["patient"][number]] = -9
        order = np.argsort(-cosines)[:2]
        assert [near["file"] for near in shown["neighbours"]] == [str(file(pictures, row)) for row in order]
        assert [near["label"] for near in shown["neighbours"]] == list(rows["label"].iloc[order])
        for near, row in zip(shown["neighbours"], order, strict=True):
            assert near["cosine"] == pytest.approx(float(cosines[row]), abs=1e-4)
            assert near["distance"] == pytest.approx(float(np.linalg.norm(known[row] - own)), abs=1e-5)
            back = float(model.embed(file(pictures, int(row)))[0] @ own)
            for way, expected in ((near["toward"], cosines[row]), (near["back"], back)):
                assert way["exact"]  # one linear layer behind pooled features
                assert np.load(written / way["array"]).sum() == pytest.approx(float(expected), abs=1e-4)


def test_the_page_escapes_what_is_not_ours(written: Path) -> None:
    page = (written / "explain.html").read_text()
    assert "&lt;b&gt;run" in page
    assert "<b>run" not in page


def test_without_a_target_each_image_explains_its_decision(run: Path, pictures: Path, tmp_path: Path) -> None:
    explain(run, [file(pictures, 11)], near=0, ascent=Ascent(steps=0), out=tmp_path / "out")
    facts = facts_of(tmp_path / "out")
    assert facts["images"][0]["target"] == facts["images"][0]["decided"]
    assert facts["images"][0]["neighbours"] == []
    assert facts["maximisation"] == []


def test_costs_move_the_decision(pictures: Path, tmp_path: Path) -> None:
    costs = {"nodule": {"normal": 1000.0, "opacity": 1000.0}}  # nothing but nodule is affordable
    save(tmp_path / "pretrain", CLASSES, costs=costs)
    explain(tmp_path, [file(pictures, 0)], ascent=Ascent(steps=0), out=tmp_path / "out")
    facts = facts_of(tmp_path / "out")
    assert facts["images"][0]["decided"] == "nodule"
    assert "evaluate the run" in facts["notes"][0]


def test_an_embedding_alone_beside_an_image_of_ones_own(run: Path, pictures: Path, tmp_path: Path) -> None:
    beside = file(pictures, 11)
    explain(run, [file(pictures, 10)], phase="embed", beside=beside, out=tmp_path / "out")
    facts = facts_of(tmp_path / "out")
    assert facts["phase"] == "embed"
    assert facts["images"][0]["gradcam"] is None
    assert facts["maximisation"] == []
    vectors = EmbeddingModel.load(run / "embed").embed([file(pictures, 10), beside])
    near = facts["images"][0]["neighbours"]
    assert [each["file"] for each in near] == [str(beside)]
    assert near[0]["cosine"] == pytest.approx(float(vectors[0] @ vectors[1]), abs=1e-5)


def test_a_neighbour_that_is_gone_is_told(run: Path, pictures: Path, tmp_path: Path) -> None:
    rows = pd.read_csv(run / "embed" / "arrays" / "train_rows.csv", dtype=str)
    rows["root"] = str(tmp_path / "moved")
    save(tmp_path / "run" / "embed")
    (tmp_path / "run" / "embed" / "arrays").mkdir()
    rows.to_csv(tmp_path / "run" / "embed" / "arrays" / "train_rows.csv", index=False)
    vectors = np.load(run / "embed" / "arrays" / "train_vectors.npy")
    np.save(tmp_path / "run" / "embed" / "arrays" / "train_vectors.npy", vectors)
    page = explain(tmp_path / "run", [file(pictures, 10)], phase="embed", out=tmp_path / "out")
    assert facts_of(tmp_path / "out")["images"][0]["neighbours"][0]["back"] is None
    assert "image not readable here" in page.read_text()


def test_a_transformer_shows_its_attention(pictures: Path, tmp_path: Path) -> None:
    save(tmp_path / "pretrain", CLASSES, backbone="timm/test_vit")
    explain(tmp_path, [file(pictures, 0)], ascent=Ascent(steps=0), out=tmp_path / "out")
    shown = facts_of(tmp_path / "out")["images"][0]
    flow = np.load(tmp_path / "out" / shown["attention"]["array"])
    assert flow.shape == (4, 4)
    assert 0 < flow.sum() <= 1
    assert np.load(tmp_path / "out" / shown["gradcam"]["array"]).shape == (64, 64)


@pytest.fixture
def refused(run: Path, pictures: Path, tmp_path: Path) -> Callable[..., str]:
    """The faults of a refused call, after the check that it wrote nothing."""

    def call(where: Path = run, images: tuple[Path, ...] = (), **words: Any) -> str:
        out = words.pop("out", tmp_path / "out")
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(RequestError) as caught:
            explain(where, images or (file(pictures, 0),), out=out, **words)
        assert sorted(tmp_path.rglob("*")) == before
        return "\n".join(caught.value.faults)

    return call


def test_every_fault_is_told_at_once(refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    said = refused(
        images=(tmp_path / "missing.png", tmp_path / "text.png"),
        target="opacty",
        beside=tmp_path / "nor-this.png",
        device="tpu",
        out=tmp_path / "full",
    ).splitlines()
    assert len(said) == 6
    for words in ("missing.png", "text.png", "nor-this.png", "did you mean 'opacity'", "--device tpu", "not empty"):
        assert any(words in line for line in said), words


@pytest.mark.parametrize("name", ["nowhere", "empty"])
def test_no_run(refused: Callable[..., str], tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    said = refused(where=tmp_path / name, images=(tmp_path / "missing.png",))
    assert "give the folder of a run" in said
    assert "missing.png: no such file" in said


def test_no_classifier(refused: Callable[..., str], run: Path, tmp_path: Path) -> None:
    save(tmp_path / "run" / "embed")
    assert "--phase embed explains the embedding alone" in refused(where=tmp_path / "run")
    assert "has no classifier" in refused(phase="embed", target="opacity")
    assert "it has embed, finetune" in refused(phase="pretrain")
    assert "did you mean 'finetune'" in refused(phase="finetuned")


def test_several_runs_in_one_folder(refused: Callable[..., str], tmp_path: Path) -> None:
    save(tmp_path / "run" / "stage1" / "pretrain", CLASSES)
    assert f"such as {tmp_path / 'run' / 'stage1'}" in refused(where=tmp_path / "run")


def test_vectors_of_another_model(refused: Callable[..., str], run: Path, tmp_path: Path) -> None:
    save(tmp_path / "run" / "embed")
    (tmp_path / "run" / "embed" / "arrays").mkdir()
    np.save(tmp_path / "run" / "embed" / "arrays" / "train_vectors.npy", np.zeros((8, 5), np.float32))
    rows = (run / "embed" / "arrays" / "train_rows.csv").read_text()
    (tmp_path / "run" / "embed" / "arrays" / "train_rows.csv").write_text(rows)
    assert "have 5 numbers, this model's have 6" in refused(where=tmp_path / "run", phase="embed")


def test_the_missing_library_is_told(refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "installed", lambda: False)
    assert "pip install grad-cam" in refused()
