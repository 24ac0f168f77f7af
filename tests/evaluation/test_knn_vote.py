"""The vote of a gallery beside the classifier: the same report, on the same images."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, roc_auc_score

from contrastive_cxr.data import phantom
from contrastive_cxr.errors import RequestError
from contrastive_cxr.evaluation.external import evaluate
from contrastive_cxr.evaluation.knn_vote import KnnClassifier
from contrastive_cxr.evaluation.predictions import Outputs
from contrastive_cxr.inference.gallery import index
from contrastive_cxr.retrieval import Gallery
from contrastive_cxr.studies.compare import compare


@pytest.fixture(scope="module")
def gallery(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("galleries") / "train"
    index(finished, "train", place)
    return place


WHOLE = ["evaluation.baselines=true", "evaluation.target.sensitivity=0.9"]


@pytest.fixture(scope="module")
def scored(finished: Path, gallery: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return evaluate(finished, WHOLE, gallery=gallery, out=tmp_path_factory.mktemp("scores") / "vote")


def test_the_probabilities_are_the_vote_by_a_slow_loop(finished: Path, scored: Path) -> None:
    arrays = finished / "embed" / "arrays"
    asked, known = np.load(arrays / "vectors.npy"), np.load(arrays / "train_vectors.npy")
    rows, train = (pd.read_csv(arrays / f"{name}.csv", dtype=str) for name in ("rows", "train_rows"))
    classes = json.loads((scored / "report.json").read_text())["task"]["classes"]
    expected = np.zeros((len(asked), len(classes)))
    for number, vector in enumerate(asked):
        near = [
            (float(vector @ other), train["class"][place])
            for place, other in enumerate(known)
            if train["patient"][place] != rows["patient"][number]
        ]
        for cosine, label in sorted(near, reverse=True)[:20]:
            expected[number, classes.index(label)] += np.exp(cosine / 0.07)
    expected /= expected.sum(1, keepdims=True)
    said = np.load(scored / "embed" / "arrays" / "probabilities.npy")
    assert said == pytest.approx(expected, abs=1e-5)
    assert said == pytest.approx(np.load(arrays / "votes.npy"), abs=1e-5)


def test_it_is_the_report_of_the_classifier(finished: Path, scored: Path, tmp_path: Path) -> None:
    head = evaluate(finished, WHOLE, out=tmp_path / "head")
    of_head, of_vote = (json.loads((place / "report.json").read_text()) for place in (head, scored))
    assert list(of_vote) == list(of_head)
    for name in ("scores", "calibration", "baselines", "thresholds", "selective", "adds"):
        assert len(of_vote[name]) == len(of_head[name]) > 0, name
    assert of_vote["phase"] == "embed"
    assert list(of_vote["budget"]["phases"]) == ["pretrain", "embed"], "the classifier's training is not the vote's"
    assert of_vote["calibration"]["fitted_on"] == "validation"
    assert [each["scores"] for each in of_vote["baselines"]] == [each["scores"] for each in of_head["baselines"]]
    arrays = scored / "embed" / "arrays"
    labels, said = np.load(arrays / "labels.npy"), np.load(arrays / "probabilities.npy")
    assert of_vote["scores"]["accuracy"]["value"] == pytest.approx(accuracy_score(labels, said.argmax(1)))
    auc = roc_auc_score(labels, said, multi_class="ovr", average="macro")
    assert of_vote["scores"]["auc"]["value"] == pytest.approx(auc)
    assert "nearest of the" in of_vote["notes"][0]
    assert "vote of nearest neighbours" in (scored / "model-card.md").read_text()


def test_both_stand_in_one_table(finished: Path, scored: Path) -> None:
    facts = compare([finished, scored])
    assert len(facts["runs"]) == 2
    assert facts["n"] == json.loads((finished / "report.json").read_text())["n"]


def test_without_out_it_stands_beside_the_runs_own_report(finished: Path, gallery: Path, tmp_path: Path) -> None:
    run = shutil.copytree(finished, tmp_path / "run")
    before = (run / "report.json").read_bytes()
    assert evaluate(run, gallery=gallery, split="val") == run / "val-gallery"
    assert (run / "report.json").read_bytes() == before


def test_strangers_of_the_same_name_vote(finished: Path, gallery: Path, tmp_path: Path) -> None:
    phantom.paint(tmp_path / "painted", 12, seed=99)
    words = ["data.source=csv", f"data.root={tmp_path / 'painted'}", "data.csv=labels.csv"]
    facts = json.loads((evaluate(finished, words, gallery=gallery, out=tmp_path / "x") / "report.json").read_text())
    assert facts["n"] == 12
    vectors = np.load(tmp_path / "x" / "embed" / "arrays" / "vectors.npy")
    expected = Gallery.load(gallery).classify(vectors, facts["task"]["classes"])
    assert np.load(tmp_path / "x" / "embed" / "arrays" / "probabilities.npy") == pytest.approx(expected, abs=1e-5)


def test_what_cannot_vote_is_refused(finished: Path, gallery: Path, tmp_path: Path) -> None:
    index(finished, "all", tmp_path / "all")
    with pytest.raises(RequestError) as caught:
        evaluate(finished, gallery=tmp_path / "all", out=tmp_path / "x")
    assert [" ".join(fault.split()[2:8]) for fault in caught.value.faults] == [
        f"holds {count} of the {count} {name}"
        for count, name in zip(_counts(finished), ("scored", "validation"), strict=True)
    ]
    held = Gallery.load(gallery)
    label = held.rows["label"].iloc[0]
    held.remove(held.rows["id"][held.rows["label"] == label].tolist())
    held.save(tmp_path / "fewer")
    with pytest.raises(RequestError, match=f"no row has the label '{label}'"):
        evaluate(finished, gallery=tmp_path / "fewer", out=tmp_path / "x")
    Gallery.build(held.vectors, held.rows, "f" * 64).save(tmp_path / "other")
    with pytest.raises(RequestError, match=r"is of model ffffffffffff, and .* has pretrain"):
        evaluate(finished, gallery=tmp_path / "other", out=tmp_path / "x")
    with pytest.raises(RequestError, match="nowhere"):
        evaluate(finished, gallery=tmp_path / "nowhere", out=tmp_path / "x")
    assert not (tmp_path / "x").exists()


def _counts(run: Path) -> list[int]:
    parts = pd.read_csv(run / "manifest.csv", dtype=str)["split"].value_counts()
    return [int(parts[name]) for name in ("test", "val")]


def test_a_patients_own_rows_do_not_vote_but_a_strangers_of_that_name_do() -> None:
    rows = pd.DataFrame({"label": ["well", "ill"], "patient": ["p", "q"], "path": ["0.png", "1.png"]})
    held = Gallery.build(np.array([[1.0, 0.0], [0.8, 0.6]], np.float32), rows)
    table = pd.DataFrame({"patient": ["p", ""]})
    data: Any = SimpleNamespace(classes=("well", "ill"), manifest_table=lambda: table)
    asked = Outputs(np.arange(2), np.array([[1.0, 0.0]] * 2, np.float32), None)
    chosen = KnnClassifier(held, Path("gallery"), "embed", k=1)
    own, strange = (chosen.vote(data, asked, strangers=each).probabilities for each in (False, True))
    assert own is not None
    assert strange is not None
    assert own.tolist() == [[0, 1], [1, 0]], "an unknown patient passes over nobody"
    assert strange.tolist() == [[1, 0], [1, 0]]
