"""What a later phase added, worked out by hand, and the words for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from contrastive_cxr import report
from contrastive_cxr.metrics import neighbours
from contrastive_cxr.report.facts import phase_gains
from contrastive_cxr.run.folder import read_json, write_json
from tests.report.small import TASK, drawn, facts_of, predictions

OPTIONS: dict[str, Any] = {"resamples": 200, "seed": 0}


def difference(value: float, low: float, high: float) -> dict[str, Any]:
    return {"difference": value, "low": low, "high": high, "n": 100}


def test_answers_are_compared_image_by_image() -> None:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 3, 200)
    good, poor = (given / given.sum(1, keepdims=True) for given in (
        rng.random((200, 3)) + weight * np.eye(3)[labels] for weight in (1.0, 0.2)
    ))  # fmt: skip
    found = phase_gains.of_answers({"pretrain": good, "finetune": poor}, labels, np.full(200, -1), OPTIONS)
    assert found is not None
    expected = {
        "accuracy": metrics.accuracy_score(labels, poor.argmax(1)) - metrics.accuracy_score(labels, good.argmax(1)),
        "balanced_accuracy": metrics.balanced_accuracy_score(labels, poor.argmax(1))
        - metrics.balanced_accuracy_score(labels, good.argmax(1)),
        "auc": metrics.roc_auc_score(labels, poor, multi_class="ovr")
        - metrics.roc_auc_score(labels, good, multi_class="ovr"),
    }
    for name, value in expected.items():
        assert found["scores"][name]["difference"] == pytest.approx(value)
        assert found["scores"][name]["high"] < 0
    advice = phase_gains.advice(None, found)
    assert advice is not None
    assert advice["answers"] == "pretrain"
    assert "neighbours" not in advice
    assert advice["sentences"][0].startswith("Phase 3 makes the predictions of phase 1 worse: Accuracy -")
    assert "the folder pretrain of the run" in advice["sentences"][0]


def test_the_votes_are_compared_by_their_area() -> None:
    facts = facts_of(drawn(60, 0, False), drawn(90, 1, False))
    of = {phase: entries["knn_auc"]["value"] for phase, entries in facts["neighbours"].items()}
    gain = facts["neighbour_gain"]["scores"]["knn_auc"]
    assert gain["difference"] == pytest.approx(of["embed"] - of["pretrain"])
    assert facts["advice"]["neighbours"] == "embed"


def test_a_class_without_images_leaves_the_area_out_of_the_words() -> None:
    rng = np.random.default_rng(0)
    labels = np.zeros(40, dtype=np.int64)
    answers = {name: rng.dirichlet(np.ones(3), 40) for name in ("pretrain", "finetune")}
    found = phase_gains.of_answers(answers, labels, np.full(40, -1), OPTIONS)
    advice = phase_gains.advice(None, found)
    assert advice is not None
    assert "nan" not in advice["sentences"][0]


def test_training_images_advise_nothing() -> None:
    asked, known = drawn(40, 0, False), drawn(60, 1, False)
    subject = report.Subject("a run", TASK, "finetune", "train")
    near = {
        name: neighbours.scores(known["vectors"], known["labels"], asked["vectors"], asked["labels"], classes=3)
        for name in ("pretrain", "embed")
    }
    assert (
        report.build(subject, predictions(asked), report.ReportExtras(neighbours=near), resamples=100)["advice"] is None
    )


def test_no_phase_to_compare_with_is_no_advice() -> None:
    assert phase_gains.of_answers({"finetune": np.ones((2, 2)) / 2}, np.arange(2), np.arange(2), OPTIONS) is None
    assert phase_gains.of_neighbours({}, np.arange(2), OPTIONS) is None
    assert phase_gains.advice(None, None) is None


@pytest.mark.parametrize(
    ("scores", "phase", "starts"),
    [
        ({"map_at_r": difference(0.1, 0.05, 0.15)}, "embed", "Phase 2 improves the neighbours of phase 1: MAP@R +0.10"),
        (
            {"map_at_r": difference(0.0, -0.1, 0.1)},
            "embed",
            "Phase 2 does not measurably change the neighbours of",
        ),
        (
            {"map_at_r": difference(0.1, 0.05, 0.15), "knn_accuracy": difference(-0.1, -0.15, -0.05)},
            "pretrain",
            "Phase 2 makes the neighbours of phase 1 worse: k-NN vote, accuracy -0.10",
        ),
        (
            {"map_at_r": {"difference": None, "low": None, "high": None, "n": 0}},
            "embed",
            "It is unknown whether phase 2 improves the neighbours of phase 1: there",
        ),
    ],
)
def test_a_phase_that_loses_anything_is_not_the_one_to_use(scores: dict[str, Any], phase: str, starts: str) -> None:
    advice = phase_gains.advice({"first": "embed", "second": "pretrain", "scores": scores}, None)
    assert advice is not None
    assert advice["neighbours"] == phase
    assert advice["sentences"][0].startswith(starts)


def test_the_page_and_the_card_say_it(run_folder: Path) -> None:
    facts = read_json(run_folder / "report.json")
    facts["answer_gain"] = {
        "first": "finetune", "second": "pretrain", "scores": {"accuracy": difference(-0.08, -0.1, -0.05)},
    }  # fmt: skip
    facts["advice"] = phase_gains.advice(facts["neighbour_gain"], facts["answer_gain"])
    write_json(run_folder / "report.json", facts)
    report.write(run_folder)
    page, card = (run_folder / "report.html").read_text(), (run_folder / "model-card.md").read_text()
    for sentence in facts["advice"]["sentences"]:
        assert sentence in page
        assert sentence.split("(")[0] in card.replace("\\", "")


def test_a_report_of_an_earlier_version_has_its_page(run_folder: Path) -> None:
    facts = read_json(run_folder / "report.json")
    del facts["answer_gain"], facts["advice"]
    write_json(run_folder / "report.json", facts)
    assert "paired by query" in report.write(run_folder).read_text()
