"""What `--dry-run` tells; the published settings, cell by cell."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from contrastive_cxr import recipe as recipes
from contrastive_cxr.data.dataset import open_dataset
from contrastive_cxr.phases.embed import epoch_batches
from contrastive_cxr.phases.supervised import epochs_of
from contrastive_cxr.training.dry_run import PhasePlan, plan
from tests.small import small_recipe

TRAIN, VAL = 70, 4


@pytest.fixture
def covid_ct(tmp_path: Path) -> Path:
    """The COVID-CT layout with small noise images: 70 training and 4 validation slices a class."""
    root, rng = tmp_path / "ct", np.random.default_rng(0)
    for label, name in (("CT_COVID", "COVID"), ("CT_NonCOVID", "NonCOVID")):
        (root / label).mkdir(parents=True)
        (root / "Data-split" / name).mkdir(parents=True)
        files = [f"{number}.png" for number in range(TRAIN + VAL)]
        for file in files:
            Image.fromarray(rng.integers(0, 255, (16, 16), dtype=np.uint8)).save(root / label / file)
        for split, listed in (("train", files[:TRAIN]), ("val", files[TRAIN:])):
            (root / "Data-split" / name / f"{split}{label}.txt").write_text("\n".join(listed))
    return root


def trained(phase: PhasePlan) -> list[str]:
    """Names of the blocks that a phase trains, whole."""
    assert all(trainable in (0, every) for _, trainable, every in phase.blocks), (
        "a block is trained whole or not at all"
    )
    return [name for name, trainable, _ in phase.blocks if trainable]


def size_of(phase: PhasePlan, block: str) -> int:
    return {name: every for name, _, every in phase.blocks}[block]


def test_the_published_settings_cell_by_cell(covid_ct: Path, tmp_path: Path) -> None:
    words = [f"data.root={covid_ct}", f"data.cache_dir={tmp_path / 'cache'}", "data.cache_size=16"]
    found = plan(recipes.load("ct/three-phase", words))
    recipe = found.recipe
    pretrain, embed, finetune = recipe.pretrain, recipe.embed, recipe.finetune
    assert pretrain is not None
    assert embed is not None
    assert finetune is not None
    first, second, third = found.phases

    # start: each phase from the best of the one before it, which is what a run hands on
    assert (recipe.model.backbone, recipe.model.weights) == ("densenet169", "imagenet")
    assert [phase.name for phase in found.phases] == ["pretrain", "embed", "finetune"]
    # trainable
    assert trained(first) == ["denseblock3", "transition3", "denseblock4", "norm5", "classifier"]
    assert trained(second) == ["denseblock4", "norm5", "projection"]
    assert trained(third) == ["denseblock4", "projection", "classifier"]
    # head: linear 1664 -> 2; 1664 -> 1024 -> 512 -> 512; linear 512 -> 2
    layers = [(1664, 1024), (1024, 512), (512, 512)]
    assert size_of(first, "classifier") == 1664 * 2 + 2
    assert size_of(second, "projection") == sum(wide * narrow + narrow for wide, narrow in layers)
    assert size_of(third, "projection") == size_of(second, "projection")
    assert size_of(third, "classifier") == 512 * 2 + 2
    assert "classifier" not in {name for name, _, _ in second.blocks}
    # loss
    assert (embed.loss, embed.margin, embed.distance) == ("triplet", 0.5, "euclidean")
    assert (pretrain.label_smoothing, pretrain.imbalance) == (0, "none")
    assert (finetune.label_smoothing, finetune.imbalance) == (0, "none")
    # positives, mining
    assert (embed.positives, embed.mining) == ("label", "random")
    # optimiser
    for phase, rate in ((pretrain, 0.007), (embed, 0.0005), (finetune, 0.0003)):
        optimiser = phase.optimiser
        assert (optimiser.name, optimiser.lr, optimiser.momentum, optimiser.weight_decay) == ("sgd", rate, 0.9, 0)
    schedule = pretrain.schedule
    assert (schedule.name, schedule.step_epochs, schedule.gamma) == ("step", 400, 0.5)
    assert embed.schedule.name == finetune.schedule.name == "constant"
    assert finetune.backbone_lr is None
    # epochs, batch
    assert [phase.epochs for phase in found.phases] == [3000, 300, 220]
    assert [phase.batch for phase in found.phases] == [128, 64, 64]
    assert second.steps_per_epoch == 2 * TRAIN // 64
    # input
    assert recipe.model.image_size == 224
    assert recipe.model.normalise == "dataset"
    assert pretrain.augment == embed.augment == finetune.augment == "ct"
    # chosen by
    assert (pretrain.choose_by, embed.choose_by, finetune.choose_by) == ("auc", "loss", "auc")
    # counts
    assert [row["images"] for row in found.counts] == [2 * TRAIN, 2 * VAL]


@pytest.mark.slow
def test_the_published_variants_of_phase_2(covid_ct: Path, tmp_path: Path) -> None:
    words = [f"data.root={covid_ct}", f"data.cache_dir={tmp_path / 'cache'}", "data.cache_size=16"]
    deep = ["embed.trainable=[denseblock3, transition3, denseblock4, norm5, projection]", "embed.images_per_class=16"]
    assert plan(recipes.load("ct/three-phase", [*words, *deep]), ("embed",)).phases[0].batch == 32
    free = recipes.load("ct/three-phase", [*words, "embed.positives=augmented"])
    assert free.embed is not None
    assert free.embed.mining == "random"
    assert plan(free, ("embed",)).phases[0].batch == 64
    data = open_dataset(free.data, free.task)
    assert [len(rows) for rows in epoch_batches(free.embed, data, 0, 0)] == [64, 64]


@pytest.mark.parametrize("imbalance", ["oversample", "undersample"])
def test_the_plan_counts_the_draws_of_imbalance(cache: Path, imbalance: str) -> None:
    recipe = small_recipe(cache, f"pretrain.imbalance={imbalance}", "embed=null", "finetune=null")
    data = open_dataset(recipe.data, recipe.task)
    assert recipe.pretrain is not None
    batches = epochs_of(data.rows("train"), data.labels, recipe.pretrain, 0, "pretrain")(0)
    phase = plan(recipe).phases[0]
    assert (phase.steps_per_epoch, phase.batch) == (len(batches), len(batches[0]))


def test_the_plan_counts_what_a_run_does(finished: Path, cache: Path) -> None:
    import json

    found = plan(small_recipe(cache))
    for phase in found.phases:
        done = json.loads((finished / phase.name / "done.json").read_text())
        assert done["steps"] == phase.epochs * phase.steps_per_epoch
        assert done["images_seen"] == done["steps"] * phase.batch
    environment = (finished / "split.csv").read_text().splitlines()
    assert sum(row["images"] for row in found.counts) == len(environment) - 1


def test_it_tells_the_ranges_of_deep_images_and_warns_of_those_that_stay_dark(tmp_path: Path) -> None:
    for part, count in (("train", 4), ("val", 2), ("test", 2)):
        for label in ("normal", "nodule", "opacity"):
            folder = tmp_path / "deep" / part / label
            folder.mkdir(parents=True)
            for number in range(count):
                values = np.random.default_rng([number, len(part)]).integers(0, 4096, (16, 16), dtype=np.uint16)
                values[0, 0] = len(label)
                Image.fromarray(values).save(folder / f"{number}.png")
    words = ["data.source=folders", f"data.root={tmp_path / 'deep'}", "data.split.kind=official"]
    words += ["pretrain.batch_size=4", "embed.images_per_class=2", "finetune.batch_size=4"]
    found = plan(small_recipe(tmp_path / "cache", *words))
    assert found.grey == ["deep, PNG: 0 to 4095 become 0 to 255 in 24 images"]
    assert found.recipe.data.intensity.ranges == {"deep": (0, 4095)}
    assert (found.cache[0] / "images.u8").is_file(), "the folder of the images that were decoded by that range"
    dark = plan(small_recipe(tmp_path / "cache", *words, "data.intensity=dtype")).grey
    assert dark[1].startswith("warning: 24 of 24 images keep fewer than 64 grey levels")
