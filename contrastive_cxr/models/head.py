"""What the last layer of a trained network looks like, in numbers."""

from __future__ import annotations

import torch
from torch import nn

from contrastive_cxr.errors import RequestError
from contrastive_cxr.models.network import Network


def head_statistics(network: Network) -> dict[str, float]:
    """Mean, variance and standard deviation of the weights of the classifier's last layer, its bias left out.

    Parameters
    ----------
    network : Network
        With a classifier, as `weights.load(folder)` gives it.

    Returns
    -------
    dict of str to float
        `mean`, `variance`, `standard_deviation` (over all weights: divided by their number), `weights` (that number).

    Raises
    ------
    RequestError
        The network has no classifier.
    """
    if network.classifier is None:
        raise RequestError(
            f"this {network.spec.backbone} has no classifier, so no last layer; give a pretrain or finetune folder"
        )
    last = [layer for layer in network.classifier if isinstance(layer, nn.Linear)][-1]
    weights = last.weight.detach().to("cpu", torch.float64)
    variance = float(weights.var(correction=0))
    return {
        "mean": float(weights.mean()),
        "variance": variance,
        "standard_deviation": variance**0.5,
        "weights": float(weights.numel()),
    }
