from __future__ import annotations

import hashlib
import json
import pickle
import socket
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import torchvision
from torch import nn

from contrastive_cxr import models
from contrastive_cxr.errors import CcxrError, RequestError
from contrastive_cxr.models import transfer, weights
from contrastive_cxr.recipe import schema

NAME = "shufflenet_v2_x0_5"  # the smallest
MODEL = schema.Model(backbone=NAME, image_size=32)
CARD = {"classes": [], "decode": {"cache_size": 32}, "channels_last": False, "phase": "embed", "task": "phantom"}


def network(backbone: str = NAME, seed: int = 0, **settings: Any) -> models.Network:
    model = MODEL.model_copy(update={"backbone": backbone})
    return models.build(model, **{"mean": 0.5, "std": 0.25, "seed": seed, **settings})


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    weights.save(network(projection=(8, 4), classes=2, hidden=(3,)), folder, CARD | {"classes": ["no", "yes"]})
    return folder


@pytest.fixture
def copied(saved: Path, tmp_path: Path) -> Path:
    for name in ("model.json", "model.safetensors"):
        (tmp_path / name).write_bytes((saved / name).read_bytes())
    return tmp_path


def rewrite(folder: Path, **changes: Any) -> None:
    """Change the record; the digest is made to fit, so that only the lie itself is wrong."""
    record = json.loads((folder / "model.json").read_text())
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    (folder / "model.json").write_text(json.dumps(record | {"sha256": digest} | changes))


def test_a_network_comes_back_bit_for_bit(saved: Path) -> None:
    original = network(projection=(8, 4), classes=2, hidden=(3,)).eval()
    loaded, card = weights.load(saved)
    assert same(loaded.state_dict(), original.state_dict())
    images = torch.rand(2, 1, 32, 32)
    with torch.no_grad():
        assert torch.equal(loaded.embed(images), original.embed(images))
        assert torch.equal(loaded.logits(images), original.logits(images))
    assert not loaded.training
    assert card["classes"] == ["no", "yes"]
    assert card["projection"] == [8, 4]
    assert card["backbone"] == NAME
    assert (card["width"], card["embedding_size"], card["mean"], card["std"]) == (1024, 4, 0.5, 0.25)
    assert card["sha256"] == hashlib.sha256((saved / "model.safetensors").read_bytes()).hexdigest()
    assert sorted(path.name for path in saved.iterdir()) == ["model.json", "model.safetensors"]


def test_loading_leaves_the_global_generator_alone(saved: Path) -> None:
    before = torch.get_rng_state()
    weights.load(saved)
    assert torch.equal(before, torch.get_rng_state())


def test_the_memory_layout_of_training_is_restored(tmp_path: Path) -> None:
    net = network("resnet18").to(memory_format=torch.channels_last)
    weights.save(net, tmp_path, CARD | {"channels_last": True, "note": "kept"})
    loaded, card = weights.load(tmp_path)
    assert loaded.backbone.layer1[0].conv1.weight.is_contiguous(memory_format=torch.channels_last)
    assert same(loaded.state_dict(), net.state_dict())
    assert card["note"] == "kept"


