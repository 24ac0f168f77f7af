"""A run asked about benign changes: its probabilities worked out again, when it is asked, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from contrastive_cxr import augment, engine
from contrastive_cxr import recipe as recipes
from contrastive_cxr.augment.corruptions import CASES, corrupt
from contrastive_cxr.data.dataset import Dataset
from contrastive_cxr.errors import RequestError
from contrastive_cxr.evaluation import robustness
from contrastive_cxr.evaluation.evaluate import run_inference
from contrastive_cxr.evaluation.external import evaluate
from contrastive_cxr.evaluation.report_facts import EvaluationContext
from contrastive_cxr.models import weights
from contrastive_cxr.recipe import Recipe
from contrastive_cxr.retrieval.embedding import forward_all
from contrastive_cxr.run_folder import recorded
from contrastive_cxr.training.cross_validation import pool
from tests.run_folder.scored_runs import a_recipe, drawn, edit, rows_of, write_run
from tests.small import small_recipe

NUMBER = {case: number for number, case in enumerate(CASES)}


@pytest.fixture(scope="module")
def robust(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished run scored again, with the changes and with test-time augmentation; it is read only."""
    out = tmp_path_factory.mktemp("robust") / "scores"
    return evaluate(finished, ["evaluation.tta=mirror-turn"], out=out, robustness=True)


def opened(run: Path) -> tuple[Recipe, Dataset]:
    recipe = recorded.recipe_of(run)
    return recipe, recorded.reopen(run, recipe, "test")


def facts_of(folder: Path) -> dict:
    return json.loads((folder / "report.json").read_text())


@pytest.mark.parametrize("change", [("crop", 2), ("noise", 3), ("equalise", 1)])
def test_probabilities_are_those_of_the_network_on_the_changed_images(
    finished: Path, robust: Path, change: tuple[str, int]
) -> None:
    _, data = opened(finished)
    rows = data.rows("test")
    squares = data.take(rows).reshape(len(rows), *data.take(rows).shape[-2:])
    if change[0] == "crop":  # of 32 pixels: three at each side
        shown = np.stack([np.asarray(Image.fromarray(each).crop((3, 3, 29, 29))) for each in squares])
        pixels = torch.from_numpy(shown).unsqueeze(1)
    else:
        pixels = corrupt(torch.from_numpy(squares).unsqueeze(1), *change, rows, seed=0)
    network, card = weights.load(finished / "finetune")
    network.eval()
    with torch.no_grad():
        want = forward_all(network, pixels, card["link"], "mirror-turn").averaged
    assert want is not None
    array = np.load(robust / "finetune" / "arrays" / "robustness.npy")
    assert array.shape == (64, len(rows), 3)
    assert array.dtype == np.float32
    np.testing.assert_allclose(array[NUMBER[change]], want.numpy(), atol=1e-5)


def test_the_report_is_of_these_probabilities(robust: Path) -> None:
    facts, arrays = facts_of(robust), robust / "finetune" / "arrays"
    found, array = facts["robustness"], np.load(arrays / "robustness.npy")
    labels, clean = np.load(arrays / "labels.npy"), np.load(arrays / "probabilities.npy")
    assert found["clean"]["accuracy"]["value"] == facts["scores"]["accuracy"]["value"]
    accuracy = (array.argmax(2) == labels).mean(1)
    told = [line["scores"]["accuracy"]["value"] for change in found["changes"] for line in change["severities"]]
    np.testing.assert_allclose(told, accuracy)
    means = [
        accuracy[[NUMBER[key] for key in NUMBER if key[0] == change["name"]]].mean() for change in found["changes"]
    ]
    assert found["mean"]["scores"]["accuracy"]["value"] == pytest.approx(np.mean(means))
    drop = np.mean(means) - (clean.argmax(1) == labels).mean()
    assert found["mean"]["difference"]["accuracy"]["difference"] == pytest.approx(drop)
    assert found["worst"]["name"] == found["changes"][int(np.argmin(means))]["name"]
    assert 'id="robustness"' in (robust / "report.html").read_text()
    assert "cases are measured" in (robust / "model-card.md").read_text()


@pytest.mark.slow
def test_the_batch_does_not_change_what_is_said(finished: Path) -> None:
    recipe, data = opened(finished)
    fabric = engine.launch(recipe.runtime)
    found = []
    for size in (64, 5):
        small = recipe.model_copy(update={"runtime": recipe.runtime.model_copy(update={"eval_batch_size": size})})
        context = EvaluationContext(small, data, data)
        found.append(robustness.passes(context, fabric, finished, run_inference(context, fabric, finished, "test")))
    np.testing.assert_allclose(*found, atol=1e-4)


def test_a_short_training_is_not_followed_by_a_long_scoring(finished: Path) -> None:
    facts = facts_of(finished)
    assert facts["robustness"] is None
    assert not (finished / "finetune" / "arrays" / "robustness.npy").exists()
    (note,) = [note for note in facts["notes"] if note.startswith("Robustness was not measured. To score ")]
    assert " images under 64 changes is as much work as training on " in note
    assert note.endswith("This command measures it: ccxr evaluate RUN --robustness")


