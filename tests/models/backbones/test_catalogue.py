from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torchvision

from contrastive_cxr.errors import RequestError
from contrastive_cxr.models.backbones import catalogue
from contrastive_cxr.models.backbones.blocks import divide
from contrastive_cxr.models.backbones.grey import fold_grey
from contrastive_cxr.recipe import schema

DENSENET = ["stem", "denseblock1", "transition1", "denseblock2", "transition2", "denseblock3", "transition3",
            "denseblock4", "norm5"]  # fmt: skip


def test_densenet169_has_the_published_blocks_and_width() -> None:
    assert catalogue.block_names("densenet169") == DENSENET
    assert catalogue.width("densenet169") == 1664


def test_blocks_of_other_families() -> None:
    assert catalogue.block_names("resnet18") == ["stem", "layer1", "layer2", "layer3", "layer4"]
    assert catalogue.block_names("regnet_y_400mf") == ["stem", "block1", "block2", "block3", "block4"]
    assert catalogue.block_names("mobilenet_v3_small")[-1] == "neck"


@pytest.mark.parametrize(
    ("name", "blocks"),
    [
        ("timm/resnet18", ["stem", "layer1", "layer2", "layer3", "layer4"]),
        ("timm/densenet121", DENSENET),
        ("timm/resnetv2_50x1_bit", ["stem", "stages.0", "stages.1", "stages.2", "stages.3", "norm"]),
    ],
)
def test_blocks_of_timm(name: str, blocks: list[str]) -> None:
    assert catalogue.block_names(name) == blocks


@pytest.mark.parametrize("name", ["resnet18", "vgg11", "convnext_tiny", "swin_t", "mnasnet0_5"])
def test_every_parameter_belongs_to_one_block(name: str) -> None:
    body = catalogue.on_meta(name)
    paths = [path for paths in divide(body).values() for path in paths]
    inside = [id(p) for path in paths for p in body.get_submodule(path).parameters()]
    assert sorted(inside) == sorted(id(p) for p in body.parameters())


def test_looking_at_a_backbone_draws_nothing() -> None:
    before = torch.get_rng_state()
    catalogue.skeleton.cache_clear()
    catalogue._on_meta.cache_clear()
    catalogue.skeleton("regnet_y_400mf")
    assert torch.equal(before, torch.get_rng_state())