def test_an_unwritable_place_is_said(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").mkdir()
    with pytest.raises(CcxrError, match="cannot write"):
        weights.save(network(), tmp_path, CARD)
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


def test_altered_weights_are_refused(copied: Path) -> None:
    file = copied / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(RequestError, match="cut short or altered"):
        weights.load(copied)


def test_cut_weights_are_refused(copied: Path) -> None:
    file = copied / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(RequestError, match="cut short or altered"):
        weights.load(copied)
    rewrite(copied)
    with pytest.raises(RequestError, match="is not a safetensors file"):
        weights.load(copied)


def test_a_pickle_in_the_place_of_the_weights_is_never_opened(copied: Path) -> None:
    (copied / "model.safetensors").write_bytes(pickle.dumps(Trap(copied / "sprung")))
    rewrite(copied)
    with pytest.raises(RequestError, match="is not a safetensors file"):
        weights.load(copied)
    assert not (copied / "sprung").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"backbone": "mnasnet0_5", "width": 1280}, "does not fit its model.json"),
        ({"backbone": "resnet9"}, "resnet9"),
        ({"projection": [8, 5], "embedding_size": 5}, r"'projection.2.weight' is \[4, 8\], expected \[5, 8\]"),
        ({"projection": [1000000, 1000000], "embedding_size": 1000000}, "does not fit its model.json"),
        ({"projection": [], "embedding_size": 1024}, "'classifier.0.weight'"),
        ({"classes": ["one"]}, "at least two"),
        ({"classes": ["a", "b", "c"]}, "'classifier.2.weight'"),
        ({"width": 513}, "says width 513, but its network has 1024"),
        ({"embedding_size": 5}, "says embedding_size 5"),
        ({"mean": 0.25}, "mean and std"),
        ({"std": 0}, "std: Input should be greater than 0"),
        ({"format": 2}, "format"),
        ({"sha256": "x"}, "sha256"),
        ({"image_size": "big"}, "image_size"),
    ],
)
def test_a_lying_record_is_refused(copied: Path, changes: dict[str, Any], words: str) -> None:
    rewrite(copied, **changes)
    with pytest.raises(RequestError, match=words) as caught:
        weights.load(copied)
    assert len(caught.value.faults) == 1
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "{", "\x00\xff"])
def test_a_broken_record_is_refused(copied: Path, text: str) -> None:
    (copied / "model.json").write_text(text)
    with pytest.raises(RequestError, match=r"model\.json"):
        weights.load(copied)


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
def test_a_missing_file_is_named(copied: Path, name: str) -> None:
    (copied / name).unlink()
    with pytest.raises(RequestError, match=f"{name} is missing"):
        weights.load(copied)


def test_find_prefers_embed_then_pretrain_then_finetune(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="holds no finished model"):
        weights.find(tmp_path)
    with pytest.raises(RequestError, match="is not a folder"):
        weights.find(tmp_path / "none")
    for phase in ("finetune", "pretrain", "embed"):
        (tmp_path / phase).mkdir()
        (tmp_path / phase / "model.json").write_text("{}")
        assert weights.find(tmp_path) == tmp_path / phase
        assert weights.find(tmp_path / phase) == tmp_path / phase


def test_start_none_changes_nothing() -> None:
    net = network()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    weights.start(net, "none")
    assert same(net.state_dict(), before)


@pytest.mark.parametrize("ending", ["run", "run/embed", "run/embed/model.safetensors"])
def test_start_from_a_run_takes_the_backbone_alone(tmp_path: Path, ending: str) -> None:
    other = network(seed=5, projection=(4,), mean=0.1)
    weights.save(other, tmp_path / "run" / "embed", CARD)
    net = network(projection=(4,))
    projection = net.projection[0].weight.clone()
    weights.start(net, str(tmp_path / ending))
    assert same(net.backbone.state_dict(), other.backbone.state_dict())
    assert torch.equal(net.projection[0].weight, projection)
    assert net.mean.item() == 0.5


def test_a_start_says_name_digest_and_how_many_tensors(tmp_path: Path) -> None:
    other = network(seed=5)
    weights.save(other, tmp_path / "run" / "embed", CARD)
    every = sum(not name.endswith("num_batches_tracked") for name in other.backbone.state_dict())
    found = weights.start(network(), str(tmp_path / "run"))
    digest = hashlib.sha256((tmp_path / "run" / "embed" / "model.safetensors").read_bytes()).hexdigest()
    said = f"{every} of {every} tensors of {NAME} are loaded (SHA-256 {digest})"
    assert found.lines() == (f"model.weights={tmp_path / 'run'}: {said}",)
    facts = found.facts()
    assert (facts["loaded"], facts["tensors"], facts["share"]) == (every, every, 1.0)
    assert weights.start(network(), "none").lines() == ()
    assert weights.start(network(), "none").facts() == {}


def test_start_from_another_backbone_names_both(saved: Path) -> None:
    with pytest.raises(RequestError, match=r"is a shufflenet_v2_x0_5, model.backbone is mnasnet0_5"):
        weights.start(network("mnasnet0_5"), str(saved))


def colour_net(classes: int = 5) -> nn.Module:
    torch.manual_seed(3)
    net = torchvision.models.shufflenet_v2_x0_5(num_classes=classes).eval()
    for module in net.modules():  # statistics that are not those of a new net
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
    return net


