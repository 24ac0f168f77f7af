"""Grad-CAM (Selvaraju et al. 2017) by the library grad-cam, on the network's last map."""

from __future__ import annotations

import importlib.util

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from contrastive_cxr.explain.maps import Place, Walk, look
from contrastive_cxr.models import Network


def installed() -> bool:
    """Whether the library grad-cam is there."""
    return importlib.util.find_spec("pytorch_grad_cam") is not None


def grad_cam(network: Network, images: Tensor, target: int) -> NDArray[np.float32]:
    """Where the image speaks for a class.

    In a convolutional network the map is the last one before pooling or the first fully connected layer. In a
    transformer it is made of the patches' tokens: behind the last norm where they are averaged, before the last
    attention where a class token is read.

    Parameters
    ----------
    network : Network
        With a classifier, in evaluation mode. Gradients of its parameters are dropped.
    images : Tensor
        float32 [1, 1, S, S] in 0..1, on the network's device.
    target : int
        The class.

    Returns
    -------
    float32 [S, S]
        0..1, the library's scale: the largest value is 1; all 0 where nothing speaks for the class.

    Raises
    ------
    CcxrError
        The network makes no map.
    """
    from pytorch_grad_cam import GradCAM  # optional, and it imports OpenCV
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    place = look(images, lambda x: network.logits(x)[0, target]).place
    model = _Tapped(network, place)
    with GradCAM(model, [model.seen], reshape_transform=place.spread) as cam:
        heat = cam(images.detach().requires_grad_(), [ClassifierOutputTarget(target)])
    network.zero_grad(set_to_none=True)
    return np.asarray(heat[0], dtype=np.float32)


def class_map(network: Network, images: Tensor, target: int) -> NDArray[np.float32]:
    """Grad-CAM at the places of the map itself, without the library: for many images, as in a report.

    Parameters
    ----------
    network, images, target : as for `grad_cam`

    Returns
    -------
    float32 [h, h]
        The positive part of the map's channels, each weighted by the mean of the class logit's gradient.

    Raises
    ------
    CcxrError
        The network makes no map.
    """
    found = look(images, lambda x: network.logits(x)[0, target])
    weights = found.gradient.mean(dim=(1, 2), keepdim=True)
    return np.asarray((weights * found.values).sum(dim=0).clamp_min(0).float().cpu().numpy(), dtype=np.float32)


class _Tapped(nn.Module):
    """The network, its map led through a module of its own, `seen`: the library knows a layer as a module."""

    def __init__(self, network: Network, place: Place) -> None:
        super().__init__()
        self.network = network
        self.place = place
        self.seen = nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        with Walk(lambda number, tensor: self.seen(tensor) if number == self.place.number else None):
            return self.network.logits(images)
