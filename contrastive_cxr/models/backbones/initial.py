"""Initialisations by name, for networks that are trained from scratch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

Initial = Literal["default", "zero", "normal", "he", "xavier"]
# Krizhevsky, Sutskever and Hinton 2012 (AlexNet): all weights from a normal of this deviation.
NORMAL = 0.01


@torch.no_grad()
def initialise(network: nn.Module, word: Initial) -> None:
    """Draw the weights of all convolutions and linear layers anew, in place, from torch's global generator.

    Their biases become zero; norms, tokens and position embeddings stay. All three random ones are normal, so they
    differ in their deviation alone.

    Parameters
    ----------
    network : nn.Module
        Backbone, projection and classifier alike.
    word : str
        `default`: nothing is changed. `zero`: all 0. `normal`: N(0, 0.01^2). `he`: N(0, 2 / fan-in), He et al. 2015.
        `xavier`: N(0, 2 / (fan-in + fan-out)), Glorot and Bengio 2010.
    """
    if word == "default":
        return
    for weight, bias in _layers(network):
        if word == "zero":
            nn.init.zeros_(weight)
        elif word == "normal":
            nn.init.normal_(weight, std=NORMAL)
        elif word == "he":
            nn.init.kaiming_normal_(weight, nonlinearity="relu")
        else:
            nn.init.xavier_normal_(weight)
        if bias is not None:
            nn.init.zeros_(bias)


def _layers(network: nn.Module) -> Iterator[tuple[Tensor, Tensor | None]]:
    """(weight, bias) of every convolution and linear layer, those inside torch's attention among them."""
    for module in network.modules():
        if isinstance(module, _ConvNd | nn.Linear):
            yield module.weight, module.bias
        elif isinstance(module, nn.MultiheadAttention) and module.in_proj_weight is not None:
            for part in module.in_proj_weight.chunk(3):  # queries, keys and values are three layers in one matrix
                yield part, module.in_proj_bias
