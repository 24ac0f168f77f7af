"""Folders of timm and Hugging Face, and the hub: what is taken, and what is said where there is nothing."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path

import pytest
import safetensors.torch
import torch
import torchvision

from contrastive_cxr import models
from contrastive_cxr.errors import RequestError
from contrastive_cxr.models import weights
from contrastive_cxr.models.pretrained import locations, reach
from contrastive_cxr.recipe import schema

timm = pytest.importorskip("timm")
NAME = "test_vit"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the Hugging Face hub, which cannot be reached."""
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def fill(folder: Path) -> Path:
    """A folder as timm pushes it to the hub, of a small network."""
    folder.mkdir(parents=True)
    net = timm.create_model(NAME)
    safetensors.torch.save_file(net.state_dict(), folder / "model.safetensors")
    config = {"input_size": [3, 96, 96], "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.2, 0.2]}
    (folder / "config.json").write_text(json.dumps({"architecture": NAME, "pretrained_cfg": config}))
    return folder


def network() -> models.Network:
    return models.build(schema.Model(backbone=f"timm/{NAME}", image_size=96), mean=0.5, std=0.25, seed=0)


def test_a_folder_of_timm_says_what_it_is(tmp_path: Path) -> None:
    place = locations.find(str(fill(tmp_path / "folder")))
    assert (place.backbone, place.image_size) == (f"timm/{NAME}", 96)
    assert place.statistics == pytest.approx((0.5, 0.2))
    assert weights.start(network(), str(tmp_path / "folder")).facts()["missing"] == []


def test_a_folder_of_hugging_face_says_what_its_images_were(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "dinov2", "image_size": 518}))
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.53], "image_std": [0.26]}))
    assert locations.find(str(tmp_path)) == locations.Place(tmp_path / "pytorch_model.bin", "", 518, (0.53, 0.26))


def test_a_repository_is_taken_from_the_hubs_cache(hub: Path) -> None:
    folder = hub / "models--org--name"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("0" * 40)
    fill(folder / "snapshots" / ("0" * 40))
    assert weights.start(network(), "hf-hub:org/name").facts()["missing"] == []


@pytest.mark.parametrize("word", ["hf-hub:org/name", "hf-hub:org/name@v1", "hf-hub:org/name/weights.pt"])
def test_offline_is_one_sentence(hub: Path, word: str) -> None:
    said = (
        r"the Hugging Face hub cannot be reached \(HF_HUB_OFFLINE is set, so nothing is downloaded\), and org/name is"
    )
    with pytest.raises(RequestError, match=said) as at:
        weights.start(network(), word)
    (fault,) = at.value.faults
    assert "\n" not in fault
    assert f"model.weights={word}" in fault
    assert "without a network: model.backbone=timm/tf_efficientnet_lite0 model.weights=imagenet" in fault


def test_a_hub_that_does_not_answer_is_asked_once(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub's library would try six times, and wait between its tries."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()  # takes the connection and says nothing
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{deaf.getsockname()[1]}")
        monkeypatch.setattr(reach, "SECONDS", 0.2)
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(name.upper(), raising=False)
        net = models.build(schema.Model(backbone="timm/test_vit.r160_in1k", image_size=64), mean=0.5, std=0.2, seed=0)
        begin = time.monotonic()
        for word in ("hf-hub:org/name", "imagenet"):  # timm's own download is held to the same
            with pytest.raises(
                RequestError, match=r"\(no answer within 0.2 seconds\).*(copy the repository|give model)"
            ):
                weights.start(net, word)
        assert time.monotonic() - begin < 5


def test_parts_that_the_hubs_cache_holds_are_read(hub: Path, tmp_path: Path) -> None:
    fill(tmp_path / "whole")
    state = safetensors.torch.load_file(tmp_path / "whole" / "model.safetensors")
    folder = hub / "models--org--name"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("0" * 40)
    snapshot = folder / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    names = sorted(state)
    parts = {f"model-0000{number + 1}-of-00002.safetensors": names[number::2] for number in range(2)}
    for part, own in parts.items():
        safetensors.torch.save_file({name: state[name] for name in own}, snapshot / part)
    index = {"weight_map": {name: part for part, own in parts.items() for name in own}}
    (snapshot / "model.safetensors.index.json").write_text(json.dumps(index))
    assert weights.start(network(), "hf-hub:org/name").facts()["missing"] == []
    (snapshot / "model-00002-of-00002.safetensors").unlink()  # a download that was broken off is gone on with
    with pytest.raises(RequestError, match="HF_HUB_OFFLINE is set"):
        weights.start(network(), "hf-hub:org/name")


def test_what_is_no_folder_of_weights_is_said(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"holds no finished model .* and no weights of another library"):
        weights.start(network(), str(tmp_path))


def test_a_folder_of_another_network_names_its_own(tmp_path: Path) -> None:
    fill(tmp_path / "folder")
    net = models.build(schema.Model(backbone="shufflenet_v2_x0_5", image_size=64), mean=0.5, std=0.25, seed=0)
    with pytest.raises(RequestError, match=f"set model.backbone=timm/{NAME}, which it fits"):
        weights.start(net, str(tmp_path / "folder"))
    torch.save(torchvision.models.shufflenet_v2_x0_5().state_dict(), tmp_path / "pytorch_model.bin")
    assert weights.start(net, str(tmp_path)).facts()["left_aside"] == ["fc.weight", "fc.bias"]
