from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from contrastive_cxr import models
from contrastive_cxr.errors import RequestError
from contrastive_cxr.models import weights
from contrastive_cxr.models.backbones import catalogue, small
from contrastive_cxr.recipe import schema


def parameters(name: str, side: int, classes: int) -> int:
    """Parameters of the network with its classifier, on the meta device."""
    with torch.device("meta"):
        net = models.build(schema.Model(backbone=name, image_size=side), classes=classes, mean=0.5, std=0.5, seed=0)
    return sum(parameter.numel() for parameter in net.parameters())


def by_hand(convolutions: list[int], side: int, hidden: list[int], classes: int) -> int:
    total, channels = 0, 1
    for width in convolutions:
        total += width * channels * 3 * 3 + width
        channels, side = width, side // 2
    inputs = channels * side * side
    for width in [*hidden, classes]:
        total += inputs * width + width
        inputs = width
    return total


def test_the_published_parameter_counts() -> None:
    assert parameters("cnn2", 256, 3) == by_hand([16, 32], 256, [1024, 512], 3)
    assert round(parameters("cnn2", 256, 3) / 1e6) == 135
    assert parameters("cnn4", 256, 3) == by_hand([16, 32, 64, 128], 256, [300, 128], 3)
    assert round(parameters("cnn4", 256, 3) / 1e6) == 10
    assert parameters("cnn3", 150, 2) == by_hand([32, 64, 128], 150, [128, 64], 2)


@pytest.mark.parametrize(("name", "count"), [("cnn2", 2), ("cnn3", 3), ("cnn4", 4)])
def test_layers_are_those_of_the_publication(name: str, count: int) -> None:
    body = catalogue.on_meta(name)
    kinds = [type(part) for part in body.modules() if not next(iter(part.children()), None)]
    convolutions = [part for part in body.modules() if isinstance(part, nn.Conv2d)]
    assert [conv.kernel_size for conv in convolutions] == [(3, 3)] * count
    assert convolutions[0].in_channels == 1
    assert kinds.count(nn.MaxPool2d) == count
    assert kinds.count(nn.Linear) == 2  # the classifier is the third
    assert catalogue.block_names(name) == [*(f"conv{number + 1}" for number in range(count)), "fc1", "fc2"]
    assert catalogue.width(name) == [part for part in body.modules() if isinstance(part, nn.Linear)][-1].out_features


def test_the_net_is_what_its_layers_say() -> None:
    """Convolutions, pooling and linear layers, one after the other, written out."""
    net = models.build(schema.Model(backbone="cnn2", image_size=32), classes=2, mean=0.0, std=1.0, seed=0).eval()
    images = torch.rand(2, 1, 32, 32)
    maps = images
    with torch.no_grad():
        for number in (1, 2):
            conv = net.backbone.get_submodule(f"conv{number}.0")
            maps = nn.functional.conv2d(maps, conv.weight, conv.bias, padding=1).clamp(min=0)
            maps = maps.unfold(2, 2, 2).unfold(3, 2, 2).amax((-1, -2))
        values = maps.reshape(2, -1)
        for layer in (part for part in net.backbone.modules() if isinstance(part, nn.Linear)):
            values = (values @ layer.weight.T + layer.bias).clamp(min=0)
        torch.testing.assert_close(net.features(images), values)
        torch.testing.assert_close(net.logits(images), net.classifier(values))


def test_the_size_is_part_of_the_shape() -> None:
    assert catalogue.fixed_size("cnn3")
    assert catalogue.on_meta("cnn3", 64).fc1[2].in_features == 128 * 8 * 8
    assert catalogue.on_meta("cnn3").fc1[2].in_features == 128 * 18 * 18  # 150 -> 75 -> 37 -> 18
    assert catalogue.size_faults("cnn3", 33) == []


def test_three_drop_rates_stand_before_the_three_linear_layers() -> None:
    model = schema.Model(backbone="cnn3", image_size=32, drop_rates=(0.25, 0.35, 0.4))
    net = models.build(model, classes=2, mean=0.5, std=0.5, seed=0)
    order = [part for part in [*net.backbone.modules(), *net.classifier] if isinstance(part, nn.Dropout | nn.Linear)]
    assert [type(part) for part in order] == [nn.Dropout, nn.Linear] * 3
    assert [part.p for part in order[::2]] == [0.25, 0.35, 0.4]
    one = catalogue.create("cnn3", 0.1, image_size=32)
    assert [part.p for part in one.modules() if isinstance(part, nn.Dropout)] == [0.1] * 3
    with pytest.raises(RequestError, match=r"drop_rates=\[0.25, 0.35, 0.4\] are for cnn2, cnn3, cnn4"):
        catalogue.create("resnet18", (0.25, 0.35, 0.4))


def test_a_small_net_is_saved_and_loaded_with_its_size_and_rates(tmp_path: Path) -> None:
    model = schema.Model(backbone="cnn3", image_size=40, drop_rates=(0.25, 0.35, 0.4))
    net = models.build(model, classes=2, mean=0.5, std=0.5, seed=0).eval()
    card = {"classes": ["a", "b"], "decode": {}, "channels_last": False, "phase": "pretrain", "task": "t"}
    weights.save(net, tmp_path, card)
    loaded, written = weights.load(tmp_path)
    images = torch.rand(2, 1, 40, 40)
    with torch.no_grad():
        assert torch.equal(loaded.logits(images), net.logits(images))
    assert written["dropout"] == [0.25, 0.35, 0.4]
    assert loaded.spec == net.spec
    other = models.build(schema.Model(backbone="cnn3", image_size=48), mean=0.5, std=0.5, seed=0)
    with pytest.raises(RequestError, match=r"built for 40 pixels, model\.image_size is 48; set model\.image_size=40"):
        weights.start(other, str(tmp_path))


def test_there_are_no_published_weights() -> None:
    net = models.build(schema.Model(backbone="cnn3", image_size=32), mean=0.5, std=0.5, seed=0)
    with pytest.raises(RequestError, match=r"cnn3 has no published weights; set model\.weights=none"):
        weights.start(net, "imagenet")
    assert small.weights_url("cnn3") is None
