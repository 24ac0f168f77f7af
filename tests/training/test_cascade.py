"""Two stages in a row beside the flat task."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from contrastive_cxr import report
from contrastive_cxr.augment import plain
from contrastive_cxr.data import phantom
from contrastive_cxr.errors import RequestError
from contrastive_cxr.evaluation.cascade import stage_recipes
from contrastive_cxr.evaluation.external import evaluate
from contrastive_cxr.explain import blend, class_map, standing_out
from contrastive_cxr.metrics import baselines
from contrastive_cxr.models import weights
from contrastive_cxr.recipe import Recipe, schema
from contrastive_cxr.retrieval.image_inputs import square
from contrastive_cxr.run_layout import STAGES
from contrastive_cxr.training.run import run
from tests.small import small_recipe

QUICK = (
    "embed=null",
    "finetune=null",
    "pretrain.epochs=1",
    "evaluation.tta=mirror-turn",
    "evaluation.baselines=true",
    "cascade={stage1: phantom/lesion, stage2: phantom/opacity}",
)


@pytest.fixture(scope="module")
def recipe(cache: Path) -> Recipe:
    return small_recipe(cache, *QUICK)


@pytest.fixture(scope="module")
def cascade(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished cascade of one-epoch stages, its baselines of few trees; it is read only."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(baselines, "_TREES", 10)
        return run(recipe, tmp_path_factory.mktemp("runs") / "cascade")


def test_all_stages_divide_the_images_alike(cascade: Path) -> None:
    whole = pd.read_csv(cascade / "split.csv", dtype=str, keep_default_na=False).set_index("path")
    for name in STAGES:
        part = pd.read_csv(cascade / name / "split.csv", dtype=str, keep_default_na=False).set_index("path")
        assert (part["split"] == whole.loc[part.index, "split"]).all()
        assert len(part) == (len(whole) if name != "stage2" else int((whole["class"] != "normal").sum()))


def test_the_stages_make_one_verdict(cascade: Path) -> None:
    """P(normal) is stage 1's; the rest is shared out by stage 2, asked about every image."""
    rows = pd.read_csv(cascade / "arrays" / "rows.csv", dtype=str)
    joined, verdicts = np.load(cascade / "arrays" / "joined.npy"), np.load(cascade / "arrays" / "verdicts.npy")
    first = np.load(cascade / "stage1" / "pretrain" / "arrays" / "probabilities.npy")
    second = np.load(cascade / "stage2" / "pretrain" / "arrays" / "probabilities.npy")
    known = pd.read_csv(cascade / "stage2" / "pretrain" / "arrays" / "rows.csv", dtype=str)["path"].tolist()
    asked = 0
    for number, path in enumerate(rows["path"]):
        normal, lesion = first[number]
        assert joined[number].sum() == pytest.approx(1, abs=1e-5)
        assert joined[number, 0] == pytest.approx(normal, abs=1e-5)
        assert (verdicts[number] == 0) == (normal > lesion)
        if path in known:
            nodule, opacity = second[known.index(path)]
            np.testing.assert_allclose(joined[number, 1:], [lesion * nodule, lesion * opacity], atol=1e-5)
            asked += 1
    assert asked == len(known) > 0


def test_its_baselines_thresholds_and_errors_are_those_of_the_flat_tasks_rows(cascade: Path) -> None:
    facts = json.loads((cascade / "report.json").read_text())
    flat = json.loads((cascade / "flat" / "report.json").read_text())
    names = ["file metadata", "border, outer 10 %", "32x32 thumbnail"]
    assert [each["name"] for each in facts["baselines"]] == names
    for mine, theirs in zip(facts["baselines"], flat["baselines"], strict=True):
        assert mine["scores"]["auc"]["value"] == pytest.approx(theirs["scores"]["auc"]["value"], abs=1e-6)
    for name in STAGES:
        assert len(json.loads((cascade / name / "report.json").read_text())["baselines"]) == 3
    split = pd.read_csv(cascade / "split.csv", dtype=str)
    found = facts["calibration"]
    assert (found["fitted_on"], found["fitted_images"]) == ("validation", (split["split"] == "val").sum())
    assert [line["of"] for line in facts["thresholds"]] == ["sensitivity", "specificity"]
    assert set(facts["selective"]["by"]) == {"confidence"}
    verdicts, labels = (np.load(cascade / "arrays" / f"{name}.npy") for name in ("verdicts", "labels"))
    errors = facts["cascade"]["errors"]
    assert sum(errors.values()) == facts["n"]
    assert errors["right"] == (verdicts == labels).sum()
    assert errors["passed_on"] == sum(v != 0 for v, y in zip(verdicts, labels, strict=True) if y == 0)
    assert errors["held_back"] == sum(v == 0 for v, y in zip(verdicts, labels, strict=True) if y != 0)
    page = (cascade / "report.html").read_text()
    assert f"held back {errors['held_back']} by mistake; stage 2" in page
    for heading in ("Calibration</h2>", "Thresholds</h2>", "Rejecting images</h2>"):
        assert heading in page


