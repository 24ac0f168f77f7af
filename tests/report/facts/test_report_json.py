"""The facts of report.json: what they are made of, and that JSON can hold them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from contrastive_cxr import report
from contrastive_cxr.metrics import cascade, decisions
from contrastive_cxr.metrics.fitting import Validation
from contrastive_cxr.tasks import Task
from tests.report.small import TASK, drawn, facts_of


def documented() -> set[str]:
    return {
        "version", "experiment", "task", "phase", "split", "n", "groups", "patients", "counts", "scores", "by_patient",
        "per_class", "confusion", "roc", "neighbours", "neighbour_gain", "answer_gain", "advice", "baselines", "adds",
        "calibration", "thresholds", "selective", "cascade", "costs", "tta", "last_layer", "budget", "skipped", "notes",
        "robustness", "external_drop", "audit", "made",
    }  # fmt: skip


def test_facts_are_the_documented_ones_and_survive_json() -> None:
    skipped = pd.DataFrame({"path": ["a.png"], "error": ["truncated"]})
    facts = facts_of(drawn(40, 0, True), drawn(60, 1, False), skipped=skipped, notes=["a note"])
    assert set(facts) == documented()
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    assert facts["task"] == {"name": "three", "classes": ["normal", "covid", "other"], "positive": "covid"}
    assert facts["skipped"] == [{"path": "a.png", "error": "truncated"}]
    for entry in [*facts["scores"].values(), *facts["neighbours"]["embed"].values()]:
        assert {"value", "n", "low", "high"} <= set(entry)


def test_numbers_are_those_of_the_arrays() -> None:
    asked = drawn(40, 0, True)
    facts = facts_of(asked, drawn(60, 1, False))
    expected = metrics.roc_auc_score(asked["labels"], asked["probabilities"], multi_class="ovr")
    assert facts["scores"]["auc"]["value"] == pytest.approx(expected)
    assert facts["patients"] == len(set(asked["patients"].tolist()) - {-1})
    assert sum(facts["counts"].values()) == facts["n"] == 40
    assert np.sum(facts["confusion"]) == 40
    gain = facts["baselines"][0]["gain"]["auc"]
    assert gain["difference"] == pytest.approx(expected - 0.5)
    for name, points in facts["roc"].items():
        area = metrics.auc(*np.transpose(points))
        assert area == pytest.approx(facts["per_class"][name]["auc"]["value"], abs=1e-3)


def test_neighbour_gain_is_embed_minus_pretrain() -> None:
    facts = facts_of(drawn(40, 0, True), drawn(60, 1, False))
    of = {phase: entries["map_at_r"]["value"] for phase, entries in facts["neighbours"].items()}
    gain = facts["neighbour_gain"]["scores"]["map_at_r"]
    assert gain["difference"] == pytest.approx(of["embed"] - of["pretrain"])
    assert gain["low"] <= gain["difference"] <= gain["high"]


def test_costs_stand_beside_the_most_probable_class() -> None:
    asked = drawn(40, 0, True)
    table = decisions.matrix(TASK.names, {"covid": {"normal": 8}})
    costs = facts_of(asked, drawn(60, 1, False), costs=table)["costs"]
    spent = table[asked["labels"], (asked["probabilities"] @ table).argmin(1)]
    assert costs["by_cost"]["mean_cost"]["value"] == pytest.approx(spent.mean())
    assert costs["matrix"]["covid"] == {"normal": 8, "covid": 0, "other": 1}
    assert costs["most_probable"]["confusion"] == facts_of(asked, drawn(60, 1, False))["confusion"]
    assert facts_of(asked, drawn(60, 1, False))["costs"] is None


def test_scores_without_test_time_augmentation_stand_beside_those_with_it() -> None:
    asked, before = drawn(40, 0, True), drawn(40, 5, True)["probabilities"]
    found = facts_of(asked, drawn(60, 1, False), tta=report.Tta("mirror-turn", ("plain", "a", "b"), before))["tta"]
    assert (found["name"], found["views"]) == ("mirror-turn", ["plain", "a", "b"])
    right = [(given.argmax(1) == asked["labels"]).mean() for given in (asked["probabilities"], before)]
    assert found["scores"]["accuracy"]["value"] == pytest.approx(right[1])
    assert found["gain"]["accuracy"]["difference"] == pytest.approx(right[0] - right[1])


def test_no_known_patient_means_no_scores_by_patient() -> None:
    facts = facts_of(drawn(40, 0, False), drawn(60, 1, False))
    assert facts["patients"] is None
    assert facts["by_patient"] is None
    known = facts_of(drawn(40, 0, True), drawn(60, 1, False))
    assert known["by_patient"]["n"] < 40


def test_two_classes_draw_the_positive_class_alone() -> None:
    task = Task(name="two", classes={"sick": ("s",), "well": ("w",)}, positive="sick")
    labels, p = np.array([0, 0, 1, 1]), np.array([0.9, 0.4, 0.6, 0.2])
    said = report.Predictions(np.column_stack([p, 1 - p]), labels, np.full(4, -1))
    facts = report.build(report.Subject("x", task, "finetune", "val"), said, resamples=100)
    assert list(facts["roc"]) == ["sick"]
    assert facts["scores"]["recall"]["value"] == 0.5
    assert facts["neighbour_gain"] is None


def test_cascade_stands_beside_flat_on_the_same_rows() -> None:
    asked = drawn(60, 0, False)
    flat = asked["probabilities"]
    stage1 = np.column_stack([flat[:, 0], 1 - flat[:, 0]])
    stage2 = flat[:, [2, 1]] / flat[:, [2, 1]].sum(1, keepdims=True)
    order = cascade.order(TASK.names, ("normal", "sick"), ("other", "covid"))
    joined, verdicts = cascade.join(stage1, stage2, order), cascade.verdicts(stage1, stage2, order)
    stage: dict[str, Any] = facts_of(drawn(30, 2, False), drawn(30, 3, False))
    facts = report.build_cascade(
        report.Subject("x", TASK, "cascade", "val"),
        report.Predictions(joined, asked["labels"], asked["patients"]),
        report.Stages(flat, verdicts, {"stage1": stage, "stage2": stage}, order[0]),
        resamples=100,
    )
    assert set(facts) == documented()
    found = facts["cascade"]
    assert facts["scores"]["auc"]["value"] == pytest.approx(found["flat"]["scores"]["auc"]["value"])
    assert found["paired"]["joined"]["auc"]["difference"] == pytest.approx(0.0, abs=1e-9)
    assert found["verdicts"]["scores"]["accuracy"]["value"] == pytest.approx((verdicts == asked["labels"]).mean())
    assert "auc" not in found["verdicts"]["scores"]
    assert found["stages"]["stage1"]["n"] == 30
    assert found["stages"]["stage1"]["confusion"] == stage["confusion"]
    json.dumps(facts, allow_nan=False)


def test_what_the_model_adds_is_to_the_best_baseline() -> None:
    asked = drawn(60, 0, True)
    truth = np.eye(3)[asked["labels"]]
    poor, good = np.full((60, 3), 1 / 3), 0.5 * truth + 0.1
    facts = facts_of(asked, drawn(60, 1, False), baselines=[("poor", poor), ("good", good), ("worse", poor)])
    assert facts["adds"]["over"] == "good"
    assert facts["adds"]["score"] == "auc"
    assert facts["adds"]["difference"] == facts["baselines"][1]["gain"]["auc"]
    assert facts["adds"]["sentence"].startswith("The model is worse than the best blind baseline (good)")
    assert facts_of(asked, drawn(60, 1, False), baselines=[])["adds"] is None


def test_a_class_without_scored_images_leaves_scores_undefined_with_a_reason() -> None:
    asked = drawn(40, 0, True)
    asked["labels"] = np.where(asked["labels"] == 1, 0, asked["labels"])  # no covid
    facts = facts_of(asked, drawn(60, 1, False))
    for name in ("auc", "average_precision"):
        assert facts["scores"][name]["value"] is None
        assert "covid" in facts["scores"][name]["reason"]
        assert facts["per_class"]["covid"][name]["value"] is None
    assert facts["adds"]["score"] == "balanced_accuracy"
    assert "no image of the positive class" in facts["thresholds"][0]["reason"]
    json.dumps(facts, allow_nan=False)


def test_calibration_and_thresholds_say_what_they_were_fitted_on() -> None:
    asked, kept = drawn(40, 0, True), drawn(30, 4, True)
    validation = Validation(kept["probabilities"], kept["labels"])
    facts = facts_of(asked, drawn(60, 1, False), validation=validation)
    for found in (facts["calibration"], *facts["thresholds"]):
        assert (found["fitted_on"], found["fitted_images"]) == ("validation", 30)
    facts = facts_of(asked, drawn(60, 1, False))
    for found in (facts["calibration"], *facts["thresholds"]):
        assert (found["fitted_on"], found["fitted_images"]) == ("scored", 40)
    assert set(facts["selective"]["by"]) == {"confidence", "neighbour_distance"}
