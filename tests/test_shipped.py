from __future__ import annotations

from pathlib import Path

import pytest

from contrastive_cxr import recipe, shipped
from contrastive_cxr.errors import RequestError
from contrastive_cxr.recipe import Recipe
from tests.recipe.roots import roots

NAMES = [
    "ct/three-phase",
    "ct/three-phase-scratch",
    "phantom",
    "xray/cascade",
    "xray/cascade-scratch",
    "xray/three-class",
    "xray/three-class-scratch",
]


def load(name: str) -> Recipe:
    return recipe.load(name, roots(name))


def test_the_shipped_names_are_these() -> None:
    assert set(NAMES) <= set(shipped.names())
    assert shipped.names() == sorted(shipped.names())


@pytest.mark.parametrize("name", shipped.names())
def test_a_shipped_recipe_loads_by_name_and_by_file(name: str, tmp_path: Path) -> None:
    copy = tmp_path / "copy.yaml"
    copy.write_text(shipped.path(name).read_text())
    assert load(name) == recipe.load(copy, roots(name))


@pytest.mark.parametrize("name", shipped.names())
def test_its_head_gives_command_time_and_result(name: str) -> None:
    head = [line for line in shipped.path(name).read_text().split("\n\n")[0].splitlines() if line.startswith("#")]
    for word in ("command    ccxr ", "time ", "result "):
        assert any(line[1:].strip().startswith(word) for line in head), f"{name} has no '{word.strip()}' in its head"
    assert any(name in line for line in head), f"{name} does not name itself in its command"


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith("-scratch") or name == "phantom"])
def test_what_trains_from_scratch_downloads_nothing(name: str) -> None:
    assert load(name).model.weights == "none"


@pytest.mark.parametrize("name", ["xray/three-class", "xray/cascade", "ct/three-phase"])
def test_the_full_recipes_start_from_imagenet_and_have_three_phases(name: str) -> None:
    loaded = load(name)
    assert (loaded.model.backbone, loaded.model.weights) == ("densenet169", "imagenet")
    assert loaded.pretrain is not None
    assert loaded.embed is not None
    assert loaded.finetune is not None
    assert loaded.embed.projection[-1] == 512


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(RequestError, match="did you mean 'phantom'"):
        shipped.path("phantoms")


def test_published_settings() -> None:
    """The table of the seed work, cell by cell."""
    r = load("ct/three-phase")
    assert (r.data.source, r.data.split.kind, r.task.names, r.task.positive) == (
        "covid-ct",
        "official",
        ("noncovid", "covid"),
        "covid",
    )
    assert (r.model.backbone, r.model.weights, r.model.image_size) == ("densenet169", "imagenet", 224)
    assert r.model.normalise == "dataset"
    p, e, f = r.pretrain, r.embed, r.finetune
    assert p is not None
    assert e is not None
    assert f is not None

    assert p.trainable == ("denseblock3", "transition3", "denseblock4", "norm5", "classifier")
    assert (p.epochs, p.batch_size, p.accumulate) == (3000, 128, 1)
    assert (p.optimiser.name, p.optimiser.momentum, p.optimiser.lr) == ("sgd", 0.9, 0.007)
    assert (p.schedule.name, p.schedule.gamma, p.schedule.step_epochs) == ("step", 0.5, 400)
    assert (p.augment, p.choose_by, p.label_smoothing, p.imbalance) == ("ct", "auc", 0, "none")

    assert e.trainable == ("denseblock4", "norm5", "projection")
    assert e.projection == (1024, 512, 512)
    assert (e.loss, e.margin, e.distance, e.positives, e.mining) == ("triplet", 0.5, "euclidean", "label", "random")
    assert (e.optimiser.name, e.optimiser.momentum, e.optimiser.lr) == ("sgd", 0.9, 0.0005)
    assert (e.epochs, e.classes_per_batch, e.images_per_class, e.batch_size) == (300, 2, 32, 64)
    assert e.steps_per_epoch is None
    assert (e.schedule.name, e.augment, e.choose_by, e.memory_bank_size) == ("constant", "ct", "loss", 0)

    assert f.trainable == ("denseblock4", "projection", "classifier")
    assert (f.hidden, f.backbone_lr) == ((), None)
    assert (f.optimiser.name, f.optimiser.momentum, f.optimiser.lr) == ("sgd", 0.9, 0.0003)
    assert (f.epochs, f.batch_size, f.accumulate) == (220, 64, 1)
    assert (f.schedule.name, f.augment, f.choose_by) == ("constant", "ct", "auc")
    for phase in (p, e, f):
        assert (phase.ema_decay, phase.initial_image_size) == (0, None)
        assert (phase.optimiser.weight_decay, phase.optimiser.clip_norm, phase.schedule.warmup_epochs) == (0, 0, 0)
