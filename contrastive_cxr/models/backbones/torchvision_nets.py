"""torchvision's classification networks, their classifier taken off; the one file that imports torchvision."""

from __future__ import annotations

import math
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.vision_transformer import interpolate_embeddings

import contrastive_cxr.models.pretrained.published as published
from contrastive_cxr.errors import RequestError
from contrastive_cxr.models.backbones.drop_path import scale_drop_path
from contrastive_cxr.models.backbones.grey import one_colour

# torchvision's word for the drop rate, by family; the other families have none.
_DROP_WORD = {"densenet": "drop_rate"} | dict.fromkeys(
    ("alexnet", "efficientnet", "googlenet", "inception", "mnasnet", "mobilenet", "squeezenet", "swin", "vgg", "vit_"),
    "dropout",
)
# They are built for one input size.
_SIZED = ("maxvit", "vit_")
# They give further outputs while training, and rescale the colours of an image by themselves.
_INCEPTION = ("googlenet", "inception")
# Their first convolution is drawn by its fan-in, which has three colours; the others' by fan-out or a constant.
_BY_FAN_IN = ("alexnet", "densenet", "shufflenet", "squeezenet", "swin", "vit_")

# Their builders take the rate of stochastic depth; those of Swin and MaxViT have it written into them.
_DEPTH_WORD = ("convnext", "efficientnet")


def names() -> list[str]:
    """torchvision's names of classification networks."""
    return list(torchvision.models.list_models(module=torchvision.models))


def side(name: str) -> int:
    """Input side of the published weights, pixels."""
    return int(_weights(name).transforms.keywords["crop_size"])


def sized(name: str) -> bool:
    """Whether the network is built for one input size."""
    return name.startswith(_SIZED)


def grey_statistics(name: str) -> tuple[float, float]:
    """Mean and deviation, in 0..1, of the images the published weights saw, averaged over the colours."""
    if name.startswith(_INCEPTION):
        return 0.5, 0.5
    return (0.485 + 0.456 + 0.406) / 3, (0.229 + 0.224 + 0.225) / 3


def weights_url(name: str) -> str:
    """Where the published weights are downloaded from."""
    return str(_weights(name).url)


def cached(name: str) -> tuple[Path, str] | None:
    """The published weights in torchvision's cache and the begin of their SHA-256; None where they are not there."""
    file = weights_url(name).rpartition("/")[2]
    path = Path(torch.hub.get_dir(), "checkpoints", file)
    return (path, published.named(file)) if path.is_file() else None


def fitted(name: str, state: dict[str, Tensor], body: nn.Module) -> dict[str, Tensor]:
    """The tensors with a transformer's position embeddings interpolated to the size of `body`."""
    if not name.startswith("vit_"):
        return state
    return dict(interpolate_embeddings(body.image_size, body.patch_size, OrderedDict(state)))


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
        One of `names()`.
    dropout : float
        Drop rate inside the network, in [0, 1).
    image_size : int, optional
        Side of the input, pixels, for networks that are `sized`; none: that of the published weights.
    grey : bool
        A stem of one channel, drawn as torchvision would draw it.
    pretrained : bool
        Take the published weights (downloaded, or from torchvision's cache); position embeddings are interpolated.
    drop_path : float, optional
        Rate of stochastic depth, in [0, 1); none: torchvision's own.

    Raises
    ------
    RequestError
        The network has no drop rate, or no stochastic depth, and one is asked for.
    """
    settings = _drop(name, dropout)
    if sized(name):
        asked = side(name) if image_size is None else image_size
        settings |= {"image_size": asked} if name.startswith("vit_") else {"input_size": (asked, asked)}
    if name.startswith(_INCEPTION):
        settings |= {"aux_logits": False, "init_weights": True}
    if drop_path is not None and name.startswith(_DEPTH_WORD):
        settings["stochastic_depth_prob"] = drop_path
    body: nn.Module = torchvision.models.get_model(name, weights=None, **settings)
    if pretrained:
        _load(body, name, image_size)
    _drop_classifier(body)
    if drop_path is not None and not name.startswith(_DEPTH_WORD):
        scale_drop_path(name, body, drop_path)
    if grey:
        one_colour(body, math.sqrt(3) if name.startswith(_BY_FAN_IN) else 1.0)
    return body


def _drop(name: str, dropout: float | tuple[float, ...]) -> dict[str, Any]:
    """The drop rate under torchvision's word for it."""
    word = next((word for family, word in _DROP_WORD.items() if name.startswith(family)), None)
    if word is None and dropout:
        raise RequestError(f"model.dropout={dropout}: '{name}' has no drop rate; set model.dropout=0")
    return {} if word is None else {word: dropout}


def _load(body: nn.Module, name: str, image_size: int | None) -> None:
    """Load the published weights, which are of 1000 classes and of their own input size; a cached file is checked."""
    file = weights_url(name).rpartition("/")[2]
    published.check(Path(torch.hub.get_dir(), "checkpoints", file), published.named(file))
    with published.plain_tensors():
        whole = torchvision.models.get_model(name, weights="DEFAULT", progress=False)
    state = whole.state_dict()
    if name.startswith("vit_") and image_size is not None:
        state = interpolate_embeddings(image_size, whole.patch_size, state)
    wanted = body.state_dict()
    body.load_state_dict({key: value for key, value in state.items() if key in wanted})


def _drop_classifier(body: nn.Module) -> None:
    """Replace the last layer, linear or 1x1 convolution, by nothing."""
    if isinstance(body, torchvision.models.SqueezeNet):
        body.classifier[1] = nn.Identity()
        return
    for word in ("fc", "classifier", "head", "heads"):
        head = getattr(body, word, None)
        if isinstance(head, nn.Linear):
            setattr(body, word, nn.Identity())
            return
        if isinstance(head, nn.Sequential) and isinstance(head[-1], nn.Linear):
            head[-1] = nn.Identity()
            return
    raise AssertionError(f"{type(body).__name__} has no last linear layer under fc, classifier, head or heads")


def _weights(name: str) -> Any:
    return torchvision.models.get_model_weights(name)["DEFAULT"]
