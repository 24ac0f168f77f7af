from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from contrastive_cxr import models
from contrastive_cxr.errors import RequestError
from contrastive_cxr.recipe import schema

RESNET = schema.Model(backbone="resnet18", image_size=32)
DENSE = schema.Model(backbone="densenet121", image_size=32, dropout=0.2)


def network(model: schema.Model = RESNET, seed: int = 0, **settings: Any) -> models.Network:
    return models.build(model, **{"mean": 0.5, "std": 0.25, "seed": seed, **settings})


def images(count: int = 4, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 1, 32, 32, generator=torch.Generator().manual_seed(seed))


def test_one_seed_one_network_and_the_global_generator_stays() -> None:
    before = torch.get_rng_state()
    first, second, other = (network(seed=seed, projection=(8,), classes=2).state_dict() for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not torch.equal(first["projection.0.weight"], other["projection.0.weight"])
    assert not torch.equal(first["backbone.conv1.weight"], other["backbone.conv1.weight"])


def test_images_are_normalised_inside() -> None:
    plain, shifted = network(mean=0.0, std=1.0).eval(), network(mean=0.4, std=0.2).eval()
    with torch.no_grad():
        torch.testing.assert_close(shifted.features(images()), plain.features((images() - 0.4) / 0.2))
    assert shifted.mean.shape == shifted.std.shape == (1,)


def test_the_embedding_is_the_projection_at_unit_length() -> None:
    net = network(projection=(16, 8)).eval()
    with torch.no_grad():
        features, embedding = net.features(images()), net.embed(images())
        first, second = net.projection[0], net.projection[2]
        hidden = (features @ first.weight.T + first.bias).clamp(min=0)
        by_hand = hidden @ second.weight.T + second.bias
    assert [type(layer) for layer in net.projection] == [nn.Linear, nn.ReLU, nn.Linear]
    for row, vector in zip(by_hand.tolist(), embedding.tolist(), strict=True):
        length = math.sqrt(sum(value * value for value in row))
        assert vector == pytest.approx([value / length for value in row], abs=1e-5)
        assert math.sqrt(sum(value * value for value in vector)) == pytest.approx(1, abs=1e-6)


def test_without_a_projection_the_features_are_embedding_and_input_of_the_head() -> None:
    net = network(classes=3).eval()
    with torch.no_grad():
        features = net.features(images())
        torch.testing.assert_close(net.embed(images()), features / features.norm(dim=1, keepdim=True))
        torch.testing.assert_close(net.logits(images()), net.classifier(features))
        torch.testing.assert_close(net(images()), net.logits(images()))
    assert features.shape == (4, 512)
    assert net.embedding_size == 512


def test_with_a_projection_the_head_is_on_the_embedding() -> None:
    net = network(projection=(8,), classes=3, hidden=(5,)).eval()
    with torch.no_grad():
        embedding = net.embed(images())
        torch.testing.assert_close(net.logits(images()), net.head(embedding))
    assert [layer.out_features for layer in net.classifier if isinstance(layer, nn.Linear)] == [5, 3]


def test_an_embedding_in_half_precision_has_unit_length() -> None:
    net = network(projection=(64,)).eval()
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        embedding = net.embed(images())
    assert embedding.dtype == torch.float32
    torch.testing.assert_close(embedding.norm(dim=1), torch.ones(4), atol=1e-6, rtol=0)


def test_frozen_blocks_keep_weights_statistics_and_dropout() -> None:
    net = network(DENSE, classes=2)
    net.train_only(["denseblock4", "norm5", "classifier"])
    net.train()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    optimiser = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=0.1)
    nn.functional.cross_entropy(net.logits(images()), torch.tensor([0, 1, 0, 1])).backward()
    optimiser.step()
    changed = {key for key, value in net.state_dict().items() if not torch.equal(value, before[key])}
    trained = ("backbone.features.denseblock4.", "backbone.features.norm5.", "classifier.")
    assert changed
    assert all(key.startswith(trained) for key in changed)
    assert any("denseblock4" in key and "running_mean" in key for key in changed)
    modules = dict(net.backbone.features.named_children())
    assert not any(module.training for module in modules["denseblock1"].modules())
    assert all(module.training for module in modules["denseblock4"].modules())
    # a frozen prefix gives no graph
    assert not modules["conv0"](images()).requires_grad


