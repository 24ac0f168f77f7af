"""timm's networks, their classifier taken off; the one file that imports timm, late, as it is large."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import contrastive_cxr.models.pretrained.published as published
from contrastive_cxr.models.backbones.drop_path import drops_paths, refuse_drop_path, scale_drop_path
from contrastive_cxr.models.backbones.grey import plain_stem

# Read when the hub's library is first imported: with a download it would tell the hub of versions and libraries.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

# the names of weights on the hub, in the order in which timm looks for them
_HUB_FILES = ("model.safetensors", "pytorch_model.bin")
_DIGEST = re.compile("[0-9a-f]{64}")
# Published networks that timm builds and has no name for: timm's name, what is built otherwise, what images they saw.
# EVA-X (hustvl/EVA-X, eva_x.py): EVA-02 on patches of 16 pixels, of the chest X-rays' mean and deviation.
_EVA_X: dict[str, Any] = {"patch_size": 16, "ref_feat_shape": (14, 14)}
_CHEST = {"mean": (0.49185243,) * 3, "std": (0.28509309,) * 3, "hf_hub_id": None, "url": ""}
VARIANTS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    f"eva_x_{size}_patch16": (f"eva02_{size}_patch14_224", _EVA_X, _CHEST) for size in ("tiny", "small", "base")
}


def installed() -> bool:
    """Whether timm can be imported."""
    return importlib.util.find_spec("timm") is not None


def names() -> list[str]:
    """timm's names, with and without the tag of their weights; empty where timm is not installed."""
    return sorted(_names())


def has(name: str) -> bool:
    """Whether timm has the network, and the tag where one is given."""
    return name in _names()


@cache
def _names() -> frozenset[str]:
    if not installed():
        return frozenset()
    with torch.device("cpu"):  # the first import may come from inside the meta device
        import timm

    return frozenset(timm.list_models()) | frozenset(timm.list_pretrained()) | frozenset(VARIANTS)


def side(name: str) -> int:
    """Input side of the published weights, pixels."""
    return int(_record(name)["input_size"][-1])


def sized(name: str) -> bool:
    """Whether the network is built for one input size; timm then takes any, and interpolates position embeddings."""
    return bool(_record(name)["fixed_input_size"])


def grey_statistics(name: str) -> tuple[float, float]:
    """Mean and deviation, in 0..1, of the images the published weights saw, averaged over the colours."""
    record = _record(name)
    return sum(record["mean"]) / 3, sum(record["std"]) / 3


def weights_url(name: str) -> str | None:
    """Where the published weights are downloaded from; None where there are none."""
    record = _record(name)
    hub, url = record["hf_hub_id"], record["url"]
    return f"{hub} on the Hugging Face hub" if hub else (str(url) if url else None)


def cached(name: str) -> tuple[Path, str] | None:
    """The published weights in the hub's or torch's cache, and their SHA-256, its begin, or '' where it is not known.

    None where they are not there.
    """
    from huggingface_hub import try_to_load_from_cache

    record = _record(name)
    repository, _, revision = str(record["hf_hub_id"] or "").partition("@")
    if repository:
        for file in filter(None, (record["hf_hub_filename"], *_HUB_FILES)):
            found = try_to_load_from_cache(repository, file, revision=revision or None)
            if isinstance(found, str):  # the file's link to its blob, which is named by its digest
                blob = Path(found).resolve()
                return blob, blob.name if _DIGEST.fullmatch(blob.name) else ""
        return None
    file = str(record["url"] or "").rpartition("/")[2]
    path = Path(torch.hub.get_dir(), "checkpoints", file)
    return (path, published.named(file)) if file and path.is_file() else None


def fitted(name: str, state: dict[str, Tensor], body: nn.Module) -> dict[str, Tensor]:
    """The tensors as timm's own filter of the network's family makes them, where it has one."""
    del name
    convert = getattr(sys.modules[type(body).__module__], "checkpoint_filter_fn", None)
    return state if convert is None else dict(convert(state, body))


def build(
    name: str,
    *,
    dropout: float | tuple[float, ...] = 0.0,
    image_size: int | None = None,
    grey: bool = False,
    pretrained: bool = False,
    drop_path: float | None = None,
) -> nn.Module:
    """Build a network that maps [B, 3, H, W] to features [B, C], or [B, 1, H, W] with `grey`.

    Parameters
    ----------
    name : str
        One of `names()`; with a tag (`resnetv2_50x1_bit.goog_in21k`) the published weights are those of the tag.
    dropout : float
        Drop rate inside the network, in [0, 1).
    image_size : int, optional
        Side of the input, pixels, for networks that are `sized`; none: that of the published weights.
    grey : bool
        A stem of one channel, drawn as timm draws it.
    pretrained : bool
        Take the published weights (downloaded, or from the hub's cache).
    drop_path : float, optional
        Rate of stochastic depth, in [0, 1); none: timm's own, which is 0 in nearly all networks.

    Raises
    ------
    RequestError
        The network has no stochastic depth and one is asked for.
    """
    import timm

    settings: dict[str, Any] = {"img_size": image_size} if image_size is not None and sized(name) else {}
    if drop_path:
        settings["drop_path_rate"] = drop_path
    own, more, _ = VARIANTS.get(name, (name, {}, {}))
    settings |= more
    try:
        body: nn.Module = timm.create_model(
            own, pretrained=pretrained, num_classes=0, drop_rate=dropout, in_chans=1 if grey else 3, **settings
        )
    except TypeError as error:
        if "drop_path_rate" in str(error):
            refuse_drop_path(f"timm/{name}", drop_path)
        raise
    if drop_path == 0:  # a network's own rate, which some have, is turned off
        scale_drop_path(f"timm/{name}", body, 0.0)
    elif not drops_paths(body):  # some networks take the word and make nothing of it
        refuse_drop_path(f"timm/{name}", drop_path)
    if pretrained:
        _check_files(name)
    if grey:
        plain_stem(body)
    return body


def _check_files(name: str) -> None:
    """Refuse published weights whose file is not the published one; what timm loads is tensors, and runs no code.

    The hub's cache names a large file by its SHA-256, other places by the first digits of it.
    """
    from huggingface_hub import constants

    record = _record(name)
    hub, file = str(record["hf_hub_id"] or "").partition("@")[0], str(record["url"] or "").rpartition("/")[2]
    if hub:
        for blob in Path(constants.HF_HUB_CACHE, f"models--{hub.replace('/', '--')}", "blobs").glob("[0-9a-f]" * 64):
            published.check(blob, blob.name)
    elif file:
        published.check(Path(torch.hub.get_dir(), "checkpoints", file), published.named(file))


def _record(name: str) -> dict[str, Any]:
    """timm's own record of the network's published weights: `mean`, `std`, `input_size`, `url`, ..."""
    import timm

    own, _, saw = VARIANTS.get(name, (name, {}, {}))
    config = timm.get_pretrained_cfg(own)
    assert config is not None, f"timm lists {name} and has no record of it"
    return dataclasses.asdict(config) | saw


def synchronised(network: nn.Module) -> nn.Module:
    """The network with batch norms that take their statistics over all processes' shares of a batch (GPUs alone).

    Changed in place; parameters, buffers and their names stay, and so does all it computes in evaluation mode. timm's
    function, as torch's own drops the activation of timm's fused norms.
    """
    from timm.layers.norm_act import convert_sync_batchnorm

    converted: nn.Module = convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
    return converted