@pytest.mark.parametrize("form", ["plain", "wrapped", "safetensors", "uncounted"])
def test_start_from_a_colour_file_equals_the_colour_net(tmp_path: Path, form: str) -> None:
    colour = colour_net()
    state, path = colour.state_dict(), tmp_path / "weights.pth"
    if form == "wrapped":
        state = {"state_dict": {f"module.{key}": value for key, value in state.items()}, "epoch": 3}
    if form == "uncounted":
        state = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    if form == "safetensors":
        path = tmp_path / "weights.safetensors"
        safetensors.torch.save_file(state, path)
    else:
        torch.save(state, path)
    net = network().eval()
    weights.start(net, str(path))
    colour.fc = torch.nn.Identity()
    images = torch.rand(2, 1, 32, 32)
    with torch.no_grad():
        expected = colour(((images - 0.5) / 0.25).expand(-1, 3, -1, -1))
        torch.testing.assert_close(net.features(images), expected, rtol=1e-4, atol=1e-5)


def test_start_from_densenet_weights_of_the_old_names(tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = torchvision.models.densenet121().state_dict()
    old = {}
    for key, value in state.items():
        for word in ("norm1", "norm2", "conv1", "conv2"):
            key = key.replace(f".{word}.", f".{word[:-1]}.{word[-1]}.") if "denselayer" in key else key
        old[key] = value
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    torch.save(old, tmp_path / "weights.pth")
    net = network("densenet121")
    weights.start(net, str(tmp_path / "weights.pth"))
    key = "features.denseblock4.denselayer16.conv2.weight"
    assert torch.equal(net.backbone.state_dict()[key], state[key])


@pytest.mark.parametrize("stem", ["fold", "random"])
def test_a_random_stem_stays_the_networks_own(tmp_path: Path, stem: Any) -> None:
    colour = colour_net()
    torch.save(colour.state_dict(), tmp_path / "weights.pth")
    net = models.build(MODEL.model_copy(update={"stem": stem}), mean=0.5, std=0.25, seed=7)
    own = net.backbone.conv1[0].weight.detach().clone()
    weights.start(net, str(tmp_path / "weights.pth"), stem)
    folded = colour.conv1[0].weight.detach().sum(dim=1, keepdim=True)
    torch.testing.assert_close(net.backbone.conv1[0].weight.detach(), own if stem == "random" else folded)
    assert torch.equal(net.backbone.conv1[1].running_mean, colour.conv1[1].running_mean)
    assert torch.equal(net.backbone.conv5[0].weight, colour.conv5[0].weight)


def test_a_stem_that_is_grey_already_is_loaded_either_way(saved: Path) -> None:
    given = safetensors.torch.load((saved / "model.safetensors").read_bytes())
    for path in (saved, saved / "model.safetensors"):
        net = network(seed=9)
        weights.start(net, str(path), "random")
        assert torch.equal(net.backbone.conv1[0].weight, given["backbone.conv1.0.weight"])


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the Hugging Face hub, which cannot be reached."""
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path


def test_no_hub_is_said_in_plain_words(hub: Path) -> None:
    net = models.build(schema.Model(backbone="timm/test_vit.r160_in1k", image_size=64), mean=0.5, std=0.25, seed=0)
    with pytest.raises(RequestError, match=r"weights of timm/test_vit.r160_in1k could not be had from .*Face hub"):
        weights.start(net, "imagenet")


def test_the_weights_of_timms_tag_are_taken_from_the_hubs_cache_and_fitted_to_the_size(hub: Path) -> None:
    timm = pytest.importorskip("timm")
    torch.manual_seed(4)
    colour = timm.create_model("test_vit", pretrained=False).eval()
    folder = hub / "models--timm--test_vit.r160_in1k"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("0" * 40)
    (folder / "snapshots" / ("0" * 40)).mkdir(parents=True)
    safetensors.torch.save_file(colour.state_dict(), folder / "snapshots" / ("0" * 40) / "model.safetensors")
    for side in (160, 96):
        model = schema.Model(backbone="timm/test_vit.r160_in1k", image_size=side)
        net = models.build(model, mean=0.0, std=1.0, seed=0).eval()
        weights.start(net, "imagenet")
        colour.set_input_size(side)  # timm's own way to another size
        images = torch.rand(2, 1, side, side)
        with torch.no_grad():
            expected = colour.forward_head(colour.forward_features(images.expand(-1, 3, -1, -1)), pre_logits=True)
            torch.testing.assert_close(net.features(images), expected, rtol=1e-3, atol=1e-4)


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (str(self.path), "w"))


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path: Path) -> None:
    torch.save({"weight": Trap(tmp_path / "sprung")}, tmp_path / "weights.pth")
    with pytest.raises(RequestError, match="no readable plain tensors"):
        weights.start(network(), str(tmp_path / "weights.pth"))
    assert not (tmp_path / "sprung").exists()


def test_broken_files_are_refused(tmp_path: Path) -> None:
    for name, content, words in [
        ("a.pth", b"", "no readable plain tensors"),
        ("b.pth", b"not a zip", "no readable plain tensors"),
        ("c.safetensors", b"\xff" * 20, "is not a safetensors file"),
        ("d.bin", b"", "is empty"),
    ]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(RequestError, match=words):
            weights.start(network(), str(tmp_path / name))
    torch.save([1, 2], tmp_path / "e.pt")
    with pytest.raises(RequestError, match="not a state_dict"):
        weights.start(network(), str(tmp_path / "e.pt"))
    torch.save(colour_net().state_dict(), tmp_path / "f.pth")
    with pytest.raises(RequestError, match="does not fit mnasnet0_5"):
        weights.start(network("mnasnet0_5"), str(tmp_path / "f.pth"))
    with pytest.raises(RequestError, match="'imagnet' does not exist"):
        weights.start(network(), "imagnet")


def test_no_network_is_said_in_plain_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with socket.socket() as closed:  # bound and not listening: a connection is refused
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{closed.getsockname()[1]}")
        monkeypatch.setenv("no_proxy", "")
        with pytest.raises(RequestError, match=r"shufflenet_v2_x0_5.*https://.*refused.*model\.weights=none"):
            weights.start(network(), "imagenet")


def test_published_weights_are_taken_from_the_librarys_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = torchvision.models.ShuffleNet_V2_X0_5_Weights.DEFAULT.url
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    colour = colour_net(classes=1000)
    torch.save(colour.state_dict(), tmp_path / "hub" / "checkpoints" / url.rsplit("/", 1)[-1])
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(RequestError, match="is not the published file"):
        weights.start(network(), "imagenet")
    monkeypatch.setattr(
        "contrastive_cxr.models.pretrained.published.named", lambda file: ""
    )  # these weights are our own
    net = network()
    weights.start(net, "imagenet")
    torch.testing.assert_close(net.backbone.conv1[0].weight, colour.conv1[0].weight.sum(dim=1, keepdim=True))
    assert torch.equal(net.backbone.conv5[1].running_mean, colour.conv5[1].running_mean)


@pytest.mark.slow
def test_published_positions_of_torchvisions_transformer_are_fitted_to_the_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a grid of 7 x 7 patches to one of 2 x 2: its four corners stay what they were."""
    url = torchvision.models.ViT_B_32_Weights.DEFAULT.url
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    colour = torchvision.models.vit_b_32()
    torch.save(colour.state_dict(), tmp_path / "hub" / "checkpoints" / url.rsplit("/", 1)[-1])
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(
        "contrastive_cxr.models.pretrained.published.named", lambda file: ""
    )  # these weights are our own
    net = models.build(schema.Model(backbone="vit_b_32", image_size=64), mean=0.5, std=0.25, seed=0)
    weights.start(net, "imagenet")
    given, found = colour.encoder.pos_embedding.detach()[0], net.backbone.encoder.pos_embedding.detach()[0]
    torch.testing.assert_close(found, given[[0, 1, 7, 43, 49]])
    assert torch.equal(net.backbone.encoder.ln.weight, colour.encoder.ln.weight)


def test_carry_over_takes_the_parts_that_fit() -> None:
    earlier = network(seed=5, projection=(8, 4), classes=2).state_dict()
    net = network(projection=(8, 4), classes=2)
    classifier = net.classifier[0].weight.clone()
    assert transfer.carry_over(net, earlier) == ["backbone", "projection"]
    assert torch.equal(net.projection[2].weight, earlier["projection.2.weight"])
    assert torch.equal(net.classifier[0].weight, classifier)
    assert transfer.carry_over(net, earlier, same_classes=True) == ["backbone", "projection", "classifier"]
    assert torch.equal(net.classifier[0].weight, earlier["classifier.0.weight"])
    assert transfer.carry_over(network(projection=(9, 4)), earlier) == ["backbone"]
    assert transfer.carry_over(network(projection=(8, 4), classes=3), earlier, same_classes=True)[-1] == "projection"
    with pytest.raises(RequestError, match="does not fit mnasnet0_5"):
        transfer.carry_over(network("mnasnet0_5"), earlier)
