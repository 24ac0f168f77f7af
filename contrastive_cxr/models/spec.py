"""Everything that fixes a network's shape, as `model.json` records it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Spec:
    """Everything that fixes a network's shape.

    Parameters
    ----------
    backbone : str
        torchvision's name, `timm/NAME`, or one of ours.
    image_size : int
        Side of the input, pixels; part of the shape where the backbone is of fixed size.
    dropout : float or tuple of float
        Drop rate inside the backbone, in [0, 1); our own small ones take three.
    projection : tuple of int
        Widths of the projection's linear layers; empty: no projection.
    classes : int
        Outputs of the classifier; 0: no classifier.
    hidden : tuple of int
        Widths of the classifier's hidden layers.
    mean, std : float
        Input statistics, in 0..1; std above 0.
    """

    backbone: str
    image_size: int
    dropout: float | tuple[float, ...]
    projection: tuple[int, ...]
    classes: int
    hidden: tuple[int, ...]
    mean: float
    std: float
