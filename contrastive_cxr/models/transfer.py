"""What an earlier phase's network gives to a later one."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

import contrastive_cxr.models.checkpoints.comparing as comparing
from contrastive_cxr.errors import RequestError
from contrastive_cxr.models.network import LEAST_STD, Network


def carry_over(network: Network, state: Mapping[str, Tensor], *, same_classes: bool = False) -> list[str]:
    """Load the parts of an earlier phase's network that fit, in place.

    Parameters
    ----------
    network : Network
        Keeps its own input statistics, unless those of the earlier one belong to its weights.
    state : mapping
        `state_dict` of the earlier network; its backbone must fit.
    same_classes : bool
        Whether the earlier classifier is of the same classes, in the same order; only then is it carried over.

    Returns
    -------
    list of str
        The parts carried over: `backbone`, and `projection`, `classifier` where they fit whole.

    Raises
    ------
    RequestError
        Where the backbones differ.
    """
    carried = []
    for part in ("backbone", "projection", "classifier"):
        module = getattr(network, part)
        given = {name.removeprefix(f"{part}."): value for name, value in state.items() if name.startswith(f"{part}.")}
        if module is None or (part == "classifier" and not same_classes):
            continue
        difference = comparing.difference(given, module.state_dict())
        if part == "backbone" and difference:
            raise RequestError(f"the earlier network does not fit {network.spec.backbone}: {difference}")
        if not difference:
            module.load_state_dict(given)
            carried.append(part)
    keep_range(network, state)
    return carried


def keep_range(network: Network, state: Mapping[str, Tensor]) -> None:
    """Give a network the input range that belongs to the weights of an earlier one: no images have that deviation."""
    if "std" in state and float(state["std"]) < LEAST_STD:
        network.set_inputs(float(state["mean"]), float(state["std"]))