def test_all_known_torchvision_names_are_checked_as_known() -> None:
    names = [name for name in catalogue.known() if not name.startswith("timm/")]
    assert "densenet169" in names
    for name in names:
        catalogue.check(name)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("densnet169", "did you mean 'densenet169'"),
        ("timm/resnet8", "is not known"),
        ("torchvision/cnn3", "is not known"),
        ("torchvision/timm/resnet18", "is not known"),
        ("raft_large", "is not known"),
    ],
)
def test_unknown_names(name: str, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        catalogue.block_names(name)


@pytest.mark.slow
def test_a_torchvision_name_needs_no_timm() -> None:
    code = (
        "import sys; from contrastive_cxr.models.backbones import catalogue as b; b.size_faults('resnet18', 32); "
        "b.check('cnn3'); assert 'timm' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).resolve().parents[3])


def test_the_librarys_name_may_stand_before_torchvisions() -> None:
    assert catalogue.skeleton("torchvision/resnet18") == catalogue.skeleton("resnet18")
    assert schema.Model(backbone="torchvision/resnet18").backbone == "resnet18"
    assert schema.Model(backbone="timm/resnet18").backbone == "timm/resnet18"


@pytest.mark.parametrize(("name", "side"), [("googlenet", 32), ("inception_v3", 75), ("squeezenet1_1", 32)])
def test_networks_without_a_plain_end_give_features_in_training_too(name: str, side: int) -> None:
    body = catalogue.create(name).train()
    assert body(torch.rand(2, 1, side, side)).shape == (2, catalogue.width(name))
    assert not any("aux" in key.lower() for key in body.state_dict())


@pytest.mark.parametrize("name", ["vit_b_16", "timm/vit_base_patch16_224.augreg_in21k"])
def test_a_transformer_is_built_for_the_size_asked_for(name: str) -> None:
    assert catalogue.fixed_size(name)
    assert not catalogue.fixed_size("resnet18")
    for side in (64, 224):
        assert catalogue.size_faults(name, side) == []
        shapes = [tuple(value.shape) for key, value in catalogue.on_meta(name, side).named_parameters() if "pos" in key]
        assert shapes == [(1, (side // 16) ** 2 + 1, 768)]


@pytest.mark.parametrize(
    ("name", "side", "own"), [("vit_b_16", 100, 224), ("maxvit_t", 100, 224), ("alexnet", 32, 224)]
)
def test_a_size_that_does_not_fit_is_told_with_the_right_one(name: str, side: int, own: int) -> None:
    (fault,) = catalogue.size_faults(name, side)
    assert f"model.image_size={side} does not go through '{name}'" in fault
    assert fault.endswith(f"it was designed for {own} pixels")


def test_a_size_that_does_not_go_through() -> None:
    assert catalogue.size_faults("resnet18", 32) == []
    (fault,) = catalogue.size_faults("alexnet", 32)
    assert "image_size=32" in fault


def test_a_drop_rate_is_passed_on_or_refused() -> None:
    assert catalogue.create("densenet121", dropout=0.3).features.denseblock1.denselayer1.drop_rate == 0.3
    assert catalogue.create("mobilenet_v3_small").classifier[2].p == 0.0
    with pytest.raises(RequestError, match=r"resnet18.*no drop rate"):
        catalogue.create("resnet18", dropout=0.3)


@pytest.mark.parametrize("name", ["densenet121", "resnet18", "timm/repvgg_a0", "timm/tf_mobilenetv3_small_100"])
def test_the_folded_net_equals_the_colour_net_on_replicated_grey(name: str) -> None:
    torch.manual_seed(0)
    colour = catalogue.colour(name).eval()
    grey = catalogue.create(name).eval()
    folded = {key: value.clone() for key, value in colour.state_dict().items()}
    images = torch.randn(2, 1, 64, 64)
    with torch.no_grad():
        expected = colour(images.expand(-1, 3, -1, -1))
    for key, tensor in grey.state_dict().items():
        if folded[key].shape != tensor.shape:
            folded[key] = folded[key].sum(dim=1, keepdim=True)
    grey.load_state_dict(folded)
    fold_grey(colour)
    with torch.no_grad():
        torch.testing.assert_close(grey(images), expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(colour(images), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["StdConv2d", "StdConv2dSame", "ScaledStdConv2d", "ScaledStdConv2dSame"])
@pytest.mark.parametrize("side", [17, 32])
def test_a_standardised_stem_is_standardised_before_it_is_folded(kind: str, side: int) -> None:
    layers = pytest.importorskip("timm.layers")
    torch.manual_seed(0)
    stem = getattr(layers, kind)(3, 8, 7, stride=2, bias=True)
    torch.nn.init.normal_(stem.weight, mean=0.5)
    torch.nn.init.normal_(stem.bias)
    if hasattr(stem, "gain"):
        torch.nn.init.uniform_(stem.gain, 0.5, 2.0)
    body = torch.nn.Sequential(stem)
    images = torch.randn(2, 1, side, side)
    with torch.no_grad():
        expected = body(images.expand(-1, 3, -1, -1))
        fold_grey(body)
        torch.testing.assert_close(body(images), expected, rtol=1e-4, atol=1e-5)
    assert body[0].weight.shape == (8, 1, 7, 7)


def test_dense_features_are_activated_and_pooled() -> None:
    torch.manual_seed(0)
    body = catalogue.create("densenet121").eval()
    images = torch.randn(1, 1, 64, 64)
    with torch.no_grad():
        maps = body.features(images)
        expected = torch.stack([maps[:, channel].clamp(min=0).mean() for channel in range(maps.shape[1])])
        torch.testing.assert_close(body(images)[0], expected)
    assert isinstance(body, torchvision.models.DenseNet)


def test_grey_statistics_are_the_mean_of_the_colours() -> None:
    assert catalogue.grey_statistics("densenet169") == pytest.approx((0.449, 0.226))
    assert catalogue.grey_statistics("timm/resnetv2_50x1_bit") == pytest.approx((0.5, 0.5))
