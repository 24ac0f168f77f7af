"""Settings of fine-tuning that contradict each other, one sentence each."""

from __future__ import annotations

import pytest

from contrastive_cxr import recipe as recipes
from contrastive_cxr.errors import RequestError


def faults(*words: str) -> list[str]:
    try:
        recipes.load("phantom", words)
    except RequestError as error:
        return list(error.faults)
    return []


THAWED = ("finetune.trainable=[projection, classifier]", "finetune.augment=xray")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("pretrain.mix.mixup=0.2", "pretrain.loss=hinge"), "set pretrain.mix.mixup=0, or pretrain.loss to cross-ent"),
        (
            ("pretrain.mix.mixup=0.2", "pretrain.mix.cutmix=1", "pretrain.loss=squared-hinge"),
            "mixup and cutmix gives an image two classes",
        ),
        (("finetune.mix.cutmix=1", "finetune.trainable=[classifier]", "finetune.augment=none"), "computed once"),
        (("pretrain.mix.mixup=-1",), "`pretrain.mix.mixup`: -1 is too small"),
        (("pretrain.mix.probability=0",), "`pretrain.mix.probability`: 0 is too small"),
        (("pretrain.mix.cutmx=1",), "did you mean 'cutmix'"),
        (("pretrain.head_epochs=3", "pretrain.epochs=3"), "3 is not below pretrain.epochs (3)"),
        (("pretrain.head_epochs=0.5",), "`pretrain.head_epochs`: 0.5 is not a whole number"),
        (("finetune.head_epochs=1", "finetune.trainable=[classifier]"), "changes nothing where finetune.trainable"),
        (("pretrain.head_epochs=1", "pretrain.trainable=[layer4]"), "pretrain.trainable lacks classifier"),
        (("pretrain.optimiser.layer_decay=0",), "`pretrain.optimiser.layer_decay`: 0 is too small"),
        (("pretrain.optimiser.layer_decay=1.1",), "`pretrain.optimiser.layer_decay`: 1.1 is too large"),
        (("finetune.optimiser.layer_decay=0.7", "finetune.trainable=[classifier]"), "changes nothing where"),
        (("embed.optimiser.layer_decay=0.7", "embed.trainable=[projection]"), "changes nothing where embed.trainable"),
        (("embed.optimiser.head_lr=0.1", "embed.projection=[]"), "embed.projection is empty"),
        (
            (*THAWED, "finetune.optimiser.head_lr=0.1", "finetune.backbone_lr=0.01"),
            "set finetune.optimiser.lr=0.01 and finetune.backbone_lr=null",
        ),
        (("model.drop_path=1",), "`model.drop_path`: 1 is too large"),
        (("pretrain.mix.probability=0.5",), "0.5 changes nothing where nothing is mixed"),
        (
            ("pretrain.optimiser.head_lr=0.01", "pretrain.trainable=[layer4]"),
            "is the rate of classifier, which pretrain.trainable lacks",
        ),
    ],
)
def test_bad_input_is_one_sentence(words: tuple[str, ...], said: str) -> None:
    found = faults(*words)
    assert len(found) == 1, found
    assert said in found[0]


def test_good_input_passes() -> None:
    assert not faults(
        *THAWED, "finetune.head_epochs=1", "finetune.epochs=3", "finetune.mix.cutmix=1", "pretrain.mix.mixup=0.2",
        "pretrain.optimiser.layer_decay=0.7", "pretrain.optimiser.head_lr=0.01", "embed.optimiser.layer_decay=0.7",
        "embed.optimiser.head_lr=0.001", "embed.trainable=null", "model.drop_path=0.1",
        "finetune.optimiser.head_lr=0.1",
    )  # fmt: skip
    assert not faults("finetune.trainable=[classifier]", "finetune.optimiser.head_lr=0.1")
