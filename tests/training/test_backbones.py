"""Networks of each kind go through the three phases, and come back from the folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from contrastive_cxr.models import weights
from contrastive_cxr.retrieval import EmbeddingModel
from contrastive_cxr.training.run import run
from tests.small import PHASES, small_recipe

FEW = ("pretrain.epochs=1", "embed.epochs=1", "finetune.epochs=1", "embed.steps_per_epoch=2")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("cnn3", ("model.drop_rates=[0.25, 0.35, 0.4]", "model.init=he", "pretrain.trainable=[fc1, fc2, classifier]")),
        pytest.param("alexnet", ("model.image_size=64", "model.init=xavier"), marks=pytest.mark.slow),
        pytest.param("timm/test_vit", ("model.stem=random", "pretrain.trainable=[blocks.5, norm, classifier]"),
                     marks=pytest.mark.slow),
        pytest.param("timm/resnetv2_50x1_bit", ("model.stem=random", "pretrain.batch_size=1"), marks=pytest.mark.slow),
        pytest.param("timm/vit_tiny_r_s16_p8_224", ("model.image_size=64",), marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_three_phases(cache: Path, tmp_path: Path, name: str, words: tuple[str, ...]) -> None:
    recipe = small_recipe(cache, f"model.backbone={name}", *FEW, *words)
    out = run(recipe, tmp_path / "run")
    for phase in PHASES:
        network, card = weights.load(out / phase)
        assert card["backbone"] == name
        assert network.spec.image_size == recipe.model.image_size
    assert EmbeddingModel.load(out).network.spec.projection == (32, 16)
