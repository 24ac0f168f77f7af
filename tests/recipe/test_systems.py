"""The published systems' settings, cell by cell; tests/cli/test_systems.py asks each `--dry-run` for them."""

from __future__ import annotations

from typing import Any

import pytest

from contrastive_cxr import recipe, shipped
from tests.recipe.roots import roots

IMBALANCE_AND_AUGMENTATION = {
    "pretrain.optimiser.name": "adam",
    "pretrain.optimiser.lr": 0.0001,
    "pretrain.optimiser.weight_decay": 0.00005,
    "pretrain.imbalance": "none",
    "pretrain.augment": "xray-flip",
    "model.image_size": 256,
    "model.normalise": "half",
    "data.resize": "pad",
    "data.split.val": 0.2,
    "task.classes": {"normal": ["normal"], "bacterial": ["bacterial"], "viral": ["viral", "covid"]},
}
TRANSFORMER = {
    "model.weights": "imagenet",
    "data.resize": "crop",
    "pretrain.loss": "cross-entropy",
    "pretrain.label_smoothing": 0.1,
    "pretrain.optimiser.name": "sgd",
    "pretrain.optimiser.momentum": 0.9,
    "pretrain.optimiser.lr": 0.01,
    "pretrain.optimiser.weight_decay": 0.0001,
    "pretrain.schedule.name": "step",
}
PUBLISHED: dict[str, dict[str, Any]] = {
    "systems/ct-backbones": {
        "model.backbone": "densenet169",
        "model.weights": "imagenet",
        "model.normalise": "dataset",
        "pretrain.epochs": 3000,
        "pretrain.batch_size": 128,
        "pretrain.augment": "ct",
        "pretrain.optimiser.name": "sgd",
        "pretrain.optimiser.lr": 0.007,
        "pretrain.schedule.name": "step",
        "pretrain.schedule.step_epochs": 400,
        "pretrain.schedule.gamma": 0.5,
    },
    "systems/xray-resnet": {
        "model.backbone": "resnet50",
        "model.weights": "none",
        "model.init": "default",
        "pretrain.loss": "cross-entropy",
        "pretrain.augment": "xray-intensity",
        "pretrain.optimiser.name": "adam",
        "pretrain.optimiser.lr": 0.001,
        "pretrain.optimiser.weight_decay": 0.001,
        "cascade.stage1.name": "xray/infected",
        "cascade.stage2.name": "xray/covid",
    },
    "systems/xray-small-cnn": {
        "model.backbone": "cnn3",
        "model.image_size": 150,
        "model.drop_rates": [0.25, 0.35, 0.4],
        "pretrain.batch_size": 3,
        "cascade.stage1.name": "xray/infected",
        "cascade.stage2.name": "xray/covid",
    },
    "systems/xray-bit": {
        "model.backbone": "timm/resnetv2_50x1_bit.goog_in21k",
        "model.weights": "imagenet",
        "data.resize": "crop",
        "pretrain.loss": "cross-entropy",
        "pretrain.optimiser.name": "adam",
        "pretrain.optimiser.lr": 0.1,
        "pretrain.schedule.name": "inverse-time",
    },
    "systems/xray-vit": {"model.backbone": "timm/vit_base_patch16_224.augreg_in21k", **TRANSFORMER},
    "systems/xray-hybrid-vit": {"model.backbone": "timm/vit_base_r50_s16_224.orig_in21k", **TRANSFORMER},
    "systems/xray-cnn2": {"model.backbone": "cnn2", **IMBALANCE_AND_AUGMENTATION},
    "systems/xray-cnn4": {"model.backbone": "cnn4", **IMBALANCE_AND_AUGMENTATION},
    "systems/xray-resnet50-frozen": {
        "model.backbone": "resnet50",
        "model.stem": "random",
        "pretrain.trainable": ["layer4", "classifier"],
        **IMBALANCE_AND_AUGMENTATION,
    },
}
# What the studies compared: each value is one override away.
COMPARED = {
    "systems/ct-backbones": {
        "model.backbone": ["resnet18", "resnet50", "alexnet", "densenet121", "densenet161", "densenet169"],
        "model.normalise": ["dataset", "imagenet"],
    },
    "ct/three-phase": {"embed.positives": ["label", "augmented"]},
    "systems/xray-resnet": {
        "model.backbone": ["resnet50", "resnet101", "resnet152"],
        "pretrain.loss": ["cross-entropy", "bce"],
    },
    "systems/xray-small-cnn": {
        "pretrain.loss": ["cross-entropy", "bce", "hinge", "squared-hinge"],
        "pretrain.optimiser.name": ["sgd", "rmsprop", "adam"],
        "pretrain.optimiser.lr": [0.1, 0.2, 0.3, 0.4, 0.5],
        "model.init": ["zero", "normal", "he", "xavier"],
    },
    "systems/xray-cnn4": {"pretrain.imbalance": ["none", "oversample", "undersample", "class-weights"]},
    "systems/xray-resnet50-frozen": {"evaluation.tta": ["none", "mirror-turn", "equalise-shift"]},
}


def setting(tree: Any, name: str) -> Any:
    """A setting of a dumped recipe by its dotted name."""
    for part in name.split("."):
        tree = tree[part]
    return tree


def test_the_table_holds_every_recipe_of_the_systems() -> None:
    assert sorted(PUBLISHED) == [name for name in shipped.names() if name.startswith("systems/")]


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_settings(name: str) -> None:
    tree = recipe.load(name, roots(name)).model_dump(mode="json")
    assert {key: setting(tree, key) for key in PUBLISHED[name]} == PUBLISHED[name]
    assert tree["embed"] is None, "one supervised phase"
    assert tree["finetune"] is None, "one supervised phase"


@pytest.mark.parametrize("name", COMPARED)
def test_what_was_compared_is_one_override_away(name: str) -> None:
    for word, values in COMPARED[name].items():
        for value in values:
            tree = recipe.load(name, [*roots(name), f"{word}={value}"]).model_dump(mode="json")
            assert setting(tree, word) == value


def test_a_missed_covid_costs_most() -> None:
    costs = recipe.load("systems/xray-small-cnn", ["data.root=images"]).evaluation.costs
    worst = max((cost, true, said) for true, row in costs.items() for said, cost in row.items())
    assert worst[1:] == ("covid", "normal")


@pytest.mark.parametrize("name", ["systems/xray-bit", "systems/xray-vit", "systems/xray-hybrid-vit"])
def test_normal_against_virus_from_one_column_or_three(name: str) -> None:
    task = recipe.load(name, ["data.root=images", "task.columns=[label,agent,virus]"]).task
    rows = {
        "normal": {"label": "normal", "agent": "", "virus": ""},
        "viral": {"label": "pneumonia", "agent": "viral", "virus": ""},
        "covid": {"label": "pneumonia", "agent": "viral", "virus": "COVID-19"},
        "bacterial": {"label": "pneumonia", "agent": "bacterial", "virus": ""},
    }
    assert {key: task.encode(task.value(row)) for key, row in rows.items()} == {
        "normal": 0, "viral": 1, "covid": 1, "bacterial": -1,
    }  # fmt: skip
    assert [task.encode(label) for label in rows] == [0, 1, 1, -1]
