"""Folds and seeds, pooled."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from contrastive_cxr.data import phantom
from contrastive_cxr.errors import RequestError
from contrastive_cxr.evaluation import pooled
from contrastive_cxr.evaluation.external import evaluate
from contrastive_cxr.evaluation.pooled import kind_of, over_parts
from contrastive_cxr.inference.predict import predict
from contrastive_cxr.run_folder import results
from contrastive_cxr.training.cross_validation import run_folds, run_seeds
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
    assert facts["pool"]["kind"] == "folds"
    assert facts["pool"]["one_predictor"] is False
    assert json.loads((out / "pooled.json").read_text())["one_predictor"] is None
    assert evaluate(out) == out
    again = json.loads((out / "report.json").read_text())
    assert again["scores"] == facts["scores"]


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


@pytest.fixture(scope="module")
def seeds(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seeds of one recipe, with test-time augmentation and costs."""
    words = ("evaluation.tta=equalise-shift", "evaluation.costs={nodule: {normal: 4}}")
    return run_seeds(small_recipe(cache, *QUICK, *words), tmp_path_factory.mktemp("pool") / "seeds", 2)


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Phantoms of another seed, in class folders."""
    root = tmp_path_factory.mktemp("strangers")
    phantom.paint(root / "painted", 12, seed=99)
    for row in pd.read_csv(root / "painted" / "labels.csv", dtype=str).itertuples():
        (root / "folders" / str(row.label)).mkdir(parents=True, exist_ok=True)
        shutil.copy(root / "painted" / str(row.file), root / "folders" / str(row.label))
    return root / "folders"


@pytest.mark.slow
def test_a_prediction_of_seeds_is_the_mean_of_both(seeds: Path, strangers: Path, tmp_path: Path) -> None:
    names = ("normal", "nodule", "opacity")
    single = [predict(seeds / name, strangers, tmp_path / f"{name}.csv") for name in ("seed0", "seed1")]
    table = predict(seeds, strangers, tmp_path / "said.csv")
    assert table.attrs["predictor"] == "One predictor: the mean of the probabilities of the 2 seeds seed0, seed1."
    both = [each[[f"p_{name}" for name in names]].to_numpy(dtype=np.float64) for each in single]
    means = table[[f"p_{name}" for name in names]].to_numpy(dtype=np.float64)
    np.testing.assert_allclose(means, (both[0] + both[1]) / 2, atol=1e-7)
    assert not np.allclose(both[0], both[1])
    assert list(table["most_probable"]) == [names[number] for number in means.argmax(1)]
    costs = np.array([[0, 1, 1], [4, 0, 1], [1, 1, 0]])
    assert list(table["decision"]) == [names[number] for number in (means @ costs).argmin(1)]
    facts = json.loads((seeds / "report.json").read_text())
    powers = means ** (1 / facts["calibration"]["temperature"])
    calibrated = table[[f"calibrated_{name}" for name in names]].to_numpy()
    np.testing.assert_allclose(calibrated, powers / powers.sum(1, keepdims=True), rtol=1e-5)
    lines = [line for line in facts["thresholds"] if line["threshold"] is not None]
    for line in lines:
        reached = table[f"opacity_at_{line['of']}_{line['wanted']:g}"]
        assert (reached.to_numpy() == (means[:, 2] >= line["threshold"])).all()


@pytest.mark.slow
def test_predictions_of_a_pool_are_those_of_its_report(seeds: Path, tmp_path: Path) -> None:
    read = results.read(seeds)
    folder = Path(read.rows["root"][0])
    table = predict(seeds, folder, tmp_path / "said.csv").set_index("file")
    said = table.loc[[str(folder / path) for path in read.rows["path"]], ["p_normal", "p_nodule", "p_opacity"]]
    np.testing.assert_allclose(said.to_numpy(), read.probabilities, atol=1e-5)


@pytest.mark.slow
def test_new_images_are_scored_by_each_seed_and_by_all_as_one(seeds: Path, strangers: Path) -> None:
    out = evaluate(seeds, ["data.source=folders", f"data.root={strangers}"])
    assert out == seeds / "external-test"
    parts = [arrays(seeds / name / "external-test") for name in ("seed0", "seed1")]
    mean = (parts[0][1].astype(float) + parts[1][1]) / 2
    facts, pooled = (json.loads((out / name).read_text()) for name in ("report.json", "pooled.json"))
    right = (mean.argmax(1) == parts[0][2]).mean()
    assert facts["n"] == 12
    assert facts["scores"]["accuracy"]["value"] == pytest.approx(right)
    each = [(part[1].argmax(1) == part[2]).mean() for part in parts]
    line = pooled["scores"]["image"]["accuracy"]
    np.testing.assert_allclose(line["values"], each)
    assert line["low"] <= line["mean"] <= line["high"]
    assert pooled["one_predictor"]["image"]["accuracy"] == facts["scores"]["accuracy"]
    assert facts["pool"] == {
        "kind": "seeds", "parts": ["seed0", "seed1"], "one_predictor": True, "each": pooled["scores"],
    }  # fmt: skip
    assert facts["notes"][1].startswith("The scores are those of the 2 seeds as one predictor")
    assert f"a mean accuracy of {np.mean(each):.3f}" in facts["notes"][1]
    assert any(note.startswith("An external test") for note in facts["notes"])
    assert facts["calibration"]["fitted_on"] == "validation"
    assert (out / "report.html").is_file()
    assert r"test\_resnet" in (out / "model-card.md").read_text()
    read = results.read(seeds, "external-test")
    order = np.argsort(np.array(parts[0][0]), kind="stable")
    np.testing.assert_allclose(read.probabilities, mean[order], atol=1e-7)


@pytest.mark.slow
def test_a_pool_is_scored_again(seeds: Path, tmp_path: Path) -> None:
    then = json.loads((seeds / "report.json").read_text())
    assert evaluate(seeds) == seeds
    again = json.loads((seeds / "report.json").read_text())
    assert again == then
    assert json.loads((seeds / "parts.json").read_text()) == {"experiment": "phantom", "parts": ["seed0", "seed1"]}
    out = evaluate(seeds, ["evaluation.subgroups=[source]"], split="val", out=tmp_path / "val")
    facts = json.loads((out / "report.json").read_text())
    assert facts["split"] == "val"
    assert [group["n"] for group in facts["subgroups"]["source"]["groups"]] == [facts["n"]]
    assert (out / "seed1" / "report.json").is_file()
    assert results.read(out).facts["n"] == facts["n"]
    assert json.loads((seeds / "report.json").read_text()) == then, "the pool's own report stays"


@pytest.mark.slow
def test_what_a_pool_cannot_do_is_refused(seeds: Path, strangers: Path, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"pools 2; evaluate one of them, such as .*seed0"):
        evaluate(seeds, gallery=tmp_path / "gallery")
    with pytest.raises(RequestError, match="settings of data and of evaluation alone"):
        evaluate(seeds, ["model.backbone=resnet34"])
    broken = tmp_path / "broken"
    shutil.copytree(seeds, broken)
    (broken / "seed1" / "pretrain" / "model.json").unlink()
    with pytest.raises(RequestError, match="seed1: no finished finetune or pretrain phase"):
        predict(broken, strangers, tmp_path / "said.csv")
    with pytest.raises(RequestError, match="seed1 has no finished phase to score"):
        evaluate(broken)
    shutil.copytree(broken / "seed0" / "pretrain", broken / "seed1" / "finetune")
    with pytest.raises(RequestError, match="is not of the phase and classes of"):
        predict(broken, strangers, tmp_path / "said.csv")
    assert not (tmp_path / "said.csv").exists()


def test_a_pool_is_told_by_the_names_of_its_parts() -> None:
    assert kind_of(["seed3", "seed4"]) == "seeds"
    assert kind_of(["fold0", "fold1"]) == "folds"
    assert kind_of(["seed0", "fold1"]) == "runs"


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


def test_training_images_of_folds_are_not_called_unseen() -> None:
    assert "had not seen it" in pooled.words("folds", {}, 5, True)
    assert "that hold it in this part" in pooled.words("folds", {}, 5, True, unseen=False)
