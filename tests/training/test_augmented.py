"""Runs whose augmentation is a mapping: what they train on, write, and go on with."""

from __future__ import annotations

from pathlib import Path

import pytest

from contrastive_cxr import recipe as recipes
from contrastive_cxr.errors import RequestError
from contrastive_cxr.recipe.augmentation import Augment
from contrastive_cxr.recipe.text import yaml_text
from contrastive_cxr.report.card.found import Found
from contrastive_cxr.report.card.model import training
from contrastive_cxr.training.run import run
from contrastive_cxr.training.train import augmentations
from tests.small import same_weights, small_recipe

# The ranges of the set `xray`, over the set that changes nothing.
XRAY = "{set: none, zoom: [0.92, 1.04], shift: 0.05, rotate: 10, brightness: 0.15, contrast: 0.2}"
WIDE = (
    "pretrain={epochs: 1, batch_size: 8}", "pretrain.augment.zoom=[0.7, 1.1]", "pretrain.augment.aspect=0.2",
    "pretrain.augment.gamma=0.3", "pretrain.augment.noise=0.05", "pretrain.augment.jpeg=[30, 90]",
    "pretrain.augment.resolution=[0.5, 1]", "pretrain.augment.sharpness=0.3",
    "embed.positives=both", "embed.loss=supcon", "embed.epochs=1",
    "embed.positive_augment={set: strong, gamma: 0.5}", "finetune=null",
)  # fmt: skip


@pytest.fixture(scope="module")
def wide(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with ranges of its own; it is read only."""
    return run(small_recipe(cache, *WIDE), tmp_path_factory.mktemp("runs") / "wide")


@pytest.mark.slow
def test_a_mapping_that_spells_a_set_out_trains_the_same_weights(finished: Path, cache: Path, tmp_path: Path) -> None:
    spelt = small_recipe(cache, f"pretrain.augment={XRAY}", "embed=null", "finetune=null")
    assert spelt.pretrain is not None
    assert isinstance(spelt.pretrain.augment, Augment)
    assert same_weights(run(spelt, tmp_path / "spelt") / "pretrain", finished / "pretrain")


def test_the_folder_records_the_mapping_and_shows_what_it_does(wide: Path, cache: Path) -> None:
    recorded = recipes.load(wide / "recipe.yaml")
    assert recorded == small_recipe(cache, *WIDE, "data.intensity.ranges={}")
    tree = yaml_text.parse((wide / "recipe.yaml").read_text())
    assert isinstance(tree, dict)
    assert tree["pretrain"]["augment"]["zoom"] == [0.7, 1.1]
    pictures = {path.stem for path in wide.glob("augmentation-*.png")}
    assert pictures == {"augmentation-pretrain", "augmentation-embed-positive", "augmentation-xray"}
    page = (wide / "report.html").read_text()
    assert all(f"<h3>{name}</h3>" in page for name in ("pretrain", "embed-positive"))
    assert "<p>xray: " in page, "a set whose words begin with its name has no heading that says it again"


def test_the_card_says_the_ranges(wide: Path) -> None:
    tree = yaml_text.parse((wide / "recipe.yaml").read_text())
    assert isinstance(tree, dict)
    rows = {row[0]: row[1:] for row in training(Found(facts={}, recipe=tree)).tables[0].rows}
    assert rows["augment"][0].startswith("xray with zoom 0.7 to 1.1, aspect 0.2")
    assert rows["positive augment"][1] == "strong with gamma 0.5"


def test_a_run_of_other_ranges_is_not_gone_on_with(wide: Path, cache: Path) -> None:
    with pytest.raises(RequestError, match=r"gamma: 0\.3 -> gamma: 0\.4"):
        run(small_recipe(cache, *WIDE, "pretrain.augment.gamma=0.4"), wide, resume=True)


@pytest.mark.slow
def test_the_positives_are_made_as_the_recipe_says(wide: Path, cache: Path, tmp_path: Path) -> None:
    others = run(small_recipe(cache, *WIDE, "embed.positive_augment=strong"), tmp_path / "others")
    assert same_weights(wide / "pretrain", others / "pretrain")
    assert not same_weights(wide / "embed", others / "embed")


def test_a_recipe_of_before_means_what_it_meant(finished: Path, tmp_path: Path) -> None:
    tree = yaml_text.parse((finished / "recipe.yaml").read_text())
    assert isinstance(tree, dict)
    del tree["embed"]["positive_augment"]
    (tmp_path / "old.yaml").write_text(yaml_text.write(tree))
    old = recipes.load(tmp_path / "old.yaml")
    assert old == recipes.load(finished / "recipe.yaml")
    assert old.embed is not None
    assert old.embed.positive_augment == "strong"


def test_pictures_are_called_by_set_or_phase(cache: Path) -> None:
    plain = small_recipe(cache, "finetune.augment=none", "embed.augment=ct")
    assert augmentations(plain) == {"xray": "xray", "ct": "ct"}
    free = small_recipe(cache, "embed.positives=augmented", "embed.choose_by=loss", "finetune.augment.rotate=3")
    assert set(augmentations(free)) == {"xray", "strong", "finetune"}
