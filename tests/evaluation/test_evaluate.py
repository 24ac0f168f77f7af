"""A run with its own loss, hidden head, imbalance, costs and test-time augmentation, scored and used."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from contrastive_cxr import __version__, report
from contrastive_cxr.inference.predict import predict
from contrastive_cxr.metrics import decisions
from contrastive_cxr.models import weights
from contrastive_cxr.run import folder as folders
from contrastive_cxr.training.run import run
from tests.small import metrics, small_recipe, tensors

CLASSES = ("normal", "nodule", "opacity")


@pytest.fixture(scope="module")
def special(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of phase 1 alone; it is read only."""
    recipe = small_recipe(
        cache,
        "embed=null",
        "finetune=null",
        "pretrain.loss=squared-hinge",
        "pretrain.hidden=[6]",
        "pretrain.imbalance=oversample",
        "pretrain.augment=xray-flip",
        "pretrain.schedule.name=inverse-time",
        "evaluation.tta=mirror-turn",
        "evaluation.costs={opacity: {normal: 10}, nodule: {normal: 4}}",
    )
    return run(recipe, tmp_path_factory.mktemp("runs") / "special")


def test_the_model_says_how_it_answers(special: Path) -> None:
    card = weights.load(special / "pretrain")[1]
    assert (card["link"], card["tta"], card["hidden"]) == ("margin", "mirror-turn", [6])
    assert card["costs"] == {"opacity": {"normal": 10}, "nodule": {"normal": 4}}


def test_scores_with_and_without_augmentation(special: Path) -> None:
    facts = json.loads((special / "report.json").read_text())
    arrays = special / "pretrain" / "arrays"
    labels = np.load(arrays / "labels.npy")
    given = {name: np.load(arrays / f"{name}.npy") for name in ("probabilities", "untouched")}
    right = {name: (each.argmax(1) == labels).mean() for name, each in given.items()}
    assert not np.allclose(given["probabilities"], given["untouched"], atol=1e-4)
    assert facts["scores"]["accuracy"]["value"] == pytest.approx(right["probabilities"])
    assert facts["tta"]["name"] == "mirror-turn"
    assert len(facts["tta"]["views"]) == 3
    assert facts["tta"]["scores"]["accuracy"]["value"] == pytest.approx(right["untouched"])
    assert any("not probabilities" in note for note in facts["notes"])


def test_the_report_says_its_origin_and_keeps_maps_of_the_cases(special: Path) -> None:
    made = json.loads((special / "report.json").read_text())["made"]
    assert (made["version"], made["data"]) == (__version__, "phantom")
    assert re.fullmatch(r"20\d\d-\d\d-\d\d \d\d:\d\d UTC", made["date"])
    arrays = special / "pretrain" / "arrays"
    given, labels = np.load(arrays / "probabilities.npy"), np.load(arrays / "labels.npy")
    rows, pictures = np.load(arrays / "gradcam_rows.npy"), np.load(arrays / "gradcam.npy")
    assert rows[:, 0].tolist() == report.case_rows(given.max(1), given.argmax(1), labels)
    assert pictures.shape == (len(rows), 240, 240, 3)
    assert set(rows[:, 2]) == {0}
    for (_, signal, _), picture in zip(rows, pictures, strict=True):
        assert (np.ptp(picture, axis=2).max() > 0) == bool(signal), "colours where places stand out, else grey"
    assert np.load(arrays / "thumbnails.npy").shape[0] == len(labels)


def test_the_last_hidden_layer_and_the_weights_above_it(special: Path) -> None:
    arrays, state = special / "pretrain" / "arrays", tensors(special / "pretrain")
    last = sorted(name for name in state if name.startswith("classifier") and name.endswith("weight"))[-1]
    weight, bias = state[last].numpy().astype(np.float64), state[last.replace("weight", "bias")].numpy()
    hidden = np.load(arrays / "hidden.npy")
    assert hidden.shape[1] == 6
    shares = 1 / (1 + np.exp(-2 * (hidden @ weight.T + bias)))
    np.testing.assert_allclose(np.load(arrays / "untouched.npy"), shares / shares.sum(1, keepdims=True), atol=1e-5)
    found = json.loads((special / "report.json").read_text())["last_layer"]["pretrain"]
    assert found["mean"] == pytest.approx(weight.mean(), rel=1e-5)
    assert found["variance"] == pytest.approx(weight.var(), rel=1e-5)
    assert found["standard_deviation"] == pytest.approx(weight.std(), rel=1e-5)
    assert found["weights"] == 18


def test_predictions_are_augmented_and_decided_by_cost_as_in_the_evaluation(special: Path, tmp_path: Path) -> None:
    arrays = special / "pretrain" / "arrays"
    rows = pd.read_csv(arrays / "rows.csv", dtype=str)
    table = predict(special, Path(rows["root"][0]), tmp_path / "said.csv").set_index("file")
    report = json.loads((special / "report.json").read_text())
    positive, lines = report["task"]["positive"], report["thresholds"]
    reached = [f"{positive}_at_{line['of']}_{line['wanted']:g}" for line in lines if line["threshold"] is not None]
    columns = [*(f"p_{name}" for name in CLASSES), "decision", "most_probable"]
    assert list(table) == [*columns, *(f"calibrated_{name}" for name in CLASSES), *reached]
    preds = table.loc[[str(Path(root) / path) for root, path in zip(rows["root"], rows["path"], strict=True)]]
    probabilities = np.load(arrays / "probabilities.npy")
    np.testing.assert_allclose(preds[[f"p_{name}" for name in CLASSES]].to_numpy(), probabilities, atol=1e-5)
    costs = np.array([[0, 1, 1], [4, 0, 1], [10, 1, 0]])
    assert list(preds["decision"]) == [CLASSES[number] for number in (probabilities @ costs).argmin(1)]
    assert list(preds["most_probable"]) == [CLASSES[number] for number in probabilities.argmax(1)]
    facts = json.loads((special / "report.json").read_text())["costs"]
    spent = costs[np.load(arrays / "labels.npy"), decisions.decide(probabilities, costs)]
    assert facts["by_cost"]["mean_cost"]["value"] == pytest.approx(spent.mean())


def test_the_sheet_has_every_scored_image(special: Path) -> None:
    thumbnails = np.load(special / "pretrain" / "arrays" / "thumbnails.npy")
    assert thumbnails.shape == (len(np.load(special / "pretrain" / "arrays" / "labels.npy")), 32, 32), "as the cache"
    assert thumbnails.std() > 10
    assert (special / "predictions-1.png").is_file()
    assert "predictions-1.png" in (special / "report.html").read_text()
    assert folders.OURS.fullmatch("predictions-12.png")


def test_an_oversampled_epoch_is_as_long_as_it_says(special: Path) -> None:
    split = pd.read_csv(special / "split.csv")
    counts = split[split["split"] == "train"]["class"].value_counts()
    done = json.loads((special / "pretrain" / "done.json").read_text())
    assert done["steps"] == 2 * (counts.max() * 3 // 8)
    assert all(np.isfinite(row["loss"]) for row in metrics(special / "pretrain"))
