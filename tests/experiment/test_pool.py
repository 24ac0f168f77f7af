"""Folds and seeds, pooled."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from contrastive_cxr.errors import RequestError
from contrastive_cxr.experiment.external import evaluate
from contrastive_cxr.experiment.pool import run_folds, run_seeds
from contrastive_cxr.experiment.pooled import over_parts
from tests.small import small_recipe

QUICK = ("embed=null", "finetune=null", "pretrain.epochs=1")


def arrays(run: Path, phase: str = "pretrain") -> tuple[list[str], np.ndarray, np.ndarray]:
    """Paths, probabilities and labels that a run scored."""
    folder = run / phase / "arrays"
    paths = pd.read_csv(folder / "rows.csv", dtype=str)["path"].tolist()
    return paths, np.load(folder / "probabilities.npy"), np.load(folder / "labels.npy")


@pytest.mark.slow
def test_folds_score_every_image_once(cache: Path, tmp_path: Path) -> None:
    recipe = small_recipe(cache, *QUICK)
    out = run_folds(recipe, tmp_path / "folds", 3)
    parts = [arrays(out / f"fold{number}") for number in range(3)]
    paths = [path for part in parts for path in part[0]]
    assert len(paths) == len(set(paths)) == 60
    for number in range(3):
        split = pd.read_csv(out / f"fold{number}" / "split.csv", dtype=str)
        assert set(split["path"][split["split"] == "test"]) == set(parts[number][0])
    right = np.concatenate([part[1].argmax(1) == part[2] for part in parts])
    facts = json.loads((out / "report.json").read_text())
    assert facts["n"] == 60
    assert facts["scores"]["accuracy"]["value"] == pytest.approx(right.mean())
    pooled = json.loads((out / "pooled.json").read_text())["scores"]["image"]["accuracy"]
    each = [(part[1].argmax(1) == part[2]).mean() for part in parts]
    np.testing.assert_allclose(pooled["values"], each)
    assert pooled["mean"] == pytest.approx(np.mean(each))
    assert pooled["sd"] == pytest.approx(np.std(each, ddof=1))
    assert "low" not in pooled, "folds score different images"

    before = {path: path.stat().st_mtime_ns for path in out.rglob("model.safetensors")}
    with pytest.raises(RequestError, match="already holds a run"):
        run_folds(recipe, out, 3)
    run_folds(recipe, out, 3, resume=True)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("model.safetensors")} == before
    with pytest.raises(RequestError, match=r"such as .*fold0"):
        evaluate(out)


@pytest.mark.slow
def test_seeds_score_the_mean_of_their_probabilities(cache: Path, tmp_path: Path) -> None:
    out = run_seeds(small_recipe(cache, *QUICK, "seed=3"), tmp_path / "seeds", 2)
    first, second = arrays(out / "seed3"), arrays(out / "seed4")
    assert first[0] == second[0]
    assert not np.allclose(first[1], second[1])
    mean = (first[1].astype(float) + second[1]) / 2
    facts = json.loads((out / "report.json").read_text())
    assert facts["n"] == len(first[0])
    assert facts["scores"]["accuracy"]["value"] == pytest.approx((mean.argmax(1) == first[2]).mean())
    pooled = json.loads((out / "pooled.json").read_text())["scores"]["image"]["accuracy"]
    assert pooled["mean"] == pytest.approx(np.mean(pooled["values"]))
    assert pooled["low"] <= pooled["mean"] <= pooled["high"], "both seeds scored the same images"


@pytest.mark.slow
def test_embeddings_without_a_classifier_are_pooled_by_their_votes(cache: Path, tmp_path: Path) -> None:
    recipe = small_recipe(cache, "pretrain=null", "finetune=null", "embed.epochs=1")
    out = run_seeds(recipe, tmp_path / "seeds", 2)
    votes = [np.load(out / name / "embed" / "arrays" / "votes.npy") for name in ("seed0", "seed1")]
    labels = np.load(out / "seed0" / "embed" / "arrays" / "labels.npy")
    rows = pd.read_csv(out / "seed0" / "embed" / "arrays" / "rows.csv", dtype=str)
    order = np.argsort(rows["path"].to_numpy(dtype=str), kind="stable")
    said = np.mean(votes, axis=0)[order].argmax(1)
    facts = json.loads((out / "report.json").read_text())
    assert facts["scores"]["accuracy"]["value"] == pytest.approx((said == labels[order]).mean())


def test_a_cascade_is_not_pooled(cache: Path, tmp_path: Path) -> None:
    recipe = small_recipe(cache, *QUICK, "cascade={stage1: phantom/lesion, stage2: phantom/opacity}")
    with pytest.raises(RequestError, match="run a cascade's recipe without"):
        run_folds(recipe, tmp_path / "folds", 2)
    assert not (tmp_path / "folds").exists()


def test_nothing_is_left_where_a_fold_is_refused(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="folds"):
        run_folds(small_recipe(cache, *QUICK), tmp_path / "folds", 50)
    assert not (tmp_path / "folds").exists()


def test_scores_that_a_part_lacks_are_left_out() -> None:
    reports = {
        "a": {"scores": {"auc": {"value": 0.5}, "f1": {"value": None}}, "by_patient": None},
        "b": {"scores": {"auc": {"value": 0.7}, "f1": {"value": 0.1}}, "by_patient": {"scores": {}}},
    }
    assert over_parts(reports) == {
        "image": {"auc": {"mean": pytest.approx(0.6), "sd": pytest.approx(0.02**0.5), "values": [0.5, 0.7]}}
    }
