from __future__ import annotations

import pytest
from pydantic import ValidationError

from contrastive_cxr.recipe import Recipe
from contrastive_cxr.recipe.checks import fields
from contrastive_cxr.tasks import SHIPPED


def build(**sections: object) -> Recipe:
    """A sound recipe with `sections` in the place of its own."""
    sound: dict[str, object] = {"task": SHIPPED["phantom"], "data": {"source": "phantom"}, "pretrain": {}}
    return Recipe.model_validate({**sound, **sections})


def join(*sources: dict[str, object], **more: object) -> dict[str, object]:
    return {"join": sources, **more}


ONE_CLASS = SHIPPED["unlabelled"]
TWO_STAGES = {"stage1": SHIPPED["phantom/lesion"], "stage2": SHIPPED["phantom/opacity"]}

WRONG: dict[str, tuple[dict[str, object], list[str]]] = {
    "no phase": ({"pretrain": None}, ["no phase"]),
    "grows down": ({"pretrain": {"initial_image_size": 256}}, ["pretrain.initial_image_size", "256", "224"]),
    "one-cycle warms up": (
        {"embed": {"schedule": {"name": "one-cycle", "warmup_epochs": 1}}},
        ["embed.schedule.warmup_epochs", "one-cycle"],
    ),
    "all warm-up": ({"pretrain": {"epochs": 2, "schedule": {"warmup_epochs": 3}}}, ["warmup_epochs", "3", "2"]),
    "drawn and loaded": (
        {"model": {"init": "he", "weights": "imagenet"}},
        ["model.init", "he", "model.weights=imagenet", "model.weights=none"],
    ),
    "dropout twice": (
        {"model": {"backbone": "cnn3", "dropout": 0.1, "drop_rates": (0.25, 0.35, 0.4)}},
        ["model.drop_rates", "0.1"],
    ),
    "nothing trained": ({"pretrain": {"trainable": ()}}, ["pretrain.trainable", "empty"]),
    "folders without root": ({"data": {"source": "folders"}}, ["data.root", "data.root=DIR"]),
    "lists without root": ({"data": {"source": "covid-ct"}}, ["data.root"]),
    "csv without csv": ({"data": {"source": "csv", "root": "a"}}, ["data.csv"]),
    "csv of folders": ({"data": {"source": "folders", "root": "a", "csv": "b"}}, ["data.csv", "folders"]),
    "join without root": ({"data": join({"source": "phantom"}, {"source": "folders"})}, ["data.join.1.root"]),
    "join and outside": ({"data": join({"source": "phantom"}, outside=True)}, ["data.outside", "data.join.0.outside"]),
    "join and root": ({"data": join({"source": "phantom"}, root="a")}, ["data.join", "data.root"]),
    "window upside down": (
        {"data": {"source": "phantom", "intensity": {"kind": "window", "low": 40, "high": -160}}},
        ["low 40", "high -160"],
    ),
    "percentile above 100": (
        {"data": {"source": "phantom", "intensity": {"kind": "percentile", "low": 1, "high": 101}}},
        ["101", "0 to 100"],
    ),
    "fold too high": (
        {"data": {"source": "phantom", "split": {"kind": "folds", "folds": 3, "fold": 3}}},
        ["data.split.fold", "0 to 2"],
    ),
    "nothing to train on": (
        {"data": {"source": "phantom", "split": {"kind": "within-train", "val": 0.5, "test": 0.5}}},
        ["data.split", "leave nothing"],
    ),
    "nothing to choose by": (
        {"data": {"source": "phantom", "split": {"kind": "fractions", "val": 0}}},
        ["pretrain.choose_by", "data.split.val"],
    ),
    "labels in label-free": ({"embed": {"positives": "augmented"}}, ["embed.choose_by", "map_at_r", "loss or last"]),
    "too many classes": ({"embed": {"classes_per_batch": 4}}, ["embed.classes_per_batch", "4", "3 classes"]),
    "no negatives": ({"embed": {"classes_per_batch": 1}}, ["embed.classes_per_batch", "negatives"]),
    "cosine": ({"embed": {"mining": "distance-weighted", "distance": "cosine"}}, ["distance-weighted", "cosine"]),
    "memory": ({"embed": {"mining": "batch-hard", "memory_bank_size": 512}}, ["embed.memory_bank_size", "batch-hard"]),
    "one class, pretrain": ({"task": ONE_CLASS}, ["one class", "pretrain"]),
    "one class, labels": ({"task": ONE_CLASS, "pretrain": None, "embed": {}}, ["one class", "embed.positives"]),
    "half precision": ({"runtime": {"precision": "16-mixed", "device": "cpu"}}, ["runtime.precision", "bf16-mixed"]),
    "stage 1 decides nothing": ({"cascade": {**TWO_STAGES, "stage1": SHIPPED["ct"]}}, ["cascade.stage1", "noncovid"]),
    "stage 2 of another task": (
        {"cascade": {**TWO_STAGES, "stage2": SHIPPED["xray/covid"]}},
        ["cascade.stage2", "nodule, opacity"],
    ),
    "hinge with soft labels": (
        {"pretrain": {"loss": "squared-hinge", "label_smoothing": 0.1}},
        ["pretrain.label_smoothing", "0.1", "squared-hinge", "cross-entropy or bce"],
    ),
    "cost of no class": (
        {"evaluation": {"costs": {"nodul": {"normal": 2}}}},
        ["evaluation.costs", "'nodul'", "did you mean 'nodule'", "normal, nodule, opacity"],
    ),
    "cost of deciding no class": (
        {"evaluation": {"costs": {"nodule": {"norml": 2}}}},
        ["evaluation.costs.nodule", "'norml'", "did you mean 'normal'"],
    ),
    "negative cost": ({"evaluation": {"costs": {"nodule": {"normal": -1}}}}, ["costs.nodule.normal", "-1"]),
    "a right decision that costs": (
        {"evaluation": {"costs": {"nodule": {"nodule": 0.5, "normal": 2}}}},
        ["costs.nodule.nodule", "0.5", "right decision"],
    ),
    "robustness without labels": (
        {
            "task": ONE_CLASS,
            "pretrain": None,
            "embed": {"positives": "augmented", "choose_by": "last"},
            "evaluation": {"robustness": "on"},
        },
        ["evaluation.robustness", "one class", "--robustness"],
    ),
    "changed images of ready vectors": (
        {"finetune": {"choose_by": "robust_auc"}},
        ["finetune.choose_by", "robust_auc", "finetune.choose_by=auc"],
    ),
    "stage 1 of three": ({"cascade": {**TWO_STAGES, "stage1": SHIPPED["phantom"]}}, ["cascade.stage1", "3 classes"]),
    "stages disagree": (
        {
            "cascade": {
                **TWO_STAGES,
                "stage2": SHIPPED["phantom/opacity"].model_copy(
                    update={"classes": {"nodule": ("nodule", "mass"), "opacity": ("opacity",)}}
                ),
            }
        },
        ["cascade.stage2", "mass", "nodule"],
    ),
}
SOUND: dict[str, dict[str, object]] = {
    "as it is": {},
    "finetune alone, its start named later": {"pretrain": None, "finetune": {}},
    "join": {"data": join({"source": "phantom"}, {"source": "folders", "root": "a"})},
    "label-free": {"task": ONE_CLASS, "pretrain": None, "embed": {"positives": "augmented", "choose_by": "last"}},
    "memory of hard triplets": {"embed": {"mining": "hard", "memory_bank_size": 512}},
    "other losses leave the mining alone": {
        "embed": {"loss": "supcon", "mining": "batch-hard", "memory_bank_size": 512}
    },
    "dtype leaves the limits alone": {"data": {"source": "phantom", "intensity": {"low": 5, "high": 1}}},
    "official split leaves the fractions alone": {"data": {"source": "phantom", "split": {"val": 0.6, "test": 0.6}}},
    "nothing to choose": {
        "data": {"source": "phantom", "split": {"kind": "fractions", "val": 0}},
        "pretrain": {"choose_by": "last"},
    },
    "cascade": {"cascade": TWO_STAGES},
    "smoothed bce": {"pretrain": {"loss": "bce", "label_smoothing": 0.1}},
    "hinge with hard labels": {"pretrain": {"loss": "hinge", "imbalance": "class-weights"}},
    "costs": {"evaluation": {"costs": {"nodule": {"normal": 5, "nodule": 0}}}},
    "robustness where a block is thawed": {
        "finetune": {"choose_by": "robust_auc", "trainable": ["norm5", "classifier"]},
        "pretrain": {"choose_by": "robust_auc"},
        "evaluation": {"robustness": "on"},
    },
    "half precision on what there is": {"runtime": {"precision": "16-mixed"}},
}


@pytest.mark.parametrize("case", WRONG)
def test_one_sentence_for(case: str) -> None:
    sections, words = WRONG[case]
    found = fields.faults(build(**sections))
    assert len(found) == 1, found
    assert all(word in found[0] for word in words), found[0]


@pytest.mark.parametrize("case", SOUND)
def test_nothing_to_say_about(case: str) -> None:
    assert fields.faults(build(**SOUND[case])) == []


def test_every_fault_is_named() -> None:
    found = fields.faults(
        build(
            embed={"classes_per_batch": 9, "mining": "distance-weighted", "distance": "cosine", "memory_bank_size": 1}
        )
    )
    assert len(found) == 3


def test_one_image_of_a_class_is_no_pair() -> None:
    with pytest.raises(ValidationError, match="images_per_class"):
        build(embed={"images_per_class": 1})
