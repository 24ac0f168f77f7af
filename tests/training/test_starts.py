"""Published weights as a run takes them: told once, recorded with their digest, planned without a download."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import torchvision

from contrastive_cxr.data.dataset import open_dataset
from contrastive_cxr.errors import RequestError
from contrastive_cxr.models.pretrained.packages import PACKAGES, Package
from contrastive_cxr.preflight import model_checks
from contrastive_cxr.preflight.model_checks import PHASES, check_model_and_batches, check_weights
from contrastive_cxr.run import environment
from contrastive_cxr.run_folder import provenance
from contrastive_cxr.training.dry_run import plan
from contrastive_cxr.training.run import run
from tests import weights_package
from tests.small import small_recipe

LITE = (f"model.backbone={weights_package.BACKBONE}", "model.weights=imagenet", "model.normalise=imagenet")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    return weights_package.put(tmp_path / "site", monkeypatch)


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[str]]]:
    """`told()`: the lines of the log that name the weights."""
    model_checks._tell.cache_clear()
    with caplog.at_level(logging.WARNING):
        yield lambda: [each.getMessage() for each in caplog.records if "model.weights" in each.getMessage()]
    model_checks._tell.cache_clear()


def test_where_weights_came_from_is_told_once(cache: Path, package: Package, told: Callable[[], list[str]]) -> None:
    recipe = small_recipe(cache, *LITE)
    for _ in range(2):
        check_weights(recipe)
    (line,) = told()
    assert f"{weights_package.BACKBONE} starts from the installed package {weights_package.DISTRIBUTION} 0.1.0" in line
    assert package.sha256 in line
    assert re.search(r"; (\d+) of \1 tensors are loaded$", line)


def test_a_file_is_told_with_its_digest_and_stands_in_the_card(
    cache: Path, tmp_path: Path, told: Callable[[], list[str]]
) -> None:
    torch.manual_seed(0)
    file = tmp_path / "theirs.pth"
    torch.save(torchvision.models.shufflenet_v2_x0_5(num_classes=3).state_dict(), file)
    recipe = small_recipe(cache, "model.backbone=shufflenet_v2_x0_5", f"model.weights={file}")
    facts = check_weights(recipe).facts()
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    loaded, aside = told()
    assert f"SHA-256 {digest}" in loaded
    assert "left aside 2 (fc.weight, fc.bias)" in aside
    assert facts["words"] == [loaded, aside]
    assert facts["tensors"] == facts["loaded"]


def test_a_run_records_it(cache: Path, package: Package, told: Callable[[], list[str]], tmp_path: Path) -> None:
    recipe = small_recipe(cache, *LITE, "pretrain.epochs=1", "embed=null", "finetune=null")
    out = run(recipe, tmp_path / "run")
    assert len(told()) == 1
    recorded = json.loads((out / "inputs.json").read_text())["weights"]
    assert recorded["source"] == "package"
    assert recorded["place"] == f"{weights_package.DISTRIBUTION} 0.1.0"
    assert recorded["file_sha256"] == package.sha256
    assert len(recorded["sha256"]) == 64
    assert package.sha256 in (out / "model-card.md").read_text()
    card = json.loads((out / "pretrain" / "model.json").read_text())
    assert (card["mean"], card["std"]) == (0.5, 0.5)


def test_the_digest_of_the_tensors_does_not_hang_on_the_log(cache: Path, package: Package) -> None:
    first, second = (provenance.weights_facts(small_recipe(cache, *LITE)) for _ in range(2))
    assert first == second


def test_every_package_is_among_the_versions_of_the_environment() -> None:
    assert {each.distribution for each in PACKAGES.values()} <= set(environment.PACKAGES)


def test_a_plan_says_what_would_be_taken(
    cache: Path, package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    start = plan(small_recipe(cache, *LITE)).start
    assert start == (
        f"those of ImageNet, from the installed package {weights_package.DISTRIBUTION} 0.1.0 (SHA-256 {package.sha256})"
    )
    away = plan(small_recipe(cache, "model.backbone=resnet18", "model.weights=imagenet")).start
    assert "a download from https://" in away
    assert "they are not on this machine" in away
    assert not (tmp_path / "torch").exists(), "a plan downloads nothing"
    assert plan(small_recipe(cache)).start == "drawn at random (init default)"


def test_a_damaged_package_is_a_fault_of_the_second_door(cache: Path, package: Package, tmp_path: Path) -> None:
    """It comes with the others, before anything is loaded or written."""
    (tmp_path / "site" / package.file).write_bytes(b"cut short")
    recipe = small_recipe(cache, *LITE, "pretrain.trainable=[layer4]", "embed.trainable=null")
    with pytest.raises(RequestError) as caught:
        check_model_and_batches(recipe, open_dataset(recipe.data, recipe.task), PHASES)
    assert any("--force-reinstall" in fault for fault in caught.value.faults)
    assert any("pretrain.trainable names 'layer4'" in fault for fault in caught.value.faults)
    with pytest.raises(RequestError, match="--force-reinstall"):
        run(recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()
