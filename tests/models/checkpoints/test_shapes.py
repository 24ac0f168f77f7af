"""The table of shapes, and a backbone named from a file alone by it."""

from __future__ import annotations

import pytest
import torch

from contrastive_cxr.models.backbones import catalogue
from contrastive_cxr.models.checkpoints import nearest_backbone, shapes, unwrap

pytest.importorskip("timm")


def content(name: str, image_size: int | None = None) -> unwrap.Content:
    """A file of a backbone, its numbers whatever lies in memory."""
    with torch.device("meta"):
        body = catalogue.colour(name, image_size=image_size)
    own = {key: torch.zeros(value.shape, dtype=value.dtype) for key, value in body.state_dict().items()}
    return unwrap.Content([unwrap.Group("", own)])


def test_likeness_is_a_share_of_what_the_network_has() -> None:
    own = shapes.counted([(8, 4), (8, 4), (8,), (3,)])
    assert shapes.likeness(own, own) == 1
    given = shapes.counted([(8, 4), (8,), (3,), (99, 99)])
    assert shapes.likeness(given, own) == pytest.approx(min(3 / 4, (32 + 8 + 3) / (64 + 8 + 3)))
    assert shapes.likeness(shapes.counted([]), own) == 0


def test_the_likeliest_comes_first_and_the_unknown_last() -> None:
    given = shapes.known()["resnet34"]
    ranked = shapes.ranked(given, ["resnet18", "densenet121", "resnet34", "resnet7"])
    assert ranked == ["resnet34", "resnet18", "resnet7"]  # all shapes of ResNet-18 are in ResNet-34


def test_the_table_is_written_as_it_is_read() -> None:
    assert shapes.written(shapes.known()) == shapes.FILE.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "image_size"),
    [
        ("resnet34", None),
        pytest.param("densenet161", None, marks=pytest.mark.slow),
        pytest.param("timm/vit_small_patch16_224", None, marks=pytest.mark.slow),
        pytest.param("timm/vit_small_patch14_reg4_dinov2", 112, marks=pytest.mark.slow),
        pytest.param("timm/vit_base_patch14_dinov2", 224, marks=pytest.mark.slow),
        pytest.param("timm/vit_small_patch16_dinov3_qkvb", None, marks=pytest.mark.slow),
        pytest.param("timm/eva_x_small_patch16", None, marks=pytest.mark.slow),
        pytest.param("timm/swin_tiny_patch4_window7_224", None, marks=pytest.mark.slow),
        pytest.param("timm/swin_base_patch4_window7_224", 448, marks=pytest.mark.slow),
        pytest.param("timm/swin_large_patch4_window12_384", 768, marks=pytest.mark.slow),
        pytest.param("timm/beit_base_patch16_224", 384, marks=pytest.mark.slow),
        pytest.param("timm/convnext_small", None, marks=pytest.mark.slow),
        pytest.param("timm/tf_efficientnet_lite1", None, marks=pytest.mark.slow),
        pytest.param("vit_b_16", 448, marks=pytest.mark.slow),
    ],
)
def test_a_backbone_is_named_by_few_trials(name: str, image_size: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []
    match = nearest_backbone.match

    def watched(given: unwrap.Content, backbone: str, side: int | None) -> object:
        tried.append(backbone)
        return match(given, backbone, side)

    monkeypatch.setattr(nearest_backbone, "match", watched)
    found = nearest_backbone.nearest(content(name, image_size))
    assert found is not None
    assert (found.backbone, found.share, found.missing) == (name, 1, ())
    assert len(tried) <= 3  # each takes half a second or more


@pytest.mark.slow
@pytest.mark.parametrize("name", ["densenet121", "timm/vit_base_patch16_224", "timm/swin_tiny_patch4_window7_224"])
def test_the_table_is_that_of_the_networks(name: str) -> None:
    """Where this fails, timm or torchvision is another version: run benchmarks/backbone_shapes.py."""
    given = content(name).groups[0].tensors.values()
    assert shapes.known()[name] == shapes.counted(tuple(value.shape) for value in given)


@pytest.mark.slow
def test_the_table_knows_every_backbone_that_is_looked_for() -> None:
    marks = ["denselayer1.", "layer1.0.conv1.", "blocks.0.attn.", "encoder_layer_0.", "conv_stem.", "stage2.0.branch"]
    assert set(nearest_backbone.candidates(marks)) <= set(shapes.known())
