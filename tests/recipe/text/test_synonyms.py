"""Words of other libraries in a recipe: the sentence names the word that is meant, and it is one that the field has."""

from __future__ import annotations

import pytest

from contrastive_cxr import recipe
from contrastive_cxr.errors import RequestError
from contrastive_cxr.recipe.text import synonyms


def faults(*overrides: str) -> str:
    with pytest.raises(RequestError) as caught:
        recipe.load("phantom", overrides)
    return "\n".join(caught.value.faults)


@pytest.mark.parametrize(
    ("setting", "word"),
    [
        ("pretrain.loss=ce", "cross-entropy"),
        ("pretrain.loss=xent", "cross-entropy"),
        ("embed.loss=xent", "nt-xent"),
        ("embed.loss=InfoNCE", "nt-xent"),
        ("pretrain.optimiser.name=AdamW", "adamw"),
        ("pretrain.optimiser.name=Adam", "adam"),
        ("pretrain.schedule.name=OneCycleLR", "one-cycle"),
        ("pretrain.choose_by=auroc", "auc"),
        ("embed.mining=semi-hard", "semihard"),
        ("embed.distance=L2", "euclidean"),
        ("runtime.precision=32", "32-true"),
        ("runtime.precision=fp16", "16-mixed"),
        ("runtime.device=gpu", "cuda"),
        ("data.split.kind=kfold", "folds"),
        ("tracking.wandb=disabled", "off"),
    ],
)
def test_a_value_of_another_library_is_explained(setting: str, word: str) -> None:
    said = faults(setting)
    assert f"(did you mean '{word}'?)" in said
    recipe.load("phantom", [f"{setting.partition('=')[0]}={word!r}"])  # what is proposed is taken


def test_what_is_not_there_under_any_name_has_a_way_out() -> None:
    said = faults("pretrain.loss=focal")
    assert "there is no focal loss" in said
    recipe.load("phantom", ["pretrain.loss=cross-entropy", "pretrain.imbalance=class-weights"])


@pytest.mark.parametrize(
    ("setting", "name"),
    [
        ("pretrain.optimiser.learning_rate=0.1", "lr"),
        ("pretrain.learning_rate=0.1", "pretrain.optimiser.lr"),
        ("pretrain.num_epochs=3", "epochs"),
        ("pretrain.scheduler.name=cosine", "schedule"),
        ("model.arch=cnn2", "backbone"),
        ("embed.tau=0.1", "temperature"),
    ],
)
def test_a_setting_of_another_library_is_explained(setting: str, name: str) -> None:
    assert f"(did you mean '{name}'?)" in faults(setting)


def test_no_word_is_explained_by_one_that_the_field_lacks() -> None:
    assert synonyms.meant("ce", ["triplet", "supcon"]) == ""
    assert synonyms.key("learning_rate", ["epochs", "margin"]) == ""


@pytest.mark.parametrize(
    ("setting", "right"),
    [
        ("task.classes=[a, b]", "'task.classes={a: [a], b: [b]}'"),
        ("task.classes=a, b", "'task.classes={a: [a], b: [b]}'"),
        ("task.classes.a=Normal", "'task.classes.a=[Normal]'"),
        ("task.classes={a: x}", "'task.classes.a=[x]'"),
    ],
)
def test_classes_in_a_wrong_form_are_shown_in_the_right_one(setting: str, right: str) -> None:
    said = faults("task={name: mine, classes: {c: [c]}}", setting)
    assert right in said
    recipe.load("phantom", ["task={name: mine, classes: {c: [c]}}", right.strip("'")])