def test_frozen_blocks_stay_held_through_eval_and_train_and_are_freed_by_none() -> None:
    net = network()
    net.train_only(["layer4"])
    net.eval()
    nn.Sequential(net).train()
    assert not net.backbone.bn1.training
    assert net.backbone.layer4[0].bn1.training
    net.train_only(None)
    assert all(module.training for module in net.modules())
    assert all(parameter.requires_grad for parameter in net.parameters())


def test_train_only_in_evaluation_mode_stays_in_evaluation_mode() -> None:
    net = network().eval()
    net.train_only(["layer4"])
    assert not any(module.training for module in net.modules())


def test_counts_cover_every_parameter() -> None:
    net = network(projection=(8,), classes=2)
    net.train_only(["layer4", "projection"])
    rows = net.describe()
    assert [row[0] for row in rows] == ["stem", "layer1", "layer2", "layer3", "layer4", "projection", "classifier"]
    assert sum(row[2] for row in rows) == sum(p.numel() for p in net.parameters())
    trained = {name: trainable for name, trainable, _ in rows if trainable}
    assert trained == {"layer4": 8393728, "projection": 512 * 8 + 8}
    assert rows[0][2] == 64 * 49 + 2 * 64


def test_loose_parameters_of_a_transformer_belong_to_its_first_block() -> None:
    net = network(schema.Model(backbone="timm/test_vit", image_size=160))
    assert sum(row[2] for row in net.describe()) == sum(p.numel() for p in net.parameters())
    net.train_only(["norm"])
    assert not net.backbone.cls_token.requires_grad
    net.train_only(["stem"])
    assert net.backbone.cls_token.requires_grad


def test_positions_inside_torchvisions_encoder_belong_to_its_first_block() -> None:
    with torch.device("meta"):
        net = network(schema.Model(backbone="vit_b_16", image_size=32))
    assert sum(row[2] for row in net.describe()) == sum(p.numel() for p in net.parameters())
    net.train_only(["encoder_layer_11", "ln"])
    assert not net.backbone.encoder.pos_embedding.requires_grad
    net.train_only(["stem"])
    assert net.backbone.encoder.pos_embedding.requires_grad


def test_block_faults() -> None:
    assert models.block_faults(["denseblock4", "projection"], "densenet169", True, False) == []
    (fault,) = models.block_faults(["denseblok4"], "densenet169", True, False)
    assert "did you mean 'denseblock4'" in fault
    assert "transition3" in fault
    (fault,) = models.block_faults(["projection"], "resnet18", False, True)
    assert "no block of this phase's resnet18" in fault
    (fault,) = models.block_faults([], "resnet18", False, True)
    assert "nothing would be trained" in fault
    (fault,) = models.block_faults(["layer4"], "resnet19", False, True)
    assert "'resnet19' is not known" in fault
    with pytest.raises(RequestError, match="layer5"):
        network().train_only(["layer5"])


def test_a_size_that_the_backbone_does_not_take_is_refused() -> None:
    with pytest.raises(RequestError, match="image_size=32"):
        network(schema.Model(backbone="alexnet", image_size=32))


@pytest.mark.parametrize("name", ["resnet18", "regnet_y_400mf"])
def test_a_network_is_described_without_being_allocated(name: str) -> None:
    with torch.device("meta"):
        net = network(schema.Model(backbone=name, image_size=32), classes=2)
    assert {parameter.device.type for parameter in net.parameters()} == {"meta"}
    net.train_only(["classifier"])
    assert net.trainable_counts()["classifier"] == (2 * net.width + 2, 2 * net.width + 2)