def test_the_report_sets_it_beside_the_flat_task(cascade: Path) -> None:
    facts = json.loads((cascade / "report.json").read_text())
    flat = json.loads((cascade / "flat" / "report.json").read_text())
    labels = np.load(cascade / "flat" / "pretrain" / "arrays" / "labels.npy")
    said = np.load(cascade / "arrays" / "joined.npy").argmax(1)
    assert facts["scores"]["accuracy"]["value"] == pytest.approx((said == labels).mean())
    assert facts["cascade"]["flat"]["scores"]["accuracy"]["value"] == flat["scores"]["accuracy"]["value"]
    difference = facts["cascade"]["paired"]["joined"]["accuracy"]["difference"]
    assert difference == pytest.approx(facts["scores"]["accuracy"]["value"] - flat["scores"]["accuracy"]["value"])
    assert set(facts["cascade"]["stages"]) == set(STAGES)
    assert facts["tta"]["name"] == "mirror-turn"
    plain = [np.load(cascade / name / "pretrain" / "arrays" / "untouched.npy") for name in STAGES]
    assert not np.allclose(np.load(cascade / "arrays" / "flat.npy"), plain[0], atol=1e-6)
    text = (cascade / "report.html").read_text()
    for stage in ("Flat", "Stage 1", "Stage 2"):
        assert f"{stage} · Phase 1 · pretrain" in text, "learning curves of every part"


