"""What the checks of the model refuse: a network that cannot do what the recipe asks."""

from __future__ import annotations

from pathlib import Path

import pytest

from contrastive_cxr.data.dataset import Dataset, open_dataset
from contrastive_cxr.errors import RequestError
from contrastive_cxr.preflight.model_checks import (
    PHASES,
    check_model_and_batches,
    network_faults,
    norm_faults,
    sharing_faults,
)
from tests.small import small_recipe


@pytest.fixture(scope="module")
def data(cache: Path) -> Dataset:
    recipe = small_recipe(cache)
    return open_dataset(recipe.data, recipe.task)


def test_one_image_and_batch_norm(cache: Path, data: Dataset) -> None:
    recipe = small_recipe(cache, "pretrain.batch_size=1", "finetune.batch_size=1")
    with pytest.raises(RequestError) as caught:
        check_model_and_batches(recipe, data, PHASES)
    (fault,) = caught.value.faults  # phase 3 trains the head alone: its batch norm is held
    assert fault.startswith("pretrain: a batch of 1 is one image at a time")
    assert (
        "timm/test_resnet (stem, layer1, layer2, layer3, layer4) has no statistics; raise pretrain.batch_size" in fault
    )
    assert norm_faults(small_recipe(cache, "pretrain.batch_size=2"), data, PHASES) == []


def test_one_image_goes_through_without_batch_norm_or_with_it_held(cache: Path, data: Dataset) -> None:
    for words in (["model.backbone=cnn3"], ["pretrain.trainable=[classifier]"], ["model.backbone=timm/convnext_atto"]):
        recipe = small_recipe(cache, "pretrain.batch_size=1", *words)
        check_model_and_batches(recipe, data, PHASES)


def test_the_share_of_a_process_is_what_its_batch_norm_sees(cache: Path, data: Dataset) -> None:
    recipe = small_recipe(cache, "pretrain.batch_size=4")
    assert sharing_faults(recipe, data, ["pretrain"], 2) == []
    (fault,) = sharing_faults(recipe, data, ["pretrain"], 4)
    assert fault.startswith("pretrain: a batch of 4 shared by 4 processes is one image at a time")
    labelled = small_recipe(cache, "embed.images_per_class=2")
    (fault,) = sharing_faults(labelled, data, ["embed"], 6)  # three classes of two
    assert "raise embed.images_per_class" in fault


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["model.backbone=cnn3", "model.weights=imagenet"], ["cnn3 has no published weights"]),
        (["model.drop_rates=[0.25, 0.35, 0.4]"], ["are for cnn2, cnn3, cnn4; give 'timm/test_resnet' one rate"]),
        (["model.backbone=resnet18", "model.dropout=0.3"], ["'resnet18' has no drop rate"]),
        (
            ["model.backbone=cnn3", "pretrain.initial_image_size=32", "model.image_size=64"],
            ["pretrain.initial_image_size=32: 'cnn3' is"],
        ),
        (["model.backbone=vit_b_16", "model.image_size=100"], ["does not go through 'vit_b_16'"]),
        (["model.backbone=cn3"], ["model.backbone: model.backbone 'cn3' is not known (did you mean 'cnn3'?)"]),
        (
            ["model.backbone=cnn3", "pretrain.trainable=[layer4, fc2]", "model.dropout=0.1"],
            ["pretrain.trainable names 'layer4'", "its blocks are conv1, conv2, conv3, fc1, fc2, classifier"],
        ),
    ],
)  # fmt: skip
def test_what_the_network_cannot_do_is_one_sentence(cache: Path, words: list[str], said: list[str]) -> None:
    (fault,) = network_faults(small_recipe(cache, *words), PHASES)
    assert all(part in fault for part in said)
