"""Our own small networks, for training from scratch: a few convolutions, then fully connected layers.

Two published X-ray systems use such networks and give their layers, not their widths. The widths here are ours: powers
of two (and one 300) that come to the parameter counts that were published where one was. Each convolution is 3x3,
padded, and followed by ReLU and 2x2 max-pooling. The last of the three fully connected layers is the classifier that
`Network` adds, so a backbone ends one layer before it.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from torch import Tensor, nn

from contrastive_cxr.errors import RequestError
from contrastive_cxr.models.backbones.drop_path import refuse_drop_path


@dataclass(frozen=True)
class Plan:
    """Widths of one network.

    Parameters
    ----------
    convolutions : tuple of int
        Channels of each convolution.
    hidden : tuple of int
        Widths of the two hidden fully connected layers; the second is the width of the features.
    side : int
        Input side of the published network, pixels.
    """

    convolutions: tuple[int, ...]
    hidden: tuple[int, int]
    side: int


# Parameters at their own size, a three-class layer included: 134.7, 5.4 and 10.0 million.
_PLANS = {
    "cnn2": Plan((16, 32), (1024, 512), 256),
    "cnn3": Plan((32, 64, 128), (128, 64), 150),
    "cnn4": Plan((16, 32, 64, 128), (300, 128), 256),
}


def names() -> list[str]:
    """`cnn2`, `cnn3` and `cnn4`, by their number of convolutions."""
    return list(_PLANS)


def side(name: str) -> int:
    """Input side of the published network, pixels."""
    return _PLANS[name].side


def sized(name: str) -> bool:
    """Whether the network is built for one input size: fully connected layers on a map always are."""
    return name in _PLANS


def grey_statistics(name: str) -> tuple[float, float]:
    """Mean and deviation of ImageNet in 0..1, averaged over the colours; no network here was trained on it."""
    del name
    return (0.485 + 0.456 + 0.406) / 3, (0.229 + 0.224 + 0.225) / 3


def fitted(name: str, state: dict[str, Tensor], body: nn.Module) -> dict[str, Tensor]:
    """The tensors as they are: nobody else's files are of these networks."""
    del name, body
    return state


def weights_url(name: str) -> str | None:
    """None: there are no published weights."""
    del name
    return None


def cached(name: str) -> None:
    """None: there are no published weights."""
    del name


def build(
    name: str,
    *,
    dropout: float | tuple[float, ...] = 0.0,
    image_size: int | None = None,
    grey: bool = True,
    pretrained: bool = False,
    drop_path: float | None = None,
) -> nn.Module:
    """Build a network that maps float32 [B, 1, S, S] to features [B, C].

    Blocks: `conv1`, `conv2`, ..., `fc1`, `fc2`. The drop rates stand before each of the three fully connected layers,
    so the last of them lies on the features. (Where they stand is not published; on the widest layers they do most.)

    Parameters
    ----------
    name : str
        One of `names()`.
    dropout : float or tuple of three
        Drop rate before each fully connected layer, in [0, 1).
    image_size : int, optional
        Side of the input, pixels; none: the published one.
    grey : bool
        Without effect: the first convolution takes one channel.
    pretrained : bool
        Refused: there are no published weights.
    drop_path : float, optional
        Refused above 0: there is no residual branch to leave out.

    Raises
    ------
    RequestError
        Published weights, or stochastic depth, are asked for.
    """
    del grey
    refuse_drop_path(name, drop_path)
    plan = _PLANS[name]
    side = plan.side if image_size is None else image_size
    if pretrained:
        raise RequestError(f"model.weights=imagenet: {name} has no published weights; set model.weights=none")
    rates = dropout if isinstance(dropout, tuple) else (dropout,) * 3
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    channels = 1
    for number, width in enumerate(plan.convolutions, 1):
        layers[f"conv{number}"] = nn.Sequential(nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
        channels = width
    left = side >> len(plan.convolutions)  # pooling halves the side and drops an odd last row
    first, second = plan.hidden
    layers["fc1"] = nn.Sequential(nn.Flatten(), nn.Dropout(rates[0]), nn.Linear(channels * left**2, first), nn.ReLU())
    layers["fc2"] = nn.Sequential(nn.Dropout(rates[1]), nn.Linear(first, second), nn.ReLU(), nn.Dropout(rates[2]))
    return nn.Sequential(layers)