def test_what_it_costs_is_counted_in_images_trained_on(finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    for name, seen in (("pretrain", 1000), ("embed", 2000), ("finetune", 90)):
        (run / name).mkdir(parents=True)
        (run / name / "done.json").write_text(json.dumps({"seconds": 5.0, "images_seen": seen}))
    recipe, data = opened(finished)
    context = EvaluationContext(recipe, data, data)
    assert robustness.changes_work(context, 12) == pytest.approx(64 * 12 / 3)
    views = recipe.model_copy(update={"evaluation": recipe.evaluation.model_copy(update={"tta": "mirror-turn"})})
    assert robustness.changes_work(EvaluationContext(views, data, data), 12) == pytest.approx(3 * 64 * 12 / 3)
    ready = len(data.rows("train")) + len(data.rows("val"))  # the head alone: each image was encoded once
    assert robustness.training_work(context, run, ["pretrain", "embed", "finetune"]) == pytest.approx(3000 + ready / 3)
    assert recipe.finetune is not None
    thawed = recipe.finetune.model_copy(update={"augment": "xray"})
    moving = EvaluationContext(recipe.model_copy(update={"finetune": thawed}), data, data)
    assert robustness.training_work(moving, run, ["pretrain", "embed", "finetune"]) == 3090


@pytest.mark.slow
def test_after_a_long_training_it_is_measured_and_off_takes_it_away(finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    shutil.rmtree(run / "finetune")  # and so the vote of the neighbours stands for a classifier
    for name in ("pretrain", "embed"):
        edit(run / name / "done.json", seconds=1000.0, images_seen=10**7)
    evaluate(run)
    facts, array = facts_of(run), run / "embed" / "arrays" / "robustness.npy"
    found = facts["robustness"]
    assert found["clean"]["accuracy"]["value"] == facts["scores"]["accuracy"]["value"]
    assert np.load(array).shape == (64, facts["n"], 3)
    own = np.load(run / "embed" / "arrays" / "votes.npy")
    assert not np.allclose(np.load(array)[NUMBER["crop", 3]], own, atol=1e-3)
    evaluate(run, ["evaluation.robustness=off"])
    assert facts_of(run)["robustness"] is None
    assert not array.exists()
    assert not any("Robustness" in note for note in facts_of(run)["notes"])


def test_a_run_without_labels_is_refused(cache: Path, tmp_path: Path) -> None:
    words = ["task={name: all, classes: {chest: [normal, nodule, opacity]}, positive: chest}", "pretrain=null"]
    words += ["finetune=null", "embed.positives=augmented", "embed.choose_by=last"]
    recipes_text = recipes.dump(small_recipe(cache, *words))
    (tmp_path / "recipe.yaml").write_text(recipes_text)
    with pytest.raises(RequestError, match="one class") as told:
        evaluate(tmp_path, robustness=True)
    assert len(told.value.faults) == 1
    assert "--robustness" in told.value.faults[0]


def test_pooled_seeds_are_asked_by_their_mean(tmp_path: Path) -> None:
    """Two seeds whose rows stand in other orders, and one that was never asked."""
    parts, arrays, recipe = ["seed0", "seed1"], [], a_recipe()
    rng = np.random.default_rng(0)
    for number, name in enumerate(parts):
        preds, labels = drawn(seed=number)
        changed = rng.dirichlet(np.ones(3), (64, len(labels))).astype(np.float32)
        arrays.append(changed)
        order = np.arange(len(labels))[:: -1 if number else 1]
        rows = rows_of(labels, recipe.task.names).iloc[order]
        write_run(tmp_path / name, recipe, preds[order], labels[order], rows=rows)
        np.save(tmp_path / name / "pretrain" / "arrays" / "robustness.npy", changed[:, order])
        cases = [robustness.case(*each) for each in CASES]
        facts = robustness.scores_under_changes(preds, changed, labels, cases, np.full(len(labels), -1), 100)
        edit(tmp_path / name / "report.json", robustness=facts)
    found = pool(recipe, tmp_path, {name: tmp_path / name for name in parts})["robustness"]
    mean, labels = (arrays[0] + arrays[1]) / 2, drawn()[1]
    told = [line["scores"]["accuracy"]["value"] for change in found["changes"] for line in change["severities"]]
    np.testing.assert_allclose(told, (mean.argmax(2) == labels).mean(1))
    assert (found["changes"][0]["severities"][1]["words"]) == "a 10 % crop of all sides"
    edit(tmp_path / "seed1" / "report.json", robustness=None)
    assert pool(recipe, tmp_path, {name: tmp_path / name for name in parts})["robustness"] is None


def test_every_change_is_in_the_network_s_convention() -> None:
    images = torch.randint(0, 256, (2, 1, 40, 40), dtype=torch.uint8)
    for name, severity in CASES:
        assert augment.plain(corrupt(images, name, severity), 32).shape == (2, 1, 32, 32)


def test_the_words_and_numbers_of_the_table() -> None:
    every = {each: robustness.case(*each) for each in CASES}
    assert len(every) == 64
    assert every["crop", 2].words == "a 10 % crop of all sides"
    assert every["jpeg", 3].value == 10
    assert every["equalise", 1].value is None