def test_the_sheet_shows_the_verdicts(cascade: Path) -> None:
    verdicts, labels = (np.load(cascade / "arrays" / f"{name}.npy") for name in ("verdicts", "labels"))
    pixels = np.asarray(Image.open(cascade / "predictions-1.png"))
    frames = [pixels[8 + number // 10 * 102, 8 + number % 10 * 94] for number in range(len(labels))]
    assert [tuple(frame) == (0, 100, 74) for frame in frames] == (verdicts == labels).tolist()


def test_costs_are_between_the_classes_of_the_flat_task(recipe: Recipe) -> None:
    costs = {"opacity": {"normal": 10.0}}
    dear = recipe.model_copy(update={"evaluation": recipe.evaluation.model_copy(update={"costs": costs})})
    assert [part.evaluation.costs for part in stage_recipes(dear).values()] == [costs, {}, {}]


@pytest.mark.slow
def test_a_finished_cascade_trains_nothing_again(cascade: Path, recipe: Recipe) -> None:
    weights = {path: path.stat().st_mtime_ns for path in cascade.rglob("model.safetensors")}
    assert len(weights) == 3
    with pytest.raises(RequestError, match="already holds a run"):
        run(recipe, cascade)
    run(recipe, cascade, resume=True)
    assert {path: path.stat().st_mtime_ns for path in cascade.rglob("model.safetensors")} == weights


def test_its_own_images_are_scored_again_as_they_were(cascade: Path, tmp_path: Path) -> None:
    out = evaluate(cascade, out=tmp_path / "again")
    then, now = (json.loads((folder / "report.json").read_text()) for folder in (cascade, out))
    for name in ("scores", "confusion", "calibration", "cascade", "n", "external_drop"):
        assert now[name] == then[name], name


def test_new_images_get_one_verdict_beside_the_flat_one(cascade: Path, tmp_path: Path) -> None:
    phantom.paint(tmp_path / "painted", 15, seed=99)
    table = pd.read_csv(tmp_path / "painted" / "labels.csv", dtype=str)
    for row in table.itertuples():
        (tmp_path / "new" / str(row.label)).mkdir(parents=True, exist_ok=True)
        shutil.copy(tmp_path / "painted" / str(row.file), tmp_path / "new" / str(row.label))
    words = ["data.source=folders", f"data.root={tmp_path / 'new'}"]
    out = evaluate(cascade, [*words, "evaluation.costs={opacity: {normal: 10}}"], out=tmp_path / "scores")
    facts = json.loads((out / "report.json").read_text())
    assert facts["n"] == 15
    assert any(note.startswith("An external test") for note in facts["notes"])
    labels, verdicts = (np.load(out / "arrays" / f"{name}.npy") for name in ("labels", "verdicts"))
    first = np.load(out / "stage1" / "pretrain" / "arrays" / "probabilities.npy")
    second = np.load(out / "stage2" / "pretrain" / "arrays" / "probabilities.npy")
    rows, ill = (
        pd.read_csv(place / "arrays" / "rows.csv", dtype=str)["path"].tolist()
        for place in (out, out / "stage2" / "pretrain")
    )
    assert 0 < len(ill) == int((labels > 0).sum())
    for number, path in enumerate(rows):
        expected = 0 if first[number].argmax() == 0 else verdicts[number]
        if path in ill and expected:
            expected = 1 + second[ill.index(path)].argmax()
        assert verdicts[number] == expected, path
    flat = json.loads((out / "flat" / "report.json").read_text())
    assert facts["cascade"]["verdicts"]["scores"]["accuracy"]["value"] == pytest.approx((verdicts == labels).mean())
    assert facts["cascade"]["flat"]["scores"]["accuracy"]["value"] == flat["scores"]["accuracy"]["value"]
    drop = facts["external_drop"]["scores"]["accuracy"]["difference"]
    own = json.loads((cascade / "report.json").read_text())
    assert drop == pytest.approx(facts["scores"]["accuracy"]["value"] - own["scores"]["accuracy"]["value"])
    assert not (cascade / "external-test").exists()
    assert (out / "report.html").is_file()


def test_a_gallery_is_of_one_run(cascade: Path, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="evaluate one of them, such as"):
        evaluate(cascade, gallery=tmp_path)


def test_the_stages_differ_in_task_and_name_alone(recipe: Recipe) -> None:
    parts = stage_recipes(recipe)
    for name, part in parts.items():
        same = part.model_copy(update={"name": recipe.name, "task": recipe.task, "cascade": recipe.cascade})
        assert same == recipe
        assert part.name == f"phantom/{name}"
    assert [part.task.name for part in parts.values()] == ["phantom", "phantom/lesion", "phantom/opacity"]


def test_the_maps_of_the_cases_are_those_of_the_stage_that_decided(cascade: Path, recipe: Recipe) -> None:
    arrays = cascade / "arrays"
    verdicts, joined, labels = (np.load(arrays / f"{name}.npy") for name in ("verdicts", "joined", "labels"))
    found, pictures = np.load(arrays / "gradcam_rows.npy"), np.load(arrays / "gradcam.npy")
    sure = joined[np.arange(len(verdicts)), verdicts]
    assert found[:, 0].tolist() == report.case_rows(sure, verdicts, labels)
    assert found[:, 2].tolist() == [1 if verdicts[row] == 0 else 2 for row in found[:, 0]]
    rows = pd.read_csv(arrays / "rows.csv", dtype=str)
    networks = {stage: weights.load(cascade / f"stage{stage}" / "pretrain")[0].eval() for stage in (1, 2)}
    decode = schema.Data(cache_size=32, source="phantom")
    for (row, signal, stage), picture in zip(found, pictures, strict=True):
        pixels = torch.from_numpy(square(f"{rows['root'][row]}/{rows['path'][row]}", decode))[None, None]
        target = 0 if stage == 1 else int(verdicts[row]) - 1  # normal; nodule, opacity
        over = standing_out(class_map(networks[stage], plain(pixels, 32), target))
        assert (over is not None) == bool(signal)
        if over is not None:
            small = plain(pixels, 240)[0, 0].numpy()
            assert np.abs(blend(small, over).astype(int) - picture).max() <= 1
    page = (cascade / "report.html").read_text()
    part = page[page.index('id="cases"') : page.index('id="sheets"')]
    for stage in (1, 2):
        assert part.count(f"Grad-CAM of stage {stage}, which decided") == int(
            ((found[:, 2] == stage) & (found[:, 1] == 1)).sum()
        )
    assert "flat/report.html" in part
