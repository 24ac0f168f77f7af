"""What a run's report takes from its arrays: validation rows, thresholds, familiarity, blind baselines."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from contrastive_cxr.evaluation.pooled import pooled_baselines, pooled_validation
from contrastive_cxr.evaluation.report_facts import read_blind
from contrastive_cxr.metrics import calibration, thresholds
from tests.run_folder.scored_runs import CLASSES, drawn, rows_of


def test_temperature_and_thresholds_are_those_of_the_validation_rows(finished: Path) -> None:
    facts = json.loads((finished / "report.json").read_text())
    arrays = finished / "finetune" / "arrays"
    split = pd.read_csv(finished / "split.csv", dtype=str)
    rows = pd.read_csv(arrays / "val_rows.csv", dtype=str)
    assert sorted(rows["path"]) == sorted(split["path"][split["split"] == "val"])
    kept, labels = np.load(arrays / "val_probabilities.npy"), np.load(arrays / "val_labels.npy")
    assert [facts["task"]["classes"][label] for label in labels] == rows["class"].tolist()
    found = facts["calibration"]
    assert (found["fitted_on"], found["fitted_images"]) == ("validation", len(rows))
    assert found["temperature"] == pytest.approx(calibration.temperature(kept.astype(float), labels), rel=1e-3)
    number = facts["task"]["classes"].index(facts["task"]["positive"])
    for line in facts["thresholds"]:
        expected, why = thresholds.choose(kept[:, number].astype(float), labels == number, line["of"], line["wanted"])
        assert line["reason"] == why
        assert line["threshold"] == (None if expected is None else pytest.approx(expected, abs=1e-6))


def test_familiarity_is_the_mean_similarity_to_the_nearest_training_images(finished: Path) -> None:
    arrays = finished / "finetune" / "arrays"
    vectors, known = np.load(arrays / "vectors.npy"), np.load(arrays / "train_vectors.npy")
    nearest = np.sort(vectors @ known.T, axis=1)[:, ::-1][:, :20].mean(1)
    right = np.load(arrays / "probabilities.npy").argmax(1) == np.load(arrays / "labels.npy")
    facts = json.loads((finished / "report.json").read_text())["selective"]
    risks = [(~right[nearest >= each]).mean() for each in nearest]
    assert facts["by"]["neighbour_distance"]["area"]["value"] == pytest.approx(np.mean(risks), abs=0.02)
    assert facts["random"] == pytest.approx((~right).mean())


def part(folder: Path, seed: int, start: int, kept: int) -> Path:
    """Arrays of a scored part of six images from `start` on, with two validation images from `kept` on."""
    arrays = folder / "pretrain" / "arrays"
    arrays.mkdir(parents=True)
    preds, labels = drawn(6, seed)
    np.save(arrays / "probabilities.npy", preds)
    np.save(arrays / "labels.npy", labels)
    np.save(arrays / "baselines.npy", np.stack([preds * 0.5, preds], axis=1))
    rows_of(labels, CLASSES, start=start).to_csv(arrays / "rows.csv", index=False)
    np.save(arrays / "val_probabilities.npy", preds[:2])
    np.save(arrays / "val_labels.npy", labels[:2])
    rows_of(labels[:2], CLASSES, start=kept).to_csv(arrays / "val_rows.csv", index=False)
    facts = {"baselines": [{"name": "metadata"}, {"name": "thumbnail"}]}
    (folder / "report.json").write_text(json.dumps(facts))
    return arrays


def test_baselines_and_validation_of_seeds_are_means(tmp_path: Path) -> None:
    places = [part(tmp_path / name, seed, 0, 50) for seed, name in enumerate(("a", "b"))]
    facts = [json.loads((tmp_path / name / "report.json").read_text()) for name in ("a", "b")]
    mean = (drawn(6, 0)[0].astype(float) + drawn(6, 1)[0]) / 2
    found = pooled_baselines(facts, places)
    assert [name for name, _ in found] == ["metadata", "thumbnail"]
    np.testing.assert_allclose(found[0][1], mean * 0.5, atol=1e-6)
    np.testing.assert_allclose(found[1][1], mean, atol=1e-6)
    kept = pooled_validation(places, rows_of(drawn(6)[1], CLASSES))
    assert kept is not None
    np.testing.assert_allclose(kept.probabilities, mean[:2], atol=1e-6)
    names, given = zip(*read_blind(tmp_path / "a", "pretrain"), strict=True)
    assert names == ("metadata", "thumbnail")
    np.testing.assert_array_equal(given[1], drawn(6, 0)[0])


def test_folds_whose_validation_images_are_scored_by_others_keep_none(tmp_path: Path) -> None:
    places = [part(tmp_path / name, seed, 6 * seed, 6 * (1 - seed)) for seed, name in enumerate(("a", "b"))]
    rows = pd.concat([rows_of(drawn(6)[1], CLASSES, start=start) for start in (0, 6)])
    assert pooled_validation(places, rows) is None
    (places[0] / "val_probabilities.npy").unlink()
    assert pooled_validation(places, rows[:0]) is None


def test_parts_with_other_baselines_have_none_together(tmp_path: Path) -> None:
    places = [part(tmp_path / name, seed, 0, 50) for seed, name in enumerate(("a", "b"))]
    assert pooled_baselines([{"baselines": [{"name": "metadata"}]}, {"baselines": []}], places) == []
    assert pooled_baselines([{"baselines": []}, {"baselines": []}], places) == []
