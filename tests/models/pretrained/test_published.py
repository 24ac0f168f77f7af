"""Published weights: a file is what its name says, and no pickle in it runs."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
import torch
import torchvision

from contrastive_cxr import models
from contrastive_cxr.errors import RequestError
from contrastive_cxr.models import weights
from contrastive_cxr.models.pretrained import published
from contrastive_cxr.recipe import schema


class Touch:
    """A pickle that makes a file when it is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


def network(backbone: str) -> models.Network:
    return models.build(schema.Model(backbone=backbone, image_size=64), mean=0.5, std=0.25, seed=0)


def test_every_torchvision_name_carries_a_digest() -> None:
    without = []
    for name in torchvision.models.list_models(module=torchvision.models):
        url = str(torchvision.models.get_model_weights(name).DEFAULT.url)
        if not published.named(url.rpartition("/")[2]):
            without.append(name)
    assert not without


def test_a_file_is_compared_with_its_digest_or_the_begin_of_it(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    for right in (digest, digest[:8], ""):
        published.check(file, right)
    published.check(tmp_path / "absent", digest)
    for wrong in ("0" * 64, digest[:7] + ("0" if digest[7] != "0" else "1")):
        with pytest.raises(RequestError, match="is not the published file"):
            published.check(file, wrong)


def test_an_altered_file_of_torchvisions_cache_is_refused_unopened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = str(torchvision.models.ShuffleNet_V2_X0_5_Weights.DEFAULT.url)
    place = tmp_path / "hub" / "checkpoints" / url.rpartition("/")[2]
    place.parent.mkdir(parents=True)
    torch.save(Touch(tmp_path / "sprung"), place)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(RequestError, match=r"is not the published file .*remove it"):
        weights.start(network("shufflenet_v2_x0_5"), "imagenet")
    # a forged begin of a digest gets past the name, and finds the pickle closed
    monkeypatch.setattr(published, "named", lambda file: "")
    with pytest.raises(RequestError, match="could not be had"):
        weights.start(network("shufflenet_v2_x0_5"), "imagenet")
    assert not (tmp_path / "sprung").exists()
    assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ


@pytest.mark.parametrize("altered", [False, True])
def test_a_file_of_the_hubs_cache_is_what_its_blob_is_called(
    altered: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timm = pytest.importorskip("timm")
    constants = pytest.importorskip("huggingface_hub.constants")
    safetensors = pytest.importorskip("safetensors.torch")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    data = safetensors.save(timm.create_model("test_vit", pretrained=False).state_dict())
    folder = tmp_path / "models--timm--test_vit.r160_in1k"
    for part in ("refs", "blobs", f"snapshots/{'0' * 40}"):
        (folder / part).mkdir(parents=True)
    (folder / "refs" / "main").write_text("0" * 40)
    blob = folder / "blobs" / hashlib.sha256(data).hexdigest()
    blob.write_bytes(data[:-1] + bytes([data[-1] ^ 1]) if altered else data)
    (folder / "snapshots" / ("0" * 40) / "model.safetensors").symlink_to(blob)
    net = network("timm/test_vit.r160_in1k")
    if altered:
        with pytest.raises(RequestError, match="is not the published file"):
            weights.start(net, "imagenet")
    else:
        weights.start(net, "imagenet")
